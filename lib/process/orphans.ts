/**
 * Orphans: processes whose parent has ended, which become children of process 1. In a container without an init that is
 * this program: what a command of the configuration left running would stay a zombie for ever, and take a process id
 * from the host.
 */
import { openLibc } from "../../ffi/libc.ts";
import { guarded } from "./guard.ts";

const INIT = 1;
const WNOHANG = 1;
const ZOMBIE = "Z";

/** Children that the runtime waits for: their exit codes are not ours to take. */
const awaited = new Set<number>();

/** Leaves a child to the runtime until `status` is there. */
export async function leaveToRuntime<Status>(
  pid: number,
  status: Promise<Status>,
): Promise<Status> {
  awaited.add(pid);
  try {
    return await status;
  } finally {
    awaited.delete(pid);
  }
}

/** From now on takes note of the end of orphans, where this process is the one that gets them. */
export function adoptOrphans(): void {
  if (Deno.pid !== INIT) return;
  Deno.addSignalListener("SIGCHLD", guarded("hooks", "reaping orphaned processes", reap));
}

function reap(): void {
  const libc = openLibc();
  for (const { name } of Deno.readDirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || awaited.has(pid) || !isOurZombie(pid)) continue;
    libc.symbols.waitpid(pid, null, WNOHANG);
  }
}

/** Fields 3 and 4 of `/proc/PID/stat` (proc_pid_stat(5)). */
function isOurZombie(pid: number): boolean {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    // The command's name, in parentheses, may hold spaces and parentheses itself.
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === ZOMBIE && Number(parent) === Deno.pid;
  } catch {
    // It has gone meanwhile.
    return false;
  }
}
