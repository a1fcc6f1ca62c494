/** Fleet in network tests: three gateways with a virtual address, their store, and where clients are. */
import { NatsServers } from "../../support/fleet/nats_servers.ts";
import { temporaryFolder } from "../../support/folder.ts";
import type { BackgroundProcess, TestNamespace, Topology } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { configText, newIdentity, type Section } from "./config.ts";
import { statusOf } from "./programs/instance.ts";
import { vpnCommand } from "./programs/vpn.ts";
import { WireguardGo } from "./programs/wireguard_go.ts";
import { carrierOn } from "./wire.ts";

export const INSIDE = "10.66.77.1";
export const VIRTUAL = "203.0.113.5";
/** In the internet, at the host that has the bridge. */
export const SERVER = "198.51.100.7";
export const GATEWAYS: readonly number[] = [1, 2, 3];

/** One Ethernet, with the gateways, and with the client and NATS on the host that has its bridge. */
export class FleetSite implements AsyncDisposable {
  readonly identity = newIdentity();
  readonly folder = temporaryFolder();
  readonly hub: TestNamespace;
  /** Another host of the Ethernet. */
  readonly elsewhere: TestNamespace;
  readonly gateways: readonly TestNamespace[];
  nats!: NatsServers;
  readonly #running: BackgroundProcess[] = [];

  private constructor(topology: Topology) {
    this.hub = topology.namespace("hub");
    this.elsewhere = topology.namespace("elsewhere");
    topology.cable(
      { namespace: this.hub, name: "to-elsewhere" },
      { namespace: this.elsewhere, name: "eth0", address: "203.0.113.20/24" },
    );
    this.gateways = GATEWAYS.map((number) => {
      const namespace = topology.namespace(`gateway-${number}`);
      topology.cable(
        { namespace: this.hub, name: `to-${number}` },
        { namespace, name: "eth0", address: `203.0.113.${10 + number}/24` },
      );
      return namespace;
    });
  }

  static async lay(
    topology: Topology,
    settings: (number: number) => Section,
  ): Promise<FleetSite> {
    const site = new FleetSite(topology);
    await site.hub.output(["ip", "-batch", "-"], {
      stdin: [
        "link add lan type bridge",
        ...GATEWAYS.map((number) => `link set to-${number} master lan`),
        "link set to-elsewhere master lan",
        "link set lan up",
        "address add 203.0.113.254/24 dev lan",
        `address add ${SERVER}/32 dev lo`,
        "",
      ].join("\n"),
    });
    await Promise.all([...site.gateways, site.elsewhere].map((each) => carrierOn(each, "eth0")));
    site.nats = await NatsServers.start({
      folder: site.folder,
      count: 1,
      namespace: site.hub.name,
      address: "0.0.0.0",
      ports: [[4222, 6222]],
    });
    for (const number of GATEWAYS) {
      Deno.mkdirSync(site.state(number));
      Deno.writeTextFileSync(
        site.config(number),
        configText({
          PrivateKey: site.identity.privateKey,
          Address: `${INSIDE}/24`,
          ListenPort: 51820,
          PublicEndpoint: `${VIRTUAL}:51820`,
          Store: "nats://203.0.113.254:4222",
          VirtualAddress: `${VIRTUAL}/24`,
          ...settings(number),
        }),
        { mode: 0o600 },
      );
    }
    return site;
  }

  config(number: number): string {
    return `${this.folder}/gateway-${number}.conf`;
  }

  state(number: number): string {
    return `${this.folder}/state-${number}`;
  }

  async start(number: number): Promise<BackgroundProcess> {
    const process = this.gateways[number - 1]!.spawn(
      vpnCommand("server", "--config", this.config(number)),
      { env: { STATE_DIRECTORY: this.state(number) } },
    );
    this.#running.push(process);
    await process.waitFor(/listening on UDP port/);
    return process;
  }

  /** Says `vpn fleet ARGS` on a gateway's host. */
  fleet(number: number, ...args: readonly string[]): Promise<string> {
    return this.gateways[number - 1]!.output(
      vpnCommand("fleet", ...args, "--config", this.config(number)),
    );
  }

  /** The number of the gateway that has the address, by what the store says on a gateway's host. */
  async numberOfHolder(at: number): Promise<string> {
    const status = await this.fleet(at, "status");
    return /gateway (\d+) .*, has the virtual address/.exec(status)![1]!;
  }

  /** Who has the virtual address. */
  holders(): number[] {
    return GATEWAYS.filter((number) =>
      this.gateways[number - 1]!.rtnetlink.addresses.list()
        .some(({ address }) => address.join(".") === VIRTUAL)
    );
  }

  async startAll(): Promise<Map<number, BackgroundProcess>> {
    const started = GATEWAYS.map(async (number) => [number, await this.start(number)] as const);
    return new Map(await Promise.all(started));
  }

  /**
   * Adds a client and connects it as a stock one, by the virtual address where nothing else is said, once that is
   * somewhere and the client known there.
   *
   * @param running the gateways
   * @param place its number among the clients; the first has the address 10.66.77.2
   * @param by the gateway whose own address it writes to
   * @param network where it may go, and has a route to
   * @param more lines for the end of its file
   */
  async stockClient(
    running: ReadonlyMap<number, BackgroundProcess>,
    { namespace, network, route, place = 1, by, more = "" }: {
      readonly namespace: TestNamespace;
      readonly network: string;
      readonly route: string;
      readonly place?: number;
      readonly by?: number;
      readonly more?: string;
    },
  ): Promise<WireguardGo> {
    const command = vpnCommand(
      ...["peer", "add", `client-${place}`, "--allowed-ips", network, "--out", "-"],
      ...["--config", this.config(1)],
    );
    // On a busy machine, a server that has just been started takes longer than a command waits for it.
    const file = await eventually(async () => {
      const { code, stdout } = await this.gateways[0]!.run(command);
      return code === 0 ? stdout : null;
    }, { what: `${command.join(" ")} to be taken` });
    await eventually(() => this.holders().length === 1 || null);
    await knowsClients(running.get(by ?? this.holders()[0]!)!, place);
    const [, address] = /Address = (\S+?)\/\d+/.exec(file)!;
    const client = await WireguardGo.start(
      namespace,
      file.replace(/^(?:Address|DNS|MTU) = .*\n/gm, "")
        .replace(VIRTUAL, by === undefined ? VIRTUAL : `203.0.113.${10 + by}`) + more,
      [`${address}/32`],
    );
    await client.route(route);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Each writes to its folder as long as it runs.
    for (const gateway of this.#running) gateway.signal("SIGKILL");
    await Promise.all(this.#running.map((gateway) => gateway.stop()));
    await this.nats[Symbol.asyncDispose]();
    Deno.removeSync(this.folder, { recursive: true });
  }
}

/** Waits until a gateway has so many clients from the store: what comes before that, it does not answer. */
export async function knowsClients(
  gateway: BackgroundProcess,
  count = 1,
): Promise<void> {
  await eventually(async () => (await statusOf(gateway)).peers.length === count || null);
}

/** Waits until a gateway knows of so many that are up, itself included. */
export async function hears(gateway: BackgroundProcess, count: number): Promise<void> {
  await eventually(async () => {
    const { gateways } = (await statusOf(gateway)).store!.virtualAddress!;
    return gateways.filter(({ isUp }) => isUp).length === count || null;
  });
}
