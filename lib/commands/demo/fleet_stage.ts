/** Fleet stage: all that a demo of a fleet has while it runs, and its removal. */
import { inNamespace } from "../../../ffi/netns.ts";
import type { LogOptions } from "../../cli/command.ts";
import { ExitCode } from "../../process/errors.ts";
import { journalsOf } from "../../host/journal/journal_files.ts";
import { ownCommand } from "../../process/own_command.ts";
import { Agent } from "./agent.ts";
import { configSection, createKeyPair, SERVER_PORT } from "./identities.ts";
import { LogWatch } from "./log_watch.ts";
import { DemoProcess, type ProcessOptions } from "./processes.ts";
import { SHORT_LEVELS, TUN_NAME } from "./stage.ts";
import { makePrivateFolder, removeFolder } from "./traces.ts";
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
export type AgentName = keyof typeof AGENTS;

export interface FleetStageOptions extends LogOptions {
  /** The program of NATS. */
  readonly natsServer: string;
  /** Is called with each line of a process's log. */
  readonly onLogLine: (title: string, line: string) => void;
}

export class FleetStage implements AsyncDisposable {
  readonly site: FleetSite;
  readonly logs = new LogWatch();
  readonly #folder: string;
  readonly #options: FleetStageOptions;
  readonly #resources = new AsyncDisposableStack();
  readonly #agents = new Map<AgentName, Agent>();
  readonly #processes = new Map<string, DemoProcess>();
  readonly #lost = Promise.withResolvers<never>();
  #stopping = false;
  #isLost = false;

  private constructor(site: FleetSite, folder: string, options: FleetStageOptions) {
    this.site = site;
    this.#folder = folder;
    this.#options = options;
    // That nobody waits for it is no error of its own.
    this.#lost.promise.catch(() => {});
  }

  /** @throws {SystemCallError | NetlinkError} EPERM without the privileges; nothing is left then */
  static open(options: FleetStageOptions): FleetStage {
    using resources = new DisposableStack();
    const folder = resources.adopt(makePrivateFolder(), removeFolder);
    const site = resources.use(new FleetSite());
    const stage = new FleetStage(site, folder, options);
    for (const [name, text] of Object.entries(configurations())) {
      stage.#write(`${name}.conf`, text);
    }
    for (const name of GATEWAY_NAMES) {
      Deno.mkdirSync(`${folder}/${name}`);
      const addresses = GATEWAY_NAMES.map((each) => LAN_ADDRESSES[each]);
      const kept = `${folder}/nats-${name}`;
      stage.#write(`nats-${name}.conf`, natsConfiguration(LAN_ADDRESSES[name], addresses, kept));
    }
    for (const [name, host] of Object.entries(AGENTS)) {
      const agent = resources.use(new Agent(site.host(host).namespace));
      stage.#agents.set(name as AgentName, agent);
    }
    stage.#resources.use(resources.move());
    return stage;
  }

  get lost(): Promise<never> {
    return this.#lost.promise;
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  agent(name: AgentName): Agent {
    return this.#agents.get(name)!;
  }

  /** Starts the node of NATS on a gateway's host, with the title `nats-GATEWAY`. */
  startNats(name: GatewayName): void {
    this.#start({
      title: `nats-${name}`,
      program: this.#options.natsServer,
      args: ["--config", `${this.#folder}/nats-${name}.conf`],
      namespace: this.site.host(name).namespace,
      stateDirectory: this.#folder,
    });
  }

  /** Starts a gateway or the client. */
  start(name: GatewayName | "client"): void {
    const { logLevel, logFormat } = this.#options;
    this.#start({
      title: name,
      args: [
        name === "client" ? "client" : "server",
        ...["--config", `${this.#folder}/${name}.conf`],
        ...["--netns", this.site.host(name).namespace],
        ...["--interface", TUN_NAME],
        // The steps read in the log what happens, so it tells at least that much.
        ...["--log-level", SHORT_LEVELS.has(logLevel) ? "info" : logLevel],
        ...["--log-format", logFormat],
      ],
      stateDirectory: name === "client" ? this.#folder : `${this.#folder}/${name}`,
    });
  }

  #start(options: Omit<ProcessOptions, "onLine">): void {
    const { title } = options;
    const process = this.#resources.use(
      new DemoProcess({
        ...options,
        onLine: (line) => {
          this.logs.note(title, line);
          this.#options.onLogLine(title, line);
        },
      }),
    );
    this.#processes.set(title, process);
    process.ended.then((code) => {
      if (this.#stopping || this.#processes.get(title) !== process) return;
      this.#isLost = true;
      this.#lost.reject(new Error(`${title} has ended with exit code ${code}`));
    });
  }

  /** Whether a gateway runs. */
  runs(name: GatewayName): boolean {
    return this.#processes.has(name);
  }

  /** Kills a gateway, as a crash would end it. */
  async crash(name: GatewayName): Promise<void> {
    const process = this.#processes.get(name);
    this.#processes.delete(name);
    await process?.crash();
  }

  /** Says `vpn fleet ARGS` on a gateway's host; what that prints. @throws {Error} with its standard error */
  async fleet(name: GatewayName, ...args: readonly string[]): Promise<string> {
    const self = ownCommand();
    const config = ["--config", `${this.#folder}/${name}.conf`];
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

  takeLogs(): string[] {
    return [...this.#processes.values()].flatMap((process) =>
      process.takeLog().map((line) => `${process.title}: ${line}`)
    );
  }

  /**
   * Ends all processes, the nodes of NATS last, and returns a line for each gateway or client that did not end with
   * exit code 0, and for each note that is left of a change to the host.
   */
  async stopProcesses(): Promise<string[]> {
    this.#stopping = true;
    const all = [...this.#processes.values()];
    const [nodes, members] = [true, false].map((isNode) =>
      all.filter(({ title }) => title.startsWith("nats-") === isNode)
    );
    const codes = await Promise.all(members!.map((process) => process.stop()));
    await Promise.all(nodes!.map((process) => process.stop()));
    return members!.flatMap(({ title, pid }, i) => [
      ...(codes[i] === ExitCode.ok ? [] : [`${title} ended with exit code ${codes[i]}`]),
      ...journalsOf(pid).map(({ path }) => `${title}: left behind: ${path}`),
    ]);
  }

  /** Removes everything; safe to call again. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopProcesses();
    await this.#resources.disposeAsync();
  }

  #write(name: string, text: string): void {
    Deno.writeTextFileSync(`${this.#folder}/${name}`, text, { createNew: true, mode: 0o600 });
  }
}

/** By host; the first gateway's has the client, which is to be moved to the store. */
function configurations(): Record<GatewayName | "client", string> {
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
