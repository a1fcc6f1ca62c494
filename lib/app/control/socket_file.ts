/** Owns the files of local sockets: which may be taken, and the removal of those that nobody listens on any more. */
import { openLibc } from "../../../ffi/libc.ts";
import { isListening } from "../../../ffi/unix_socket.ts";

/** Whether nothing is there, or a socket that a dead process has left. */
export function isFreeForSocket(path: string): boolean {
  try {
    return Deno.lstatSync(path).isSocket === true && !isListening(openLibc(), path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true;
    throw error;
  }
}

/** Removes a socket that nobody listens on; whatever else is there stays. */
export function removeDeadSocket(path: string): void {
  if (!isFreeForSocket(path)) return;
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
