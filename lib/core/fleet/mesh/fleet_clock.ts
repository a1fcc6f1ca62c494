/**
 * Fleet clock: the latest time that any gateway's clock shows. A peer takes an initiation only when its time is later
 * than that of the last one, whichever gateway has sent that: so each goes by the latest clock, that of a gateway which
 * is gone included.
 */
import type { GatewayHeartbeat } from "./heartbeat.ts";

/** ms by which another's clock may be ahead and still be followed: it would be for good, as peers remember it. */
const MAX_LEAD = 24 * 3_600_000;
/** Heartbeats, the fastest of which tells how a clock goes: one that was late on its way makes it seem behind. */
const SKEW_WINDOW = 16;
/** ms by which a clock must have moved against ours to be told again. */
const SKEW_STEP = 50;

/** ms by which a clock is ahead of ours. */
interface Skew {
  told: number;
  greatest: number;
  /** Heartbeats that are still to come in this window. */
  left: number;
}

export class FleetClock {
  readonly #skews = new Map<number, Skew>();
  /** What the latest clock showed, Unix ms, at this monotonic time. */
  #shown = -Infinity;
  #shownAt = 0;

  /** A gateway has said what its clock shows, and the latest one that it knows. */
  heard(from: number, { clock, fleetTime }: GatewayHeartbeat, now: number, unixTime: number): void {
    this.#note(from, clock - unixTime);
    if (fleetTime > unixTime + MAX_LEAD || fleetTime <= this.time(now, unixTime)) return;
    this.#shown = fleetTime;
    this.#shownAt = now;
  }

  #note(from: number, skew: number): void {
    const known = this.#skews.get(from);
    if (known === undefined) {
      this.#skews.set(from, { told: skew, greatest: skew, left: SKEW_WINDOW });
      return;
    }
    known.greatest = Math.max(known.greatest, skew);
    if (--known.left > 0) return;
    if (Math.abs(known.greatest - known.told) >= SKEW_STEP) known.told = known.greatest;
    known.greatest = -Infinity;
    known.left = SKEW_WINDOW;
  }

  /** Unix ms. */
  time(now: number, unixTime: number): number {
    return Math.max(unixTime, this.#shown + now - this.#shownAt);
  }

  /**
   * ms by which a gateway's clock is ahead of ours, less the way of its fastest heartbeat; null where it has said
   * nothing.
   */
  skewOf(gateway: number): number | null {
    return this.#skews.get(gateway)?.told ?? null;
  }
}
