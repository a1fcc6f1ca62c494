/**
 * Time-outs of sessions: a wheel of one-second slots, so that what has expired is found without a look at what has not.
 *
 * A session that is used keeps its slot, and goes on to a later one when that comes; only a time-out that is shortened
 * moves it.
 */
import type { NatSession } from "./records.ts";

/** The longest time-out, 7,440 s, is under one turn. */
const SLOTS = 1 << 13;

export class TimerWheel {
  readonly #slots: (NatSession | null)[] = new Array(SLOTS).fill(null);
  /** The first second that may still have sessions in its slot. */
  #second = 0;

  /** Puts a session into the slot of its `expiresAt`, out of another if need be. */
  schedule(session: NatSession): void {
    this.cancel(session);
    const second = Math.max(secondOf(session.expiresAt), this.#second);
    const slot = second & (SLOTS - 1);
    const first = this.#slots[slot];
    session.dueSecond = second;
    session.slot = slot;
    session.nextDue = first;
    if (first !== null) first.previousDue = session;
    this.#slots[slot] = session;
  }

  cancel(session: NatSession): void {
    const { slot, nextDue, previousDue } = session;
    if (slot < 0) return;
    if (previousDue === null) this.#slots[slot] = nextDue;
    else previousDue.nextDue = nextDue;
    if (nextDue !== null) nextDue.previousDue = previousDue;
    session.slot = -1;
    session.nextDue = session.previousDue = null;
  }

  /** Hands over the sessions that have expired; `end` is to cancel each, and may cancel others. */
  sweep(now: number, end: (session: NatSession) => void): void {
    const last = secondOf(now);
    const first = Math.max(this.#second, last - SLOTS + 1);
    this.#second = last;
    for (let second = first; second <= last; second++) {
      const slot = second & (SLOTS - 1);
      // Those that stay in this slot are put before the ones that are still to be looked at.
      let session = this.#slots[slot];
      while (session !== null) {
        const next: NatSession | null = session.nextDue;
        if (session.expiresAt <= now) end(session);
        else this.schedule(session);
        session = next;
      }
    }
  }
}

/** The second of a monotonic time in ms, or at its edge the one before: no division, as each packet asks for it. */
export function secondOf(time: number): number {
  return (time * 0.001) | 0;
}
