/** Time in tests: a monotonic clock that moves only when it is told to. */

/** A clock in milliseconds. */
export class FakeClock {
  #now: number;

  /** @param start monotonic time in ms; not 0 unless asked for, so that code which takes 0 for "never" is found out */
  constructor(start = 1_000_000) {
    this.#now = start;
  }

  /** Monotonic time in milliseconds. */
  get now(): number {
    return this.#now;
  }

  /** Moves on by `ms` and returns the new time. */
  advance(ms: number): number {
    return this.advanceTo(this.#now + ms);
  }

  /** Moves on to `time`; a monotonic clock never goes back. */
  advanceTo(time: number): number {
    if (!(time >= this.#now)) {
      throw new Error(`Cannot set the clock to ${time}: current time is ${this.#now}`);
    }
    this.#now = time;
    return time;
  }
}
