/**
 * External programs run by tests: started inside a network namespace if need be, read, and ended again. Only what was
 * started here is ever sent a signal.
 */
import { inNamespace } from "../../ffi/netns.ts";
import { PATIENCE } from "./time/patience.ts";
import { temporaryFolder } from "./folder.ts";

/** How long a program may run unless a test says otherwise. */
const RUN_TIMEOUT_MS = 2 * PATIENCE;
/** How long a background program may take to end after SIGTERM before SIGKILL. */
const STOP_TIMEOUT_MS = PATIENCE / 2;
/**
 * How long after a program's end its output may bring nothing before it is taken for whole. What it wrote is there at
 * once; but a child that outlives it keeps the pipe open for as long as it likes.
 */
const DRAIN_TIMEOUT_MS = 1_000;

/** How a program ended and what it wrote. */
export interface RunResult {
  /** Exit code; 128 + signal number where a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** What the program reads from its standard input; nothing if left out. */
  readonly stdin?: string;
  readonly env?: Record<string, string>;
  /** SIGKILL after this time; two minutes if left out. */
  readonly timeoutMs?: number;
}

/**
 * Runs a program to its end in the namespace with this name, or in the thread's own one for null.
 *
 * @param command the program and its arguments
 */
export async function run(
  namespace: string | null,
  command: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const child = start(namespace, command, {
    stdin: options.stdin === undefined ? "null" : "piped",
    env: options.env ?? {},
  });
  const process = new BackgroundProcess(child, command.join(" "));
  const timer = setTimeout(() => process.signal("SIGKILL"), options.timeoutMs ?? RUN_TIMEOUT_MS);
  try {
    if (options.stdin !== undefined) await feed(child, options.stdin);
    const { code } = await process.status;
    return { code, stdout: process.stdout, stderr: process.stderr };
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The same for a program that must succeed.
 *
 * @returns what it wrote to its standard output
 * @throws {Error} with its standard error when the exit code is not 0
 */
export async function output(
  namespace: string | null,
  command: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await run(namespace, command, options);
  if (code !== 0) {
    throw new Error(`Cannot run \`${command.join(" ")}\`: exit code ${code}: ${stderr || stdout}`);
  }
  return stdout;
}

/** Starts a program that runs in the background until it is stopped; otherwise as `run()`. */
export function spawn(
  namespace: string | null,
  command: readonly string[],
  options: { readonly env?: Record<string, string> } = {},
): BackgroundProcess {
  const child = start(namespace, command, { stdin: "null", env: options.env ?? {} });
  return new BackgroundProcess(child, command.join(" "));
}

/** A running program. Disposal ends it: SIGTERM, and SIGKILL when that does not help. */
export class BackgroundProcess implements AsyncDisposable {
  readonly pid: number;
  /** Resolves when it has ended. */
  readonly status: Promise<Deno.CommandStatus>;
  readonly #child: Deno.ChildProcess;
  readonly #title: string;
  readonly #readers: Promise<unknown>;
  readonly #drained = new AbortController();
  /** Once the program has ended: the timer that gives its output up. */
  #draining: ReturnType<typeof setTimeout> | undefined;
  readonly #written = { stdout: "", stderr: "" };
  #ended = false;
  /** To be called when it has written something or ended. */
  readonly #waiting = new Set<() => void>();

  constructor(child: Deno.ChildProcess, title: string) {
    this.#child = child;
    this.#title = title;
    this.pid = child.pid;
    this.#readers = Promise.all([
      this.#collect("stdout", child.stdout),
      this.#collect("stderr", child.stderr),
    ]);
    this.status = child.status.then(async (status) => {
      this.#drainSoon();
      await this.#readers;
      clearTimeout(this.#draining);
      this.#ended = true;
      this.#wake();
      return status;
    });
  }

  /** What it has written to its standard output so far. */
  get stdout(): string {
    return this.#written.stdout;
  }

  /** What it has written to its standard error so far. */
  get stderr(): string {
    return this.#written.stderr;
  }

  /**
   * Waits until its standard output or standard error has a match.
   *
   * @throws {Error} with everything it wrote, when it ends before or the time is up
   */
  async waitFor(pattern: RegExp, timeoutMs = PATIENCE): Promise<RegExpMatchArray> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const match = this.stdout.match(pattern) ?? this.stderr.match(pattern);
      if (match !== null) return match;
      const left = deadline - Date.now();
      if (this.#ended || left <= 0) {
        const why = this.#ended ? "it ended" : `not within ${timeoutMs} ms`;
        throw new Error(
          `Cannot find ${pattern} in what \`${this.#title}\` writes: ${why}\n${this.stdout}${this.stderr}`,
        );
      }
      await this.#change(left);
    }
  }

  /**
   * Waits until it has ended by itself.
   *
   * @throws {Error} with everything it wrote, when the time is up
   */
  async ended(timeoutMs = PATIENCE): Promise<Deno.CommandStatus> {
    const deadline = Date.now() + timeoutMs;
    while (!this.#ended) {
      const left = deadline - Date.now();
      if (left <= 0) {
        throw new Error(
          `Cannot wait any longer for the end of \`${this.#title}\`: ${this.stdout}${this.stderr}`,
        );
      }
      await this.#change(left);
    }
    return await this.status;
  }

  /** Sends a signal; one that has ended already is left alone. */
  signal(signal: Deno.Signal): void {
    kill(this.#child, signal);
  }

  /** Ends it with SIGTERM, and SIGKILL when that has not ended it in time. */
  async stop(timeoutMs = STOP_TIMEOUT_MS): Promise<Deno.CommandStatus> {
    this.signal("SIGTERM");
    const timer = setTimeout(() => this.signal("SIGKILL"), timeoutMs);
    try {
      return await this.status;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #collect(
    stream: "stdout" | "stderr",
    source: ReadableStream<Uint8Array<ArrayBuffer>>,
  ): Promise<void> {
    const { signal } = this.#drained;
    try {
      for await (const text of source.pipeThrough(new TextDecoderStream(), { signal })) {
        this.#written[stream] += text;
        if (this.#draining !== undefined) this.#drainSoon();
        this.#wake();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #drainSoon(): void {
    clearTimeout(this.#draining);
    this.#draining = setTimeout(() => this.#drained.abort(), DRAIN_TIMEOUT_MS);
  }

  /** Resolves at the next change, or after `timeoutMs`. */
  #change(timeoutMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeoutMs);
    this.#waiting.add(resolve);
    return promise.finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(resolve);
    });
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
  }
}

function start(
  namespace: string | null,
  command: readonly string[],
  options: { readonly stdin: "null" | "piped"; readonly env: Record<string, string> },
): Deno.ChildProcess {
  const [program = "", ...args] = command;
  // A Deno would look for a newer one now and then, and be seen among what a test watches.
  const env = {
    DENO_NO_UPDATE_CHECK: "1",
    STATE_DIRECTORY: ownStateDirectory(),
    ...options.env,
  };
  // The child is made before spawn() returns, so it inherits the namespace that the thread is in now.
  const begin = () =>
    new Deno.Command(program, { args, ...options, env, stdout: "piped", stderr: "piped" })
      .spawn();
  return namespace === null ? begin() : inNamespace(namespace, begin);
}

async function feed(child: Deno.ChildProcess, text: string): Promise<void> {
  const writer = child.stdin.getWriter();
  try {
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
  } catch (error) {
    // It ended without reading; its exit code says why.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

function kill(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch (error) {
    // It has ended already, and the runtime has reaped it.
    if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
  }
}

let stateDirectory: string | null = null;

/** Where programs of this test file keep what outlives them: no two files share one, and nothing of it is left. */
function ownStateDirectory(): string {
  stateDirectory ??= temporaryFolder();
  return stateDirectory;
}
