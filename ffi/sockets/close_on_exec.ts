/**
 * Close on exec: keeps the sockets of this process from the programs that it starts. Those made here never reach them
 * (SOCK_CLOEXEC); local ones of node:net do (Deno 2.9), whether they listen or are connections.
 */
import { type Libc } from "../libc.ts";

/** Standard input, output and error, which a service manager may have made sockets. */
const STANDARD_FDS = 3;
const F_SETFD = 2;
const FD_CLOEXEC = 1;

/** Has all sockets that there are by now end with this process. Those that are closed meanwhile do not matter. */
export function closeSocketsOnExec(libc: Libc): void {
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (fd >= STANDARD_FDS && isSocket(name)) libc.symbols.fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
}

function isSocket(name: string): boolean {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${name}`).startsWith("socket:");
  } catch {
    // Of reading the folder itself, or of another thread.
    return false;
  }
}
