/**
 * Owns what tells one process from all others, those that had its id before included: the id together with the time it was
 * started at.
 */
import { ESRCH } from "../../ffi/errno.ts";

/** Zombie, and dead in two ways. */
const DEAD_STATES: ReadonlySet<string> = new Set(["Z", "X", "x"]);

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, from `/proc/PID/stat`. */
  readonly startTime: string;
}

/** That of this process. */
export function ownIdentity(): ProcessIdentity {
  return { pid: Deno.pid, startTime: startTimeOf(Deno.pid) ?? "" };
}

/** As one word, for the names of files and for marks in them. */
export function identityText({ pid, startTime }: ProcessIdentity): string {
  return `${pid}-${startTime}`;
}

/** What `identityText()` made into a word; of any other word, what is no process. */
export function parseIdentity(text: string): ProcessIdentity {
  const [pid, startTime = ""] = text.split("-");
  return { pid: Number(pid), startTime };
}

/** Whether the process lives. A zombie does not: it holds nothing any more. */
export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return startTimeOf(pid) === startTime;
}

/** When a process was started, or null where it lives no more: fields 3 and 22 of `/proc/PID/stat` (proc_pid_stat(5)). */
function startTimeOf(pid: number): string | null {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    // The command's name, in parentheses, may hold spaces and parentheses itself.
    const [state = "", ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return DEAD_STATES.has(state) ? null : fields[18] ?? null;
  } catch (error) {
    if (meansGone(error)) return null;
    throw error;
  }
}

/**
 * Whether an error in reading a file of a process under `/proc` says that the process has ended: ENOENT before the opening,
 * ESRCH between it and the reading. The runtime has no class for the second, and sets no code: its text has the number.
 */
export function meansGone(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound ||
    error instanceof Error && error.message.includes(`(os error ${ESRCH})`);
}
