/**
 * Process identity: what tells one process from all others: its id, the time it was started at, as ids are used again,
 * and the PID namespace that the id belongs to, as containers with a `/run/vpn` in common each have a process 1.
 */
import { ESRCH } from "../../ffi/errno.ts";
import { journalDirectory } from "./journal_directory.ts";

/** The end of the names of journals. */
export const JOURNAL_SUFFIX = ".journal";

/** Zombie, and dead in two ways. */
const DEAD_STATES: ReadonlySet<string> = new Set(["Z", "X", "x"]);

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, from `/proc/PID/stat`. */
  readonly startTime: string;
  /**
   * Inode of its PID namespace, decimal; left out in journals of earlier versions, which is taken for this process's
   * own.
   */
  readonly pidNamespace?: string;
}

/** That of this process. */
export function ownIdentity(): ProcessIdentity {
  const namespace = ownPidNamespace();
  const identity = { pid: Deno.pid, startTime: startTimeOf(Deno.pid) ?? "" };
  return namespace === null ? identity : { ...identity, pidNamespace: namespace };
}

/** As one word, for the names of files and for marks in them. */
export function identityText({ pid, startTime, pidNamespace }: ProcessIdentity): string {
  return [pid, startTime, ...pidNamespace === undefined ? [] : [pidNamespace]].join("-");
}

/** The identity that `identityText()` made into a word; of any other word, one that no process has. */
export function parseIdentity(text: string): ProcessIdentity {
  const [pid, startTime = "", pidNamespace] = text.split("-");
  const identity = { pid: Number(pid), startTime };
  return pidNamespace === undefined ? identity : { ...identity, pidNamespace };
}

/** The journal of a process; it holds a lock on the file as long as it lives. */
export function journalPath(identity: ProcessIdentity): string {
  return `${journalDirectory()}/${identityText(identity)}${JOURNAL_SUFFIX}`;
}

/**
 * Whether the process lives. A zombie does not: it holds nothing any more. Of another PID namespace no process can be
 * seen, or only by another id: there the lock on its journal tells.
 */
export function isAlive(identity: ProcessIdentity): boolean {
  if (!isOfThisPidNamespace(identity)) return isLocked(journalPath(identity));
  return startTimeOf(identity.pid) === identity.startTime;
}

/** Whether the id of a process is one here: it can be signalled, and looked up under `/proc`. */
export function isOfThisPidNamespace({ pidNamespace }: ProcessIdentity): boolean {
  return pidNamespace === undefined || pidNamespace === ownPidNamespace();
}

/** Null where `/proc` does not say. */
function ownPidNamespace(): string | null {
  try {
    return /\d+/.exec(Deno.readLinkSync("/proc/self/ns/pid"))?.[0] ?? null;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Whether a process holds a file's lock, be it of whatever namespace; where that cannot be told, one does. */
function isLocked(path: string): boolean {
  try {
    using file = Deno.openSync(path);
    return !file.tryLockSync(false);
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound);
  }
}

/**
 * When a process was started, or null where it lives no more: fields 3 and 22 of `/proc/PID/stat` (proc_pid_stat(5)).
 */
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
 * Whether an error in reading a file of a process under `/proc` says that the process has ended: ENOENT before the
 * opening, ESRCH between it and the reading. The runtime has no class for the second, and sets no code: its text has
 * the number.
 */
export function meansGone(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound ||
    error instanceof Error && error.message.includes(`(os error ${ESRCH})`);
}
