/** Automatic threads: how many threads move packets where nobody has said, and what decides it. */
import { type DividedNat, partsOf, wholeNat } from "./nat_parts.ts";

/** With fewer, what clients, host and kernel do besides takes the processors that threads would have. */
const LEAST_PROCESSORS = 4;
/** More is for who asks: each thread takes memory, whether there are packets for it or not. */
const MOST_THREADS = 8;
/** Ports that a thread's clients have together at least: with fewer, busy ones would notice the division. */
const LEAST_PORTS = 2500;

/** What decides it. */
export interface ThreadSurroundings {
  readonly isGateway: boolean;
  /** Whether other gateways have the same peers. */
  readonly isInFleet: boolean;
  readonly hasFakeTcp: boolean;
  /** Of IPv4; null where the kernel translates, or nobody. */
  readonly nat: DividedNat | null;
  /** Those that this process may use. */
  readonly processors: number;
}

export interface AutomaticThreads {
  readonly threads: number;
  /** What decided it, in words. */
  readonly decidedBy: string;
}

/** One for each processor up to 8, and one alone wherever several may do worse than one. */
export function automaticThreads(surroundings: ThreadSurroundings): AutomaticThreads {
  const { nat, processors } = surroundings;
  const obstacle = obstacleOf(surroundings);
  if (obstacle !== null) return { threads: 1, decidedBy: obstacle };
  const threads = Math.min(processors, MOST_THREADS);
  const parts = nat === null ? threads : Math.max(1, partsOf(nat, LEAST_PORTS));
  return parts < threads
    ? { threads: parts, decidedBy: `at least ${LEAST_PORTS} NatPorts for each` }
    : { threads, decidedBy: `${processors} processors` };
}

/** Why there is to be one; null where several do better. */
function obstacleOf(
  { isGateway, isInFleet, hasFakeTcp, nat, processors }: ThreadSurroundings,
): string | null {
  if (!isGateway) return "a client needs one";
  if (processors < LEAST_PROCESSORS) {
    return `${processors} ${processors === 1 ? "processor" : "processors"}`;
  }
  // Connections that are kept when another gateway takes over, and answers by it, have one thread.
  if (isInFleet) return "Store needs one";
  // One thread has the segments of all connections, and to hand them on takes a quarter more processor time.
  if (hasFakeTcp) return "fake TCP does best with one";
  return nat === null ? null : wholeNat(nat);
}
