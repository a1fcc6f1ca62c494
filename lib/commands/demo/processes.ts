/**
 * Processes: the real `server` and `client` of a demo, and how this very program is started again, watched and ended.
 */
import { inNamespace } from "../../../ffi/netns.ts";
import { ownCommand } from "../../process/own_command.ts";
import { patient } from "./patience.ts";

/** How long a process may take to end after SIGTERM before SIGKILL, in ms. */
const STOP_TIMEOUT = patient(20_000);
/** How many of its last lines are kept. */
const KEPT_LINES = 15;

export interface ProcessOptions {
  /** Names it in messages. */
  readonly title: string;
  /** Another program than this one, by its path. */
  readonly program?: string;
  /** The program's arguments, of this one from the name of the command on. */
  readonly args: readonly string[];
  /** Name of the network namespace that it runs in from its start; left out: it is told of one by its arguments. */
  readonly namespace?: string;
  /** Where it keeps what outlives it. */
  readonly stateDirectory: string;
  /** Is called with each line of its log. */
  readonly onLine: (line: string) => void;
}

export class DemoProcess implements AsyncDisposable {
  readonly title: string;
  readonly pid: number;
  /** Whether it is of another program than this one. */
  readonly isOther: boolean;
  /** Resolves with the exit code, 128 and the signal's number after a signal, once it has ended and its log is read. */
  readonly ended: Promise<number>;
  readonly #child: Deno.ChildProcess;
  readonly #lines: string[] = [];
  #exitCode: number | null = null;

  constructor({ title, program, args, namespace, stateDirectory, onLine }: ProcessOptions) {
    this.title = title;
    this.isOther = program !== undefined;
    const command = program === undefined ? ownCommand() : { program, args: [] };
    const start = () =>
      new Deno.Command(command.program, {
        args: [...command.args, ...args],
        env: { STATE_DIRECTORY: stateDirectory },
        stdin: "null",
        stdout: "null",
        stderr: "piped",
      }).spawn();
    this.#child = namespace === undefined ? start() : inNamespace(namespace, start);
    this.pid = this.#child.pid;
    const read = this.#readLog(onLine);
    this.ended = this.#child.status.then(async ({ code }) => {
      await read;
      this.#exitCode = code;
      return code;
    });
  }

  /** Null while it runs. */
  get exitCode(): number | null {
    return this.#exitCode;
  }

  /** Ends it as a crash would, without a chance to clean up. */
  async crash(): Promise<void> {
    this.#signal("SIGKILL");
    await this.ended;
  }

  /** Has it read its configuration again. */
  hangUp(): void {
    this.#signal("SIGHUP");
  }

  /** The last lines of its log since the previous call. */
  takeLog(): string[] {
    return this.#lines.splice(0);
  }

  /** Ends it, with SIGKILL if SIGTERM does not help, and returns the exit code; safe to call again. */
  async stop(): Promise<number> {
    this.#signal("SIGTERM");
    const timer = setTimeout(() => this.#signal("SIGKILL"), STOP_TIMEOUT);
    try {
      return await this.ended;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #signal(signal: Deno.Signal): void {
    if (this.#exitCode !== null) return;
    try {
      this.#child.kill(signal);
    } catch (error) {
      // It has ended, and we have yet to be told.
      if (!(error instanceof Deno.errors.NotFound) && !(error instanceof TypeError)) throw error;
    }
  }

  async #readLog(onLine: (line: string) => void): Promise<void> {
    let rest = "";
    for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        this.#lines.push(line);
        if (this.#lines.length > KEPT_LINES) this.#lines.shift();
        onLine(line);
      }
    }
  }
}
