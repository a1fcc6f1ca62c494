/** Owns `vpn capture`: has a running instance capture packets, and writes them to a file or to standard output. */
import type { CaptureCounts } from "../capture/capture.ts";
import type { CaptureOptions } from "../cli/command.ts";
import { quoted } from "../config/config_error.ts";
import { type CaptureParams, chunkOf } from "./control/capture.ts";
import { ControlClient } from "./control/client.ts";
import { AppError, ExitCode } from "./errors.ts";
import { writeText } from "./output.ts";
import { listenForStop } from "./stop_signal.ts";

/** Packets are nobody else's business. */
const OWNER_ONLY = 0o600;
/** In place of a file: standard output. */
const STANDARD_OUTPUT = "-";

/**
 * Captures until a signal comes, or nobody reads standard output any more.
 *
 * @throws {AppError} with exit code 2 where the output cannot be written, 3 where no such instance runs or it ends
 */
export async function runCapture(options: CaptureOptions): Promise<number> {
  const { interfaceName, write } = options;
  if (write === STANDARD_OUTPUT && Deno.stdout.isTerminal()) {
    throw new AppError(
      "Cannot write packets to a terminal: name a file with -w FILE, or pipe them, " +
        "as in `vpn capture | tshark -i -`",
      { exitCode: ExitCode.usage },
    );
  }
  using stop = listenForStop();
  using client = await ControlClient.connect(interfaceName);
  const end = () => client.end();
  void stop.received.then(end);
  // It is opened when the first bytes come, which is at once: no file is touched if the instance refuses.
  using output = new CaptureOutput(write);
  const counts = await client.request("capture", { ...captureParams(options) }, {
    onEvent: (event) => {
      if (!output.isOpen) {
        writeText(Deno.stderr, `capturing on ${interfaceName}, until Ctrl-C\n`);
      }
      if (!output.write(chunkOf(event))) end();
    },
  }) as CaptureCounts;
  const { packets, dropped } = counts;
  const problem = output.failure();
  if (problem !== null) throw problem;
  writeText(
    Deno.stderr,
    `${packets} packets captured${dropped === 0 ? "" : `, ${dropped} lost for want of room`}\n`,
  );
  return ExitCode.ok;
}

function captureParams({ peer, snapLength }: CaptureOptions): CaptureParams {
  return {
    ...(peer === null ? {} : { peer }),
    ...(snapLength === null ? {} : { snapLength }),
  };
}

/** Where packets go. */
class CaptureOutput implements Disposable {
  readonly #path: string;
  #stream: { writeSync(bytes: Uint8Array): number } | null = null;
  #file: Deno.FsFile | null = null;
  #error: unknown = null;

  constructor(path: string) {
    this.#path = path;
  }

  /** Whether something has been written, or was meant to be. */
  get isOpen(): boolean {
    return this.#stream !== null || this.#error !== null;
  }

  /** Writes all of it. Returns false when nothing more can be written, as `failure()` tells. */
  write(bytes: Uint8Array): boolean {
    if (this.#error !== null) return false;
    try {
      const stream = this.#stream ??= this.#open();
      for (let written = 0; written < bytes.length;) {
        written += stream.writeSync(bytes.subarray(written));
      }
      return true;
    } catch (error) {
      this.#error = error;
      return false;
    }
  }

  /** What went wrong; null for nothing. That a reader of standard output has had enough is not wrong. */
  failure(): AppError | null {
    const error = this.#error;
    if (error === null || error instanceof Deno.errors.BrokenPipe) return null;
    const why = error instanceof Error ? error.message : String(error);
    return new AppError(`Cannot write packets to ${quoted(this.#path)}: ${why}`, {
      exitCode: ExitCode.usage,
      cause: error,
    });
  }

  [Symbol.dispose](): void {
    this.#file?.close();
  }

  #open(): { writeSync(bytes: Uint8Array): number } {
    if (this.#path === STANDARD_OUTPUT) return Deno.stdout;
    const options = { write: true, create: true, truncate: true, mode: OWNER_ONLY };
    const file = this.#file = Deno.openSync(this.#path, options);
    // One that was there already has a mode of its own.
    if (file.statSync().isFile) Deno.chmodSync(this.#path, OWNER_ONLY);
    return file;
  }
}
