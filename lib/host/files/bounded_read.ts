/**
 * Bounded read: a file whose path comes from outside, up to a limit. Whatever is there, nothing is waited for without
 * end: a pipe that nobody writes into, a device that has no end, another user's lease on his file.
 */
import { LEASED } from "./file_attempt.ts";
import { Buffer } from "node:buffer";
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  statfsSync,
  type Stats,
} from "node:fs";

/** ms in which all of a pipe has to come: the program that writes it may ask a person for a password. */
const PIPE_PATIENCE = 60_000;
/** ms between looks at a pipe. */
const PAUSE = 10;
const CHUNK_SIZE = 64 * 1024;
/** Of anonymous pipes (include/uapi/linux/magic.h), as a shell makes one for `<(…)`. */
const PIPEFS_MAGIC = 0x50495045;

export interface FileContent {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Permission bits; 0 for a pipe, which has no lasting ones. */
  readonly mode: number;
  /** Unix ms. */
  readonly modified: number;
}

/**
 * Reads a regular file.
 *
 * @param limit bytes
 * @throws {Error} where it is none, is longer or cannot be read; its message is the reason alone
 */
export function readRegular(path: string, limit: number): FileContent {
  using file = GivenFile.open(path);
  return file.content(limit, 0);
}

/**
 * The same, or a pipe, which has to come within `patience` ms. Meanwhile this thread does nothing else: before a signal
 * is listened for, so that it ends the process.
 */
export function readFileOrPipe(
  path: string,
  limit: number,
  patience: number = PIPE_PATIENCE,
): FileContent {
  using file = GivenFile.open(path, { mayBePipe: true });
  return file.content(limit, patience);
}

/** The same, of which what is beyond the limit is left. */
export function readStart(path: string, limit: number): Uint8Array<ArrayBuffer> {
  using file = GivenFile.open(path, { mayBePipe: true });
  return file.upTo(limit, PIPE_PATIENCE);
}

/** Such a file, open. */
export class GivenFile implements Disposable {
  readonly #fd: number;
  readonly #status: Stats;
  /** Whether it is a pipe in a folder that nobody has written into yet: that reads as the end of one. */
  #isUnwritten: boolean;

  private constructor(fd: number, path: string, mayBePipe: boolean) {
    this.#fd = fd;
    // What a path leads to can have become another since it was looked at.
    this.#status = fstatSync(fd);
    const { isPipe } = checked(kindOf(this.#status), mayBePipe);
    this.#isUnwritten = isPipe && statfsSync(path).type !== PIPEFS_MAGIC;
  }

  /** @throws {Error} where it is no such file, or cannot be read; its message is the reason alone */
  static open(path: string, { mayBePipe = false } = {}): GivenFile {
    // Before it is opened, which already has effects with some devices.
    const { isFile, isDirectory, isFifo } = Deno.statSync(path);
    checked({ isFile, isDirectory, isPipe: isFifo === true }, mayBePipe);
    const fd = opened(path);
    try {
      return new GivenFile(fd, path, mayBePipe);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Bytes, which may be fewer by the time that they are read. */
  get size(): number {
    return this.#status.size;
  }

  /** Reads on. @returns how many bytes; 0 at the end; null where a pipe has none yet */
  read(bytes: Uint8Array<ArrayBuffer>): number | null {
    try {
      const length = readSync(this.#fd, bytes);
      if (length === 0 && this.#isUnwritten) return null;
      this.#isUnwritten = false;
      return length;
    } catch (error) {
      if (codeOf(error) === "EAGAIN") return null;
      throw error;
    }
  }

  /** All of it. @throws {Error} where it is longer than `limit` bytes, or takes longer than `patience` ms */
  content(limit: number, patience: number): FileContent {
    // One byte more than allowed tells a file that is too long from one that is not, whatever its size says.
    const bytes = this.upTo(limit + 1, patience);
    if (bytes.length > limit) throw new Error(`it is longer than ${sizeText(limit)}`);
    const { mode, mtimeMs } = this.#status;
    return { bytes, mode: this.#status.isFile() ? mode : 0, modified: mtimeMs };
  }

  /** Its first bytes. @throws {Error} where they take longer than `patience` ms */
  upTo(limit: number, patience: number): Uint8Array<ArrayBuffer> {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    const end = performance.now() + patience;
    for (let total = 0; total < limit;) {
      const part = new Uint8Array(Math.min(CHUNK_SIZE, limit - total));
      const length = this.read(part);
      if (length === 0) break;
      if (length === null) {
        if (performance.now() >= end) throw new Error(lateness(total, patience));
        pause();
        continue;
      }
      parts.push(part.subarray(0, length));
      total += length;
    }
    return new Uint8Array(Buffer.concat(parts));
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** The bytes of what is open already, up to a limit, in whatever parts they come. */
export function readAtMost(
  file: Pick<Deno.FsFile, "readSync">,
  limit: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(limit);
  let length = 0;
  for (let read: number | null = 0; read !== null && length < limit;) {
    read = file.readSync(bytes.subarray(length));
    length += read ?? 0;
  }
  return bytes.subarray(0, length);
}

interface Kind {
  readonly isFile: boolean;
  readonly isDirectory: boolean;
  readonly isPipe: boolean;
}

function kindOf(status: Stats): Kind {
  return {
    isFile: status.isFile(),
    isDirectory: status.isDirectory(),
    isPipe: status.isFIFO(),
  };
}

function checked(kind: Kind, mayBePipe: boolean): Kind {
  if (kind.isFile || (kind.isPipe && mayBePipe)) return kind;
  if (kind.isDirectory) throw new Error("it is a directory");
  if (kind.isPipe) {
    throw new Error("it is not a regular file, and a pipe cannot be read twice: copy it to a file");
  }
  throw new Error("it is not a regular file: copy what you need of it to one");
}

/** @throws {Deno.errors.PermissionDenied} as Deno's own functions do */
function opened(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    const code = codeOf(error);
    if (code === "EACCES" || code === "EPERM") {
      throw new Deno.errors.PermissionDenied("permission denied", { cause: error });
    }
    if (code === "ENOENT") throw new Deno.errors.NotFound("no such file", { cause: error });
    if (code === "EAGAIN") throw new Error(LEASED, { cause: error });
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}

function lateness(length: number, patience: number): string {
  const what = length === 0 ? "nobody has written into this pipe" : "this pipe has not ended";
  return `${what} within ${patience / 1000} s: write all of it at once, or give a regular file`;
}

function sizeText(bytes: number): string {
  const MiB = 1024 * 1024;
  if (bytes % MiB === 0) return `${bytes / MiB} MiB`;
  return bytes % 1024 === 0 ? `${bytes / 1024} KiB` : `${bytes} bytes`;
}

function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE);
}
