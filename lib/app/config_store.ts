/**
 * Owns how files with keys are written: at every moment a file is absent or whole, only its owner can read it, and of
 * two that want to change it one waits.
 */
import { basename, dirname } from "node:path";
import { AppError, ExitCode } from "./errors.ts";

/** A change takes milliseconds. */
const LOCK_TIMEOUT_MS = 10_000;
const LOCK_RETRY_MS = 20;

/**
 * Locks the folder that `path` is in, until the result is disposed of or the process ends. The file itself cannot carry
 * the lock: each change puts another one in its place.
 *
 * @throws {AppError} if another process does not let go of it
 */
export async function lockFolderOf(path: string): Promise<Disposable> {
  const folder = dirname(path);
  const file = attempt(`open the folder ${folder}`, () => Deno.openSync(folder));
  for (let waited = 0; !file.tryLockSync(true); waited += LOCK_RETRY_MS) {
    if (waited >= LOCK_TIMEOUT_MS) {
      file.close();
      throw new AppError(
        `Cannot change ${path}: another process has kept ${folder} locked for ${
          LOCK_TIMEOUT_MS / 1000
        } s: see which one by \`fuser ${folder}\``,
        { exitCode: ExitCode.unexpected },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, LOCK_RETRY_MS));
  }
  return file;
}

/**
 * Writes a file that must not be there yet, its folder with it, if need be.
 *
 * @throws {AppError} where it cannot, or the file exists
 */
export function createFile(path: string, text: string): void {
  attempt(`write ${path}`, () => {
    Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // Unlike a renaming, a link never takes another file's place.
    writeWhole(path, text, (temporary) => Deno.linkSync(temporary, path));
  });
}

/**
 * Puts a file with this text in the place of one that is there. Its owner stays.
 *
 * @throws {AppError}
 */
export function replaceFile(path: string, text: string): void {
  attempt(`write ${path}`, () => {
    const { uid, gid } = Deno.statSync(path);
    writeWhole(path, text, (temporary) => {
      if (uid !== Deno.uid() || gid !== Deno.gid()) Deno.chownSync(temporary, uid, gid);
      Deno.renameSync(temporary, path);
    });
  });
}

/** The file that a path stands for where it is a symbolic link: a new file must not take the link's place. */
export function followLink(path: string): string {
  try {
    return Deno.lstatSync(path).isSymlink ? Deno.realPathSync(path) : path;
  } catch {
    // Whoever reads it will say what is wrong with it.
    return path;
  }
}

/** Has `place` move a file with this text, all of it on the disk, to where it belongs. */
function writeWhole(path: string, text: string, place: (temporary: string) => void): void {
  const folder = dirname(path);
  // Mode 0600, whatever the umask.
  const temporary = Deno.makeTempFileSync({ dir: folder, prefix: `.${basename(path)}.` });
  try {
    {
      using file = Deno.openSync(temporary, { write: true });
      const bytes = new TextEncoder().encode(text);
      for (let written = 0; written < bytes.length;) {
        written += file.writeSync(bytes.subarray(written));
      }
      file.syncSync();
    }
    place(temporary);
  } finally {
    removeFile(temporary);
  }
  using directory = Deno.openSync(folder);
  directory.syncSync();
}

/** @returns whether there was one */
export function removeFile(path: string): boolean {
  try {
    Deno.removeSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Calls, with what goes wrong put into one line. */
function attempt<Result>(action: string, call: () => Result): Result {
  try {
    return call();
  } catch (cause) {
    const privilege = cause instanceof Deno.errors.PermissionDenied;
    throw new AppError(`Cannot ${action}: ${reason(cause)}`, {
      exitCode: privilege ? ExitCode.privilege : ExitCode.usage,
      cause,
    });
  }
}

function reason(error: unknown): string {
  if (error instanceof Deno.errors.AlreadyExists) {
    return "it is there already and holds keys: remove it, or name another by --out FILE";
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return "permission denied: run as the owner of its folder or as root";
  }
  if (error instanceof Deno.errors.NotFound) return "no such file or folder";
  if (error instanceof Deno.errors.NotADirectory) return "a part of its path is not a folder";
  return error instanceof Error ? error.message : String(error);
}
