/**
 * CoDel (RFC 8289): which packets of a queue are dropped, or marked, so that its senders slow down before it is long.
 *
 * A queue that only drops what it has no room for stands full: each packet of a peer then waits as long as the queue
 * takes to pass, its questions to the DNS among them. CoDel bounds the time instead: a queue may be long for an
 * interval, as bursts are; where its packets have waited longer than the target all that time, one is dropped, and the
 * next after ever less time until the target is met.
 */

/**
 * ms that packets may wait for good. Section 4.3 has 5 to 10 % of the interval; with that, one flow of CUBIC over a
 * round trip of 100 ms gets 95 % of its limit, and with this 97 % (tests/behaviour/shaping).
 */
const TARGET = 15;
/** ms, about a round trip: as long as a sender takes to answer to a drop (section 4.2). */
const INTERVAL = 100;
/** Bytes whose time is the least target at a low rate: with less, no packet could wait for another (section 4.4). */
const LEAST_QUEUE = 3_000;
/** An interval has at least this many targets: at a low rate, a round trip is longer than its packets take. */
const LEAST_TARGETS = 2;

/** Places in the state, monotonic ms: since when the target is missed for an interval (0: it is not), the next drop. */
const MISSED_AT = 0;
const DROP_AT = 1;

export class Codel {
  /** Kept in an array: in a field, each new number would be an object on the heap. */
  readonly #state = new Float64Array(2);
  #isDropping = false;
  /** Drops since dropping began, and when it had begun the time before. */
  #count = 0;
  #countBefore = 0;

  /**
   * Judges a packet that leaves the queue (section 5.5).
   *
   * @param waited ms that it has waited
   * @param bytes in the queue, itself included
   * @param rate bits a second at which the queue empties
   * @returns whether to drop it
   */
  drops(waited: number, bytes: number, rate: number, now: number): boolean {
    const target = Math.max(TARGET, LEAST_QUEUE * 8_000 / rate);
    const interval = Math.max(INTERVAL, LEAST_TARGETS * target);
    const isMissed = this.#misses(waited < target || bytes <= LEAST_QUEUE, interval, now);
    const state = this.#state;
    if (!this.#isDropping) {
      if (!isMissed) return false;
      this.#begin(interval, now);
      return true;
    }
    if (!isMissed) {
      this.#isDropping = false;
      return false;
    }
    if (now < state[DROP_AT]!) return false;
    this.#count++;
    state[DROP_AT]! += interval / Math.sqrt(this.#count);
    return true;
  }

  /** Whether the target has been missed for an interval. */
  #misses(isMet: boolean, interval: number, now: number): boolean {
    const state = this.#state;
    if (isMet) {
      state[MISSED_AT] = 0;
      return false;
    }
    if (state[MISSED_AT] === 0) state[MISSED_AT] = now + interval;
    return now >= state[MISSED_AT]!;
  }

  /** Begins to drop: where that has just been done, at the rate that had met the target. */
  #begin(interval: number, now: number): void {
    const state = this.#state;
    const more = this.#count - this.#countBefore;
    this.#isDropping = true;
    this.#count = more > 1 && now - state[DROP_AT]! < 16 * interval ? more : 1;
    this.#countBefore = this.#count;
    state[DROP_AT] = now + interval / Math.sqrt(this.#count);
  }
}
