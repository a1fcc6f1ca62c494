/** Demo stage: what the stages of all demos have while they run - threads, processes, files - and its removal. */
import type { LogOptions } from "../../cli/command.ts";
import { journalsOf } from "../../host/journal/journal_files.ts";
import { ExitCode } from "../../process/errors.ts";
import { Agent } from "./agent.ts";
import { LogWatch } from "./log_watch.ts";
import { DemoProcess, type ProcessOptions } from "./processes.ts";
import type { Host } from "./topology.ts";
import { makePrivateFolder, removeFolder } from "./traces.ts";

/** What all processes call their TUN device. */
export const TUN_NAME = "vpn0";

/** Levels that leave out what the steps wait for. */
const SHORT_LEVELS: ReadonlySet<string> = new Set(["error", "warning"]);

export interface DemoStageOptions extends LogOptions {
  /** Is called with each line of a process's log. */
  readonly onLogLine: (title: string, line: string) => void;
}

interface TunnelOptions {
  readonly command: "server" | "client";
  readonly host: Host;
  readonly stateDirectory: string;
}

/** With names of the threads, and titles of the processes. */
export abstract class DemoStage<AgentName extends string, Title extends string>
  implements AsyncDisposable {
  /** Its namespaces. */
  abstract readonly site: { readonly hosts: readonly Host[] };
  /** Where the files are. */
  protected readonly folder: string;
  readonly #options: DemoStageOptions;
  readonly #resources = new AsyncDisposableStack();
  readonly #agents = new Map<string, Agent>();
  readonly #processes = new Map<string, DemoProcess>();
  readonly #logs = new LogWatch();
  readonly #lost = Promise.withResolvers<never>();
  #stopping = false;
  #isLost = false;

  /** @param resources take what is to be removed in the end */
  protected constructor(resources: DisposableStack, options: DemoStageOptions) {
    this.folder = resources.adopt(makePrivateFolder(), removeFolder);
    this.#options = options;
    // That nobody waits for it is no error of its own.
    this.#lost.promise.catch(() => {});
  }

  /** Makes a stage; where that fails, nothing is left of it. */
  protected static opened<Stage extends DemoStage<string, string>>(
    make: (resources: DisposableStack) => Stage,
  ): Stage {
    using resources = new DisposableStack();
    const stage = make(resources);
    stage.#resources.use(resources.move());
    return stage;
  }

  /** Writes a new file into the folder. */
  protected write(name: string, text: string): void {
    Deno.writeTextFileSync(`${this.folder}/${name}`, text, { createNew: true, mode: 0o600 });
  }

  /** Starts a thread in a host's namespace. */
  protected openAgent(resources: DisposableStack, name: AgentName, host: Host): void {
    this.#agents.set(name, resources.use(new Agent(host.namespace)));
  }

  /** Rejects when a process ends without being told to; never resolves. */
  get lost(): Promise<never> {
    return this.#lost.promise;
  }

  /** Whether that has happened. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** The thread with this name. */
  agent(name: AgentName): Agent {
    return this.#agents.get(name)!;
  }

  /** Starts a server or client by the file of its title, in the namespace of its host. */
  protected startTunnel(
    title: Title,
    { command, host, stateDirectory }: TunnelOptions,
  ): DemoProcess {
    const { logLevel, logFormat } = this.#options;
    return this.startProcess({
      title,
      stateDirectory,
      args: [
        command,
        ...["--config", `${this.folder}/${title}.conf`],
        ...["--netns", host.namespace],
        ...["--interface", TUN_NAME],
        // The steps read in the log what happens, so it tells at least that much.
        ...["--log-level", SHORT_LEVELS.has(logLevel) ? "info" : logLevel],
        ...["--log-format", logFormat],
      ],
    });
  }

  protected startProcess(
    options: Omit<ProcessOptions, "onLine"> & { readonly title: Title },
  ): DemoProcess {
    const { title } = options;
    const process = this.#resources.use(
      new DemoProcess({
        ...options,
        onLine: (line) => {
          this.#logs.note(title, line);
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
    return process;
  }

  /** The process with this title; undefined where there is none, or it was killed. */
  protected process(title: Title): DemoProcess | undefined {
    return this.#processes.get(title);
  }

  /** Kills a process, as a crash would end it. */
  async crash(title: Title): Promise<void> {
    const process = this.#processes.get(title);
    this.#processes.delete(title);
    await process?.crash();
  }

  /** Resolves when a process logs a line that matches, from now on. */
  logged(title: Title, pattern: RegExp): Promise<RegExpExecArray> {
    return this.#logs.logged(title, pattern);
  }

  /** The last lines of all logs since the previous call, each with its process's title. */
  takeLogs(): string[] {
    return [...this.#processes.values()].flatMap((process) =>
      process.takeLog().map((line) => `${process.title}: ${line}`)
    );
  }

  /** What a watch has seen that should not have been, since the previous call. */
  offences(): string[] {
    return [];
  }

  /**
   * Ends all processes, servers and clients at once as at a shutdown, then other programs, and returns a line for each
   * server or client that did not end with exit code 0, and for each note that is left of a change to the host.
   */
  async stopProcesses(): Promise<string[]> {
    this.#stopping = true;
    const all = [...this.#processes.values()];
    const [others, own] = [true, false].map((isOther) =>
      all.filter((process) => process.isOther === isOther)
    );
    const codes = await Promise.all(own!.map((process) => process.stop()));
    await Promise.all(others!.map((process) => process.stop()));
    return own!.flatMap(({ title, pid }, i) => [
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
