/** Stage of the demo of a fleet: its namespaces, configurations, and nodes of NATS. */
import { inNamespace } from "../../../ffi/netns.ts";
import { ownCommand } from "../../process/own_command.ts";
import { DemoStage, type DemoStageOptions } from "./demo_stage.ts";
import { configSection, createKeyPair, SERVER_PORT } from "./identities.ts";
import {
  FleetSite,
  GATEWAY_NAMES,
  type GatewayName,
  LAN_ADDRESSES,
  VIRTUAL_ADDRESS,
} from "./fleet_site.ts";
import { NATS_PORT, natsConfiguration } from "./nats_node.ts";

const INNER_GATEWAY = "10.66.77.1";
export const INNER_CLIENT = "10.66.77.2";

/** Threads in namespaces: the client's pings, which have it sleep, and its download; the internet's site. */
const AGENTS = { pinger: "client", visitor: "client", internet: "internet" } as const;
type AgentName = keyof typeof AGENTS;

/** The hosts that have a tunnel. */
type MemberName = GatewayName | "client";

export interface FleetStageOptions extends DemoStageOptions {
  /** The program of NATS. */
  readonly natsServer: string;
}

export class FleetStage extends DemoStage<AgentName, MemberName | `nats-${GatewayName}`> {
  override readonly site: FleetSite;
  readonly #natsServer: string;

  private constructor(resources: DisposableStack, options: FleetStageOptions) {
    super(resources, options);
    this.site = resources.use(new FleetSite());
    this.#natsServer = options.natsServer;
    for (const [name, text] of Object.entries(configurations())) this.write(`${name}.conf`, text);
    for (const name of GATEWAY_NAMES) {
      Deno.mkdirSync(`${this.folder}/${name}`);
      const addresses = GATEWAY_NAMES.map((each) => LAN_ADDRESSES[each]);
      const kept = `${this.folder}/nats-${name}`;
      this.write(`nats-${name}.conf`, natsConfiguration(LAN_ADDRESSES[name], addresses, kept));
    }
    for (const [name, host] of Object.entries(AGENTS)) {
      this.openAgent(resources, name as AgentName, this.site.host(host));
    }
  }

  /** @throws {SystemCallError | NetlinkError} EPERM without the privileges; nothing is left then */
  static open(options: FleetStageOptions): FleetStage {
    return DemoStage.opened((resources) => new FleetStage(resources, options));
  }

  /** Starts the node of NATS on a gateway's host, with the title `nats-GATEWAY`. */
  startNats(name: GatewayName): void {
    this.startProcess({
      title: `nats-${name}`,
      program: this.#natsServer,
      args: ["--config", `${this.folder}/nats-${name}.conf`],
      namespace: this.site.host(name).namespace,
      stateDirectory: this.folder,
    });
  }

  /** Starts a gateway or the client. */
  start(name: MemberName): void {
    this.startTunnel(name, {
      command: name === "client" ? "client" : "server",
      host: this.site.host(name),
      stateDirectory: name === "client" ? this.folder : `${this.folder}/${name}`,
    });
  }

  /** Whether a gateway runs. */
  runs(name: GatewayName): boolean {
    return this.process(name) !== undefined;
  }

  /** Says `vpn fleet ARGS` on a gateway's host; what that prints. @throws {Error} with its standard error */
  async fleet(name: GatewayName, ...args: readonly string[]): Promise<string> {
    const self = ownCommand();
    const config = ["--config", `${this.folder}/${name}.conf`];
    const child = inNamespace(
      this.site.host(name).namespace,
      () =>
        new Deno.Command(self.program, {
          args: [...self.args, "fleet", ...args, ...config],
          stdin: "null",
          stdout: "piped",
          stderr: "piped",
        }).spawn(),
    );
    const { code, stdout, stderr } = await child.output();
    const text = new TextDecoder();
    if (code !== 0) throw new Error(text.decode(stderr).trim());
    return text.decode(stdout);
  }
}

/** By host; the first gateway's has the client, which is to be moved to the store. */
function configurations(): Record<MemberName, string> {
  const [fleet, client] = [createKeyPair(), createKeyPair()];
  const store = GATEWAY_NAMES.map((name) => `nats://${LAN_ADDRESSES[name]}:${NATS_PORT}`);
  const gateway = configSection("Interface", {
    PrivateKey: fleet.privateKey,
    ListenPort: String(SERVER_PORT),
    Address: `${INNER_GATEWAY}/24`,
    PublicEndpoint: `${VIRTUAL_ADDRESS}:${SERVER_PORT}`,
    Store: store.join(", "),
    VirtualAddress: `${VIRTUAL_ADDRESS}/24`,
  });
  const peer = configSection("Peer", {
    Name: "client",
    PublicKey: client.publicKey,
    AllowedIPs: `${INNER_CLIENT}/32`,
  });
  return {
    "gateway-1": gateway + peer,
    "gateway-2": gateway,
    "gateway-3": gateway,
    "client": configSection("Interface", {
      PrivateKey: client.privateKey,
      Address: `${INNER_CLIENT}/32`,
    }) + configSection("Peer", {
      PublicKey: fleet.publicKey,
      Endpoint: `${VIRTUAL_ADDRESS}:${SERVER_PORT}`,
      AllowedIPs: "0.0.0.0/0",
    }),
  };
}
