/** Debian's wireguard-go as the other end of a tunnel: a WireGuard that nobody here wrote. */
import { type BackgroundProcess, randomDigits, type TestNamespace } from "../../../support/net.ts";
import { takesPacketsTo } from "../ipv6_addresses.ts";

/** Programs that a test with this peer needs. */
export const WIREGUARD_GO_PROGRAMS: readonly string[] = ["wireguard-go", "wg", "ip"];

/** What `wg show` tells of a peer. */
export interface WireguardPeer {
  readonly publicKey: string;
  /** As in `192.0.2.1:51820`; `(none)` where it is not known. */
  readonly endpoint: string;
  /** Unix seconds; 0 for never. */
  readonly latestHandshake: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** A running wireguard-go. It ends with its namespace at the latest. */
export class WireguardGo {
  /** Of the interface. */
  readonly name: string;
  readonly process: BackgroundProcess;
  readonly #namespace: TestNamespace;

  private constructor(name: string, namespace: TestNamespace, process: BackgroundProcess) {
    this.name = name;
    this.#namespace = namespace;
    this.process = process;
  }

  /**
   * Starts it in `namespace` and waits until its interface is up.
   *
   * @param config as `wg setconf` takes it: wg-quick's keys (Address, MTU) are not among its own
   * @param addresses inner addresses, as in `10.66.77.1/24`
   * @param program how it is run: Debian's, if left out
   */
  static async start(
    namespace: TestNamespace,
    config: string,
    addresses: readonly string[],
    program: readonly string[] = ["wireguard-go"],
  ): Promise<WireguardGo> {
    // Its control socket is named by the interface and lies in one directory for all namespaces.
    const name = `wg${randomDigits()}`;
    const process = namespace.spawn([...program, "-f", name], {
      env: { WG_PROCESS_FOREGROUND: "1", LOG_LEVEL: "verbose" },
    });
    await process.waitFor(/UAPI listener started/);
    const peer = new WireguardGo(name, namespace, process);
    await namespace.output(["wg", "setconf", name, "/dev/stdin"], { stdin: config });
    for (const address of addresses) {
      await namespace.output(["ip", "address", "add", address, "dev", name]);
    }
    await namespace.output(["ip", "link", "set", name, "mtu", "1420", "up"]);
    await takesPacketsTo(namespace, addresses);
    return peer;
  }

  /** Runs `wg set` on the interface. */
  async set(...args: readonly string[]): Promise<void> {
    await this.#namespace.output(["wg", "set", this.name, ...args]);
  }

  /** Adds a route through the interface. */
  async route(network: string): Promise<void> {
    await this.#namespace.output(["ip", "route", "add", network, "dev", this.name]);
  }

  /** The peer with this key. */
  async peer(publicKey: string): Promise<WireguardPeer> {
    const dump = await this.#namespace.output(["wg", "show", this.name, "dump"]);
    for (const line of dump.trim().split("\n").slice(1)) {
      const [key, , endpoint = "", , handshake, received, sent] = line.split("\t");
      if (key !== publicKey) continue;
      return {
        publicKey,
        endpoint,
        latestHandshake: Number(handshake),
        receivedBytes: Number(received),
        sentBytes: Number(sent),
      };
    }
    throw new Error(`Cannot find peer ${publicKey} of ${this.name}:\n${dump}`);
  }
}
