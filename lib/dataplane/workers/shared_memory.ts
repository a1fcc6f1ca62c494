/** Shared memory of the data plane's threads: what they tell each other by, and what they count together. */
import { createEventFd } from "../../../ffi/event_fd.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { FLOW_CAPACITY, flowTableSize } from "../../core/access/flow_table.ts";
import { INBOUND_FLOWS_SIZE } from "../../core/access/inbound_flows.ts";
import { MAX_PEERS } from "../../core/limits/max_peers.ts";
import { createRing } from "../../core/threads/record_ring.ts";
import { ELSEWHERE_SIZE } from "../../core/wireguard/elsewhere.ts";
import { bucketWords } from "../../core/wireguard/workers/worker_peer.ts";
import { NAT_USAGE_SIZE } from "./nat_usage.ts";
import { randomBytes } from "node:crypto";

/** Bytes of each ring: what a worker hands over in a turn, and what it is told at the start, goes in by parts. */
const RING_SIZE = 1 << 20;
/**
 * Of all those by which others hand packets over to one worker: what they receive while it has no time, as a socket's
 * buffer has it for what comes by itself; and of each at least, room for four super-packets. It costs nothing until it
 * is written to.
 */
const RINGS_BETWEEN_SIZE = 1 << 21;
const LEAST_BETWEEN_SIZE = 1 << 18;
/** Of each to the first worker, which may translate for all: what its peers send while others go before it. */
const TO_FIRST_SIZE = 1 << 22;
/**
 * Of the ring by which a worker gets what fake TCP has brought: some 10 ms at 3 Gbit/s, in which it may have no time,
 * and then that is lost; and of that by which it gives what is to leave: where that is full, it waits.
 */
const FAKE_TCP_RECEIVED_SIZE = 1 << 22;
const FAKE_TCP_SEALED_SIZE = 1 << 20;
/** Sessions that there are at a time, three for each peer, and those that workers have still to hear the end of. */
const MAX_SESSIONS = 4 * MAX_PEERS;

/** All of it, as `postMessage` takes it to each thread. */
export interface SharedMemory {
  /** Words that sessions' counters are drawn from. */
  readonly counters: SharedArrayBuffer;
  /** Words of peers' limits. */
  readonly limits: SharedArrayBuffer;
  readonly inboundFlows: SharedArrayBuffer;
  /** Flows that access rules have been asked about, by worker, and those of the device's thread behind them. */
  readonly flows: readonly SharedArrayBuffer[];
  /** 32 random bits for those tables. */
  readonly seed: number;
  /** Rings by worker, and the descriptor by which each is woken. */
  readonly toWorkers: readonly SharedArrayBuffer[];
  readonly workersWake: readonly number[];
  /** Rings by worker, and the descriptor by which the device's thread is woken. */
  readonly toDevice: readonly SharedArrayBuffer[];
  readonly deviceWake: number;
  /** Rings by worker, to it and from it (fake_tcp/thread_records.ts); null where there is no fake TCP. */
  readonly fakeTcp: {
    readonly toWorkers: readonly SharedArrayBuffer[];
    readonly toDevice: readonly SharedArrayBuffer[];
  } | null;
  /** Rings by the worker that hands over, and the one that it hands over to. */
  readonly between: readonly (readonly SharedArrayBuffer[])[];
  /** By worker, what peers hold of the NAT (nat_usage.ts). */
  readonly natUsage: readonly SharedArrayBuffer[];
  /** Which indices are other gateways' (elsewhere.ts). */
  readonly elsewhere: SharedArrayBuffer;
}

/** Bytes of the ring from one of so many workers to another, a power of two. */
export function ringBetweenSize(workers: number): number {
  let size = RINGS_BETWEEN_SIZE;
  while (size > LEAST_BETWEEN_SIZE && size * (workers - 1) > RINGS_BETWEEN_SIZE) size >>= 1;
  return size;
}

/** @throws {SystemCallError} where descriptors have run out */
export function createSharedMemory(workers: number, hasFakeTcp: boolean): SharedMemory {
  const libc = openLibc();
  const ofEach = <Item>(make: () => Item) => Array.from({ length: workers }, make);
  return {
    counters: new SharedArrayBuffer(4 * MAX_SESSIONS),
    limits: new SharedArrayBuffer(4 * bucketWords(MAX_PEERS)),
    inboundFlows: new SharedArrayBuffer(INBOUND_FLOWS_SIZE),
    flows: Array.from(
      { length: workers + 1 },
      () => new SharedArrayBuffer(flowTableSize(FLOW_CAPACITY)),
    ),
    seed: randomBytes(4).readInt32LE(),
    toWorkers: ofEach(() => createRing(RING_SIZE)),
    workersWake: ofEach(() => createEventFd(libc)),
    toDevice: ofEach(() => createRing(RING_SIZE)),
    deviceWake: createEventFd(libc),
    fakeTcp: hasFakeTcp
      ? {
        toWorkers: ofEach(() => createRing(FAKE_TCP_RECEIVED_SIZE)),
        toDevice: ofEach(() => createRing(FAKE_TCP_SEALED_SIZE)),
      }
      : null,
    between: ofEach(() =>
      Array.from(
        { length: workers },
        (_, to) => createRing(to === 0 ? TO_FIRST_SIZE : ringBetweenSize(workers)),
      )
    ),
    elsewhere: new SharedArrayBuffer(ELSEWHERE_SIZE),
    natUsage: ofEach(() => new SharedArrayBuffer(NAT_USAGE_SIZE)),
  };
}

/** Closes the descriptors; the threads have ended. */
export function closeSharedMemory({ deviceWake, workersWake }: SharedMemory): void {
  const { symbols } = openLibc();
  for (const fd of [deviceWake, ...workersWake]) symbols.close(fd);
}
