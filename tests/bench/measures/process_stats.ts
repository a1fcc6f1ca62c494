/** Process statistics: what /proc tells of a running program: its memory and its processor time. */

/** Kernel's unit of processor time in /proc (USER_HZ, which is 100 on every Linux that Deno runs on). */
const TICKS_PER_SECOND = 100;

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

/**
 * Seconds that the threads which a process has now have run so far: by the scheduler's own count, in ns, for spans in
 * which a hundredth of a second is too much.
 */
export function runTime(pid: number): number {
  return Array.from(Deno.readDirSync(`/proc/${pid}/task`), ({ name }) => {
    const [nanoseconds] = Deno.readTextFileSync(`/proc/${pid}/task/${name}/schedstat`).split(" ");
    return Number(nanoseconds) / 1e9;
  }).reduce((sum, seconds) => sum + seconds, 0);
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
