/** Calls of perf: samples of where processes are, and counts of their system calls. */
import { isInstalled } from "../../support/net.ts";
import { run } from "../../support/process.ts";
import { parseSamples, type Sample } from "./classify.ts";

/** Samples in a second of processor time: a prime, so that it does not beat with a clock. */
export const FREQUENCY = 997;
/** The system calls on a packet's way. */
export const SYSTEM_CALLS: readonly string[] = [
  "readv",
  "writev",
  "sendmmsg",
  "recvmmsg",
  "epoll_wait",
];

/** Whether perf works here. A virtual machine without a hardware counter is good enough: the clock serves. */
export async function canProfile(): Promise<boolean> {
  if (!isInstalled("perf")) return false;
  const { code } = await run(null, ["perf", "stat", "-e", "cpu-clock", "true"]);
  return code === 0;
}

/** V8 flags by which a program tells perf the names of its functions, in files of `directory`. */
export function mapFlags(directory: string): string {
  return `--v8-flags=--perf-basic-prof,--perf-basic-prof-path=${directory}`;
}

/**
 * Samples processes for so many seconds.
 *
 * @param directory where the processes write their maps; what perf records goes there too
 */
export async function recordSamples(
  pids: readonly number[],
  { seconds, directory }: { seconds: number; directory: string },
): Promise<Sample[]> {
  const file = `${directory}/perf.data`;
  const record = await run(null, [
    ...["perf", "record", "-e", "cpu-clock", "-F", `${FREQUENCY}`, "-g", "-o", file],
    ...["-p", pids.join(","), "--", "sleep", `${seconds}`],
  ]);
  if (record.code !== 0) throw new Error(`Cannot record samples: ${record.stderr}`);
  // The only place where perf looks for maps.
  const maps = pids.map((pid) => `/tmp/perf-${pid}.map`);
  try {
    for (const map of maps) Deno.copyFileSync(map.replace("/tmp", directory), map);
    const script = await run(null, [
      ...["perf", "script", "-i", file, "-F", "comm,pid,tid,ip,sym,dso"],
    ]);
    if (script.code !== 0) throw new Error(`Cannot read samples: ${script.stderr}`);
    return parseSamples(script.stdout);
  } finally {
    for (const map of maps) await Deno.remove(map).catch(() => {});
  }
}

/** Counts the calls of `SYSTEM_CALLS` in a process for so many seconds; null where the kernel does not let us. */
export async function countSystemCalls(
  pid: number,
  seconds: number,
): Promise<Record<string, number> | null> {
  const events = SYSTEM_CALLS.map((name) => `syscalls:sys_enter_${name}`).join(",");
  const { code, stderr } = await run(null, [
    ...["perf", "stat", "-x", ",", "-e", events, "-p", `${pid}`, "--", "sleep", `${seconds}`],
  ]);
  const counts: Record<string, number> = {};
  for (const [, count, name] of stderr.matchAll(/^(\d+),[^,]*,syscalls:sys_enter_(\w+)/gm)) {
    counts[name] = Number(count);
  }
  return code === 0 && Object.keys(counts).length > 0 ? counts : null;
}
