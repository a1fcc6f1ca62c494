/** Command `vpn capture`: has a running instance capture packets, and writes them to a file or to standard output. */
import { ENXIO, EPIPE, SystemCallError } from "../../ffi/errno.ts";
import { Folder, type OpenFile } from "../../ffi/folder.ts";
import type { CaptureCounts } from "../core/capture/capture.ts";
import type { CaptureOptions } from "../cli/command.ts";
import { quoted } from "../core/config/config_error.ts";
import { type CaptureParams, chunkOf } from "../control/capture.ts";
import { ControlClient } from "../control/client.ts";
import { AppError, errorMessage, ExitCode } from "../process/errors.ts";
import { writeText } from "../process/output.ts";
import { listenForStop } from "../process/stop_signal.ts";

/** Packets are nobody else's business. */
const OWNER_ONLY = 0o600;
/** Folders of root's, with links in one of them that no path stands for. In /dev/shm anybody makes files. */
const DEVICE = /^\/(?:dev(?!\/shm\/)|proc)\//;
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
      "Cannot write packets to a terminal: give a file with -w FILE, or use a pipe, " +
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
        writeText(Deno.stderr, `capturing on ${interfaceName}, Ctrl-C to stop\n`);
      }
      if (!output.write(chunkOf(event))) end();
    },
  }) as CaptureCounts;
  const { packets, dropped } = counts;
  const problem = output.failure();
  if (problem !== null) throw problem;
  writeText(
    Deno.stderr,
    `${packets} packets captured${dropped === 0 ? "" : `, ${dropped} dropped (buffer full)`}\n`,
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
  #write: ((bytes: Uint8Array<ArrayBuffer>) => void) | null = null;
  #resource: Disposable | null = null;
  #error: unknown = null;

  constructor(path: string) {
    this.#path = path;
  }

  /** Whether something has been written, or was meant to be. */
  get isOpen(): boolean {
    return this.#write !== null || this.#error !== null;
  }

  /** Writes all of it. Returns false when nothing more can be written, as `failure()` tells. */
  write(bytes: Uint8Array<ArrayBuffer>): boolean {
    if (this.#error !== null) return false;
    try {
      const write = this.#write ??= this.#open();
      write(bytes);
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
    if (error instanceof SystemCallError && error.errno === EPIPE) return null;
    const isUnread = error instanceof SystemCallError && error.errno === ENXIO;
    const why = isUnread
      ? "nobody reads from this pipe: start its reader first"
      : errorMessage(error);
    return new AppError(`Cannot write packets to ${quoted(this.#path)}: ${why}`, {
      exitCode: ExitCode.usage,
      cause: error,
    });
  }

  [Symbol.dispose](): void {
    this.#resource?.[Symbol.dispose]();
  }

  #open(): (bytes: Uint8Array<ArrayBuffer>) => void {
    if (this.#path === STANDARD_OUTPUT) return (bytes) => writeAll(Deno.stdout, bytes);
    if (DEVICE.test(this.#path)) {
      const device = this.#resource = Deno.openSync(this.#path, { write: true });
      return (bytes) => writeAll(device, bytes);
    }
    const file = this.#resource = openFile(this.#path);
    return (bytes) => file.write(bytes);
  }
}

/** Opens a file where others may change its folder meanwhile: nothing but it is emptied, and has its mode changed. */
function openFile(path: string): OpenFile {
  const { folder, name } = Folder.find(path);
  using _folder = folder;
  if (!folder.has(name)) return folder.create(name, OWNER_ONLY);
  using opened = new DisposableStack();
  const file = opened.use(folder.openToWrite(name));
  if (file.isRegular) {
    // One that was there already has a mode of its own.
    file.setMode(OWNER_ONLY);
    file.truncate();
  }
  opened.move();
  return file;
}

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) {
    written += stream.writeSync(bytes.subarray(written));
  }
}
