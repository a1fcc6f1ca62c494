/** Process statistics: what /proc tells of a running program: its memory and its processor time. */
import { meansGone } from "../../../lib/process/process_identity.ts";
import { delay } from "../../net/support/wire.ts";

/** Kernel's unit of processor time in /proc (USER_HZ, which is 100 on every Linux that Deno runs on). */
const TICKS_PER_SECOND = 100;

/** ms after which a program that has started, and has nothing to do, is at rest. */
const UNTIL_REST = 5_000;

/** Resident memory in bytes of a process that has been left alone for a moment. */
export async function memoryAtRest(pid: number): Promise<number> {
  await delay(UNTIL_REST);
  return residentMemory(pid);
}

/** Resident memory of a process in bytes. */
export function residentMemory(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`));
  if (match === null) throw new Error(`Cannot read the memory of process ${pid}`);
  return Number(match[1]) * 1024;
}

/** Processor time in seconds. */
export interface ProcessorTime {
  readonly user: number;
  readonly system: number;
}

/** Seconds that each thread of a process has run so far, by its number. */
export type RunTimes = ReadonlyMap<string, number>;

/**
 * What the scheduler itself has counted, in ns: for spans in which a hundredth of a second, as `processorTime()` has
 * it, is too much.
 */
export function runTimes(pid: number): RunTimes {
  const times = new Map<string, number>();
  for (const { name: thread } of Deno.readDirSync(`/proc/${pid}/task`)) {
    const text = threadFile(`/proc/${pid}/task/${thread}/schedstat`);
    if (text !== null) times.set(thread, Number(text.split(" ")[0]) / 1e9);
  }
  return times;
}

/** A file of a thread in /proc; null where it has ended since it was listed, as the runtime's do without work. */
export function threadFile(path: string): string | null {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (meansGone(error)) return null;
    throw error;
  }
}

/** Seconds that a process has run since; what a thread did that has ended meanwhile is left out. */
export function runSince(pid: number, before: RunTimes): number {
  return Array.from(runTimes(pid), ([thread, time]) => time - (before.get(thread) ?? 0))
    .reduce((sum, seconds) => sum + seconds, 0);
}

/** Seconds that these processes have run so far, together. */
export function totalTime(pids: readonly number[]): number {
  return pids.map(processorTime).reduce((sum, { user, system }) => sum + user + system, 0);
}

/** Processor time of a process so far, of all its threads. */
export function processorTime(pid: number): ProcessorTime {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  // The program's name, in parentheses, may hold blanks.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return {
    user: Number(fields[11]) / TICKS_PER_SECOND,
    system: Number(fields[12]) / TICKS_PER_SECOND,
  };
}
