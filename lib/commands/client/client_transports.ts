/**
 * Client transports: what the host has to do for each transport that a client uses.
 *
 * What fake TCP needs, ports and a firewall table, is made when it is first used: a client for which UDP works changes
 * nothing for it.
 */
import { EPERM } from "../../../ffi/errno.ts";
import type { ClientConfig } from "../../core/config/config.ts";
import { Transport } from "../../core/transport/transport.ts";
import { isIpv6 } from "../../core/wire/host_address.ts";
import type { SocketAddress } from "../../core/wire/socket_address.ts";
import { FakeTcpGuard } from "../../host/firewall/fake_tcp_guard.ts";
import type { DataPlaneHandle } from "../../dataplane/data_plane_handle.ts";
import { DataPlaneError } from "../../dataplane/thread/data_plane_error.ts";
import type { Journal } from "../../host/journal/journal.ts";
import type { OuterPorts } from "../../host/firewall/kill_switch.ts";
import { withoutFakeTcp } from "../../process/privileges.ts";

export interface ClientTransportsOptions {
  readonly transport: ClientConfig["interface"]["transport"];
  readonly interfaceName: string;
  readonly journal: Journal;
  /** Whether there are peers besides the server, which are reached by UDP whatever the server is reached by. */
  readonly hasOthers: boolean;
  /** Whether the server, by one of its endpoints, or one of them may have an IPv6 address; not if left out. */
  readonly reachesIpv6?: boolean;
  /** Makes what fake TCP needs of the host; for tests. */
  readonly openGuard?: (typeof FakeTcpGuard)["forClient"];
}

export class ClientTransports implements Disposable {
  readonly #options: ClientTransportsOptions;
  #guard: FakeTcpGuard | null = null;
  /** Of fake TCP, in the data plane; null until they were asked for. */
  #sockets: Promise<void> | null = null;
  #hasOthers: boolean;
  #reachesIpv6: boolean;
  readonly #followers: (() => void)[] = [];

  constructor(options: ClientTransportsOptions) {
    this.#options = options;
    this.#hasOthers = options.hasOthers;
    this.#reachesIpv6 = options.reachesIpv6 ?? false;
  }

  /** What leaves the host for the tunnel, and comes back to it. */
  ports(udpPort: number): readonly OuterPorts[] {
    const ports: OuterPorts[] = [];
    const overIpv6 = this.#reachesIpv6 ? { overIpv6: true } : {};
    if (this.#options.transport !== "faketcp" || this.#hasOthers) {
      ports.push({ protocol: "udp", ports: { first: udpPort, last: udpPort }, ...overIpv6 });
    }
    if (this.#guard !== null) {
      ports.push({ protocol: "tcp", ports: this.#guard.endpoints.ports, ...overIpv6 });
    }
    return ports;
  }

  /** Keeps a firewall table up to date with the ports in use from now on: the kill switch's, say. */
  followedBy(table: { admit(ports: readonly OuterPorts[]): void }, udpPort: number): void {
    this.#followers.push(() => table.admit(this.ports(udpPort)));
  }

  /** Takes note whether there are peers besides the server, which may come and go, and whether one is at IPv6. */
  setOthers(hasOthers: boolean, areAtIpv6 = false): void {
    const reachesIpv6 = this.#reachesIpv6 || areAtIpv6;
    if (hasOthers === this.#hasOthers && reachesIpv6 === this.#reachesIpv6) return;
    this.#hasOthers = hasOthers;
    this.#reachesIpv6 = reachesIpv6;
    for (const follow of this.#followers) follow();
  }

  /** The server is looked for elsewhere: the table for fake TCP names that place before the first SYN goes there. */
  follow({ address, port }: SocketAddress): void {
    if (isIpv6(address)) this.setOthers(this.#hasOthers, true);
    this.#guard?.setRemote({ address, port });
  }

  /**
   * Uses this transport from now on; a handshake is to follow.
   *
   * @throws {AppError} where there are no ports for it, or CAP_NET_RAW is missing
   * @throws {DataPlaneError} where its sockets cannot be opened
   */
  async use(
    transport: Transport,
    dataPlane: DataPlaneHandle,
    server: SocketAddress,
  ): Promise<void> {
    if (transport === Transport.fakeTcp) await this.#prepareFakeTcp(dataPlane, server);
    dataPlane.setTransport(transport);
  }

  async #prepareFakeTcp(
    dataPlane: DataPlaneHandle,
    { address, port }: SocketAddress,
  ): Promise<void> {
    if (this.#guard === null) {
      const { interfaceName, journal, openGuard = FakeTcpGuard.forClient } = this.#options;
      this.#guard = openGuard({ address, port }, {
        table: `vpn_${interfaceName}_faketcp`,
        journal,
      });
      for (const follow of this.#followers) follow();
    }
    try {
      await (this.#sockets ??= dataPlane.openFakeTcp(this.#guard.endpoints));
    } catch (error) {
      // The next attempt asks for them again: else it would send into nothing.
      this.#sockets = null;
      if (error instanceof DataPlaneError && error.errno === EPERM) throw withoutFakeTcp();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#guard?.[Symbol.dispose]();
  }
}
