/**
 * Line budget: how many log lines about single packets may be written in a second. They are made faster than they can
 * be written or read, and anyone who sends packets decides how many there are. Times are monotonic ms.
 */

const INTERVAL = 1_000;

export class LineBudget {
  readonly #limit: number;
  #windowStart = -Infinity;
  #count = 0;
  #suppressed = 0;

  /** @param limit lines a second */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether one more line may be written. */
  take(now: number): boolean {
    if (now - this.#windowStart >= INTERVAL) {
      this.#windowStart = now;
      this.#count = 0;
    }
    if (this.#count === this.#limit) {
      this.#suppressed++;
      return false;
    }
    this.#count++;
    return true;
  }

  /** How many were refused since this was last asked. */
  takeSuppressed(): number {
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    return suppressed;
  }
}
