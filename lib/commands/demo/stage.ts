/** Stage: all that a demo has while it runs - namespaces, threads in them, processes, files - and its removal. */
import { openLibc } from "../../../ffi/libc.ts";
import type { LogOptions } from "../../cli/command.ts";
import { parseIpv4 } from "../../core/wire/ipv4_text.ts";
import { ExitCode } from "../../process/errors.ts";
import { journalsOf } from "../../host/journal/journal_files.ts";
import { Agent } from "./agent.ts";
import { createConfigurations } from "./identities.ts";
import { LinkWatch } from "./link_watch.ts";
import { LogWatch } from "./log_watch.ts";
import { DemoProcess } from "./processes.ts";
import {
  GATEWAY_ADDRESS,
  HOST_NAMES,
  type HostName,
  type MemberName,
  Topology,
} from "./topology.ts";
import { makePrivateFolder, removeFolder } from "./traces.ts";

/** What all processes call their TUN device. */
export const TUN_NAME = "vpn0";

export interface StageOptions extends LogOptions {
  /** Is called with each line of a process's log. */
  readonly onLogLine: (host: MemberName, line: string) => void;
}

/** Levels that leave out what the steps wait for. */
export const SHORT_LEVELS: ReadonlySet<string> = new Set(["error", "warning"]);

export class Stage implements AsyncDisposable {
  readonly topology: Topology;
  /** Sees what the gateway sends to the internet, from the start. */
  readonly watch: LinkWatch;
  /** Where the configuration files are. */
  readonly folder: string;
  readonly #options: StageOptions;
  readonly #resources = new AsyncDisposableStack();
  readonly #agents = new Map<HostName, Agent>();
  readonly #processes = new Map<MemberName, DemoProcess>();
  readonly #logWatch = new LogWatch();
  readonly #lost = Promise.withResolvers<never>();
  #stopping = false;
  #isLost = false;

  private constructor(
    { topology, watch, folder }: { topology: Topology; watch: LinkWatch; folder: string },
    options: StageOptions,
  ) {
    this.topology = topology;
    this.watch = watch;
    this.folder = folder;
    this.#options = options;
    // Whoever is interested waits for it; that nobody does is no error of its own.
    this.#lost.promise.catch(() => {});
  }

  /** @throws {SystemCallError | NetlinkError} EPERM without the privileges; nothing is left then */
  static open(options: StageOptions): Stage {
    using resources = new DisposableStack();
    const folder = resources.adopt(makePrivateFolder(), removeFolder);
    const topology = resources.use(new Topology());
    for (const [host, text] of Object.entries(createConfigurations(topology.hasIpv6))) {
      Deno.writeTextFileSync(`${folder}/${host}.conf`, text, { createNew: true, mode: 0o600 });
    }
    const watch = resources.use(openWatch(topology));
    const stage = new Stage({ topology, watch, folder }, options);
    for (const name of HOST_NAMES) {
      // Nobody does anything there.
      if (name === "hotel") continue;
      const agent = resources.use(new Agent(topology.host(name).namespace));
      stage.#agents.set(name, agent);
    }
    stage.#resources.use(resources.move());
    return stage;
  }

  /** Rejects when a process ends without being told to; never resolves. */
  get lost(): Promise<never> {
    return this.#lost.promise;
  }

  /** Whether that has happened. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** The thread in a host's namespace. */
  agent(name: HostName): Agent {
    const agent = this.#agents.get(name);
    if (agent === undefined) throw new Error(`Cannot find the thread of "${name}": there is none`);
    return agent;
  }

  /** Starts a host's process: the gateway's is a server, the others' are clients. */
  start(name: MemberName): DemoProcess {
    const { logLevel, logFormat, onLogLine } = this.#options;
    const process = this.#resources.use(
      new DemoProcess({
        title: name,
        stateDirectory: this.folder,
        args: [
          name === "gateway" ? "server" : "client",
          ...["--config", `${this.folder}/${name}.conf`],
          ...["--netns", this.topology.host(name).namespace],
          ...["--interface", TUN_NAME],
          // The steps read in the log what happens, so it tells at least that much.
          ...["--log-level", SHORT_LEVELS.has(logLevel) ? "info" : logLevel],
          ...["--log-format", logFormat],
        ],
        onLine: (line) => {
          this.#logWatch.note(name, line);
          onLogLine(name, line);
        },
      }),
    );
    this.#processes.set(name, process);
    process.ended.then((code) => {
      if (this.#stopping || this.#processes.get(name) !== process) return;
      this.#isLost = true;
      this.#lost.reject(new Error(`${name} has ended with exit code ${code}`));
    });
    return process;
  }

  /** What a host's process is configured by. */
  configurationOf(name: MemberName): string {
    return Deno.readTextFileSync(`${this.folder}/${name}.conf`);
  }

  /** Gives a host's process another configuration, which it follows. */
  reconfigure(name: MemberName, text: string): void {
    Deno.writeTextFileSync(`${this.folder}/${name}.conf`, text);
    this.#processes.get(name)?.hangUp();
  }

  /** Kills a host's process, as a crash would end it. */
  async crash(name: MemberName): Promise<void> {
    const process = this.#processes.get(name);
    this.#processes.delete(name);
    await process?.crash();
  }

  /** Resolves when a host's process logs a line that matches, from now on. */
  logged(name: MemberName, pattern: RegExp): Promise<unknown> {
    return this.#logWatch.logged(name, pattern);
  }

  /** The last lines of all logs since the previous call, each with its host's name. */
  takeLogs(): string[] {
    return [...this.#processes.values()].flatMap((process) =>
      process.takeLog().map((line) => `${process.title}: ${line}`)
    );
  }

  /**
   * Ends all processes, at once as at a shutdown, and returns a line for each that did not end with exit code 0, and
   * for each note that is left of a change to the host.
   */
  async stopProcesses(): Promise<string[]> {
    this.#stopping = true;
    const processes = [...this.#processes.values()];
    const codes = await Promise.all(processes.map((process) => process.stop()));
    return processes.flatMap(({ title, pid }, i) => [
      ...(codes[i] === ExitCode.ok ? [] : [`${title} ended with exit code ${codes[i]}`]),
      ...journalsOf(pid).map(({ path }) => `${title}: left behind: ${path}`),
    ]);
  }

  /** Removes everything; safe to call again. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopProcesses();
    await this.#resources.disposeAsync();
  }
}

function openWatch(topology: Topology): LinkWatch {
  const internet = topology.host("internet");
  const { index } = internet.netlink.links.get("gateway");
  const options = { link: index, address: parseIpv4(GATEWAY_ADDRESS)! };
  return internet.inside(() => new LinkWatch(openLibc(), options));
}
