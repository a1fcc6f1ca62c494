/**
 * Profile: where the processor time of one megabyte through the tunnel goes, at its sender and at its receiver.
 *
 * Processor time comes from /proc. It is divided by perf's samples of the clock, with the names of JavaScript functions
 * from V8 (`--perf-basic-prof`); calls are counted by tracepoints. Without perf, /proc's own division into user and
 * system time is all there is.
 */
import { temporaryFolder } from "../../support/folder.ts";
import type { BackgroundProcess, TestNamespace } from "../../support/net.ts";
import { delay, type Wire } from "../../net/support/wire.ts";
import type { Tunnel } from "../contenders/contender.ts";
import { programOf, vpn } from "../contenders/vpn.ts";
import { measureTcp, startIperfServer } from "../measures/tcp.ts";
import { type ProcessorTime, processorTime } from "../measures/process_stats.ts";
import { ACTIVITIES, activityOf, functionName, isKernelCopy, type Sample } from "./classify.ts";
import { canProfile, countSystemCalls, FREQUENCY, mapFlags, recordSamples } from "./perf.ts";

const TUN = "vpn0";
const MB = 1e6;
/** The functions shown. */
const TOP = 10;

/** Of one end. All values are for a megabyte of inner packets; times in us. */
export interface EndProfile {
  readonly userTime: number;
  readonly systemTime: number;
  /** By activity; null without perf. */
  readonly activities: Readonly<Record<string, number>> | null;
  /** Of the system calls' time, what went into copying packets. */
  readonly kernelCopies: number | null;
  /** The functions that took the most, the first the most. */
  readonly functions: readonly { readonly name: string; readonly time: number }[];
  /** Calls by name; null where they cannot be counted. */
  readonly systemCalls: Readonly<Record<string, number>> | null;
}

export interface Profile {
  readonly method: string;
  readonly sender: EndProfile;
  readonly receiver: EndProfile;
}

/** Profiles the sources (not a compiled program) with one TCP stream from the client to the server. */
export async function measureProfile(wire: Wire, seconds: number): Promise<Profile> {
  const perf = await canProfile();
  const directory = temporaryFolder();
  try {
    const program = programOf(null, perf ? [mapFlags(directory)] : []);
    await using tunnel = await vpn(program).start(wire);
    await using _iperf = await startIperfServer(wire.server);
    await measureTcp(wire.client, { seconds: 1 });
    return await observe(wire, { tunnel, seconds, directory: perf ? directory : null });
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

interface Observation {
  readonly tunnel: Tunnel;
  readonly seconds: number;
  /** Where the maps are; null without perf. */
  readonly directory: string | null;
}

async function observe(wire: Wire, observation: Observation): Promise<Profile> {
  const { tunnel, seconds, directory } = observation;
  // Time enough for both windows and for perf to start and stop.
  const transfer = measureTcp(wire.client, { seconds: Math.ceil(2 * seconds) + 3 });
  const observed = (async () => {
    await delay(500);
    return {
      counts: await window(wire.client, () => countBoth(observation)),
      recorded: await window(wire.client, () => sampleBoth(observation)),
    };
  })();
  // Neither is left behind when the other fails: both have something to clear away.
  await Promise.allSettled([observed, transfer]);
  const [{ counts, recorded }] = await Promise.all([observed, transfer]);
  const [sender, receiver] = [tunnel.client, tunnel.server].map((process, index) =>
    endProfile({
      process,
      samples: recorded.result.samples,
      times: recorded.result.times[index],
      megabytes: recorded.megabytes,
      systemCalls: perMegabyte(counts.result[index], counts.megabytes),
    })
  );
  return {
    method: directory === null
      ? "/proc alone: perf is not to be had here"
      : `perf: samples of the processor clock at ${FREQUENCY} Hz, tracepoints; times by /proc`,
    sender,
    receiver,
  };
}

/** Does something while a transfer runs, and says how many megabytes passed meanwhile. */
async function window<Result>(
  namespace: TestNamespace,
  observe: () => Promise<Result>,
): Promise<{ result: Result; megabytes: number }> {
  const before = sentBytes(namespace);
  const result = await observe();
  return { result, megabytes: (sentBytes(namespace) - before) / MB };
}

/** Bytes that the host of a namespace has sent into the tunnel. */
function sentBytes(namespace: TestNamespace): number {
  const text = namespace.inside(() => Deno.readTextFileSync("/proc/thread-self/net/dev"));
  const line = text.split("\n").find((it) => it.trim().startsWith(`${TUN}:`));
  return Number(line?.split(":")[1].trim().split(/\s+/)[8] ?? 0);
}

function countBoth(
  { tunnel: { client, server }, directory, seconds }: Observation,
): Promise<(Record<string, number> | null)[]> {
  if (directory === null) return Promise.resolve([null, null]);
  return Promise.all([client, server].map(({ pid }) => countSystemCalls(pid, seconds)));
}

async function sampleBoth(
  { tunnel: { client, server }, directory, seconds }: Observation,
): Promise<{ samples: Sample[] | null; times: ProcessorTime[] }> {
  const pids = [client.pid, server.pid];
  const before = pids.map(processorTime);
  const samples = directory === null
    ? await delay(seconds * 1000)
    : await recordSamples(pids, { seconds, directory });
  const times = pids.map(processorTime).map(({ user, system }, index) => ({
    user: user - before[index].user,
    system: system - before[index].system,
  }));
  return { samples: samples ?? null, times };
}

interface EndMeasurement {
  readonly process: BackgroundProcess;
  readonly samples: readonly Sample[] | null;
  readonly times: ProcessorTime;
  readonly megabytes: number;
  readonly systemCalls: Record<string, number> | null;
}

function endProfile(end: EndMeasurement): EndProfile {
  const { megabytes, times, systemCalls } = end;
  const own = end.samples?.filter(({ pid }) => pid === end.process.pid) ?? null;
  const total = (times.user + times.system) * 1e6 / megabytes;
  const timeOf = (samples: number) => own === null ? 0 : total * samples / own.length;
  const count = (matches: (sample: Sample) => boolean) => timeOf(own?.filter(matches).length ?? 0);
  const names = new Map<string, number>();
  for (const sample of own ?? []) {
    const name = functionName(sample);
    names.set(name, (names.get(name) ?? 0) + 1);
  }
  return {
    userTime: times.user * 1e6 / megabytes,
    systemTime: times.system * 1e6 / megabytes,
    activities: own === null ? null : Object.fromEntries(
      ACTIVITIES.map((activity) => [activity, count((it) => activityOf(it) === activity)]),
    ),
    kernelCopies: own === null ? null : count(isKernelCopy),
    functions: [...names].map(([name, samples]) => ({ name, time: timeOf(samples) }))
      .sort((a, b) => b.time - a.time).slice(0, TOP),
    systemCalls,
  };
}

function perMegabyte(
  counts: Record<string, number> | null,
  megabytes: number,
): Record<string, number> | null {
  if (counts === null) return null;
  return Object.fromEntries(
    Object.entries(counts).map(([name, count]) => [name, count / megabytes]),
  );
}
