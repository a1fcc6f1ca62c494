/** Socket files: which files of local sockets may be taken, and the removal of those without a listener. */
import { openLibc } from "../../../ffi/libc.ts";
import { listenerOf } from "../../../ffi/sockets/unix_socket.ts";

/** Whether nothing is there, or a socket that a dead process has left. */
export function isFreeForSocket(path: string): boolean {
  return !isSocket(path) ? !isThere(path) : listenerOf(openLibc(), path) === null;
}

/**
 * Removes a socket that nobody listens on, or nobody but this process: one that was killed has its files open for a
 * moment longer than it can be seen to live. Whatever else is there stays.
 */
export function removeDeadSocket(path: string, pid: number): void {
  if (!isSocket(path)) return;
  const listener = listenerOf(openLibc(), path);
  if (listener !== null && listener !== pid) return;
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function isSocket(path: string): boolean {
  return infoOf(path)?.isSocket === true;
}

/** Whether there is anything at a path. */
export function isThere(path: string): boolean {
  return infoOf(path) !== null;
}

function infoOf(path: string): Deno.FileInfo | null {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
