/** Rate limit: a party's limit in one direction, and the queue of what waits for it. */
import { Codel } from "./codel.ts";
import type { Due } from "./due_queue.ts";
import type { RateBound } from "./token_bucket.ts";

export class RateLimit<Owner> implements Due {
  readonly owner: Owner;
  /** Whether it is for what comes from its owner. */
  readonly isInbound: boolean;
  bound: RateBound;
  /** Whether it is no limit any more: what waits is let go. */
  isLifted = false;
  readonly codel: Codel = new Codel();

  // The queue, as the shaper has it: the first and the last slot, -1 for none; packets, and their bytes.
  first = -1;
  last = -1;
  count = 0;
  bytes = 0;
  dueAt = Infinity;
  dueIndex = -1;

  constructor(owner: Owner, isInbound: boolean, bound: RateBound) {
    this.owner = owner;
    this.isInbound = isInbound;
    this.bound = bound;
  }

  /** Bits a second. */
  get rate(): number {
    return this.bound.rate;
  }
}

/** The limits of a party; null for none. */
interface Limits<Owner> {
  fromLimit: RateLimit<Owner> | null;
  toLimit: RateLimit<Owner> | null;
}

/** Limits a party in both directions from now on; what waits stays. */
export function setLimits<Owner extends Limits<Owner>>(
  owner: Owner,
  { from, to }: { readonly from: RateBound; readonly to: RateBound },
): void {
  if (owner.fromLimit === null) owner.fromLimit = new RateLimit(owner, true, from);
  else owner.fromLimit.bound = from;
  if (owner.toLimit === null) owner.toLimit = new RateLimit(owner, false, to);
  else owner.toLimit.bound = to;
}

/** Limits a party no more, and lets go what waits. */
export function liftLimits<Owner extends Limits<Owner>>(owner: Owner): void {
  if (owner.fromLimit !== null) owner.fromLimit.isLifted = true;
  if (owner.toLimit !== null) owner.toLimit.isLifted = true;
  owner.fromLimit = owner.toLimit = null;
}
