/**
 * Fleet clock: the latest time that any gateway's clock shows. A peer takes an initiation only when its time is later
 * than that of the last one, whichever gateway has sent that: so each goes by the latest clock, that of a gateway which
 * is gone included.
 */
import type { GatewayHeartbeat } from "./heartbeat.ts";

/** ms by which another's clock may be ahead and still be followed: it would be for good, as peers remember it. */
const MAX_LEAD = 24 * 3_600_000;

export class FleetClock {
  readonly #skews = new Map<number, number>();
  /** What the latest clock showed, Unix ms, at this monotonic time. */
  #shown = -Infinity;
  #shownAt = 0;

  /** A gateway has said what its clock shows, and the latest one that it knows. */
  heard(from: number, { clock, fleetTime }: GatewayHeartbeat, now: number, unixTime: number): void {
    this.#skews.set(from, clock - unixTime);
    if (fleetTime > unixTime + MAX_LEAD || fleetTime <= this.time(now, unixTime)) return;
    this.#shown = fleetTime;
    this.#shownAt = now;
  }

  /** Unix ms. */
  time(now: number, unixTime: number): number {
    return Math.max(unixTime, this.#shown + now - this.#shownAt);
  }

  /** ms by which a gateway's clock is ahead of ours; null where it has said nothing. */
  skewOf(gateway: number): number | null {
    return this.#skews.get(gateway) ?? null;
  }
}
