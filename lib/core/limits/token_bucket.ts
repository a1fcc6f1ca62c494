/**
 * Token bucket: one party's rate in one direction. A packet may pass when nothing is owed, and what it takes beyond
 * what it holds is owed: so packets of any length pass at any rate, and none of the rate is lost to what is left over.
 */

/**
 * ms of the rate that may pass at once where nothing waits: enough for what a sender's own timers put together (TCP's
 * pacing in Linux sends what is due in one ms at once), and nothing that a router behind us would have to keep.
 */
const BURST_TIME = 10;
/**
 * ms of the rate that may pass at once where packets wait: they have been kept longer than they had to be, by a thread
 * that had other things to do, and what they could have had meanwhile is theirs.
 */
export const LATE_TIME = 250;

/** Bytes that may pass at once at a rate, bits a second. */
export function burstOf(rate: number): number {
  return rate / 8 / 1000 * BURST_TIME;
}

/** What bounds a rate. */
export interface RateBound {
  /** Bits a second. */
  readonly rate: number;
  /**
   * Takes the tokens for a packet.
   *
   * @param length bytes
   * @param now monotonic ms; one before the last brings nothing
   * @param isLate whether packets wait
   * @returns whether nothing was owed, so that the packet may pass
   */
  take(length: number, now: number, isLate: boolean): boolean;
  /** Whole ms until nothing is owed, as of the last `take()`. */
  wait(): number;
}

/** Places in the bucket's state: bytes that may pass at a time, below 0 those owed, and that time, monotonic ms. */
const TOKENS = 0;
const FILLED_AT = 1;

export class TokenBucket implements RateBound {
  /** Bits a second. */
  readonly rate: number;
  readonly #bytesPerMs: number;
  readonly #burst: number;
  /** Kept in an array: in a field, each new number would be an object on the heap. */
  readonly #state: Float64Array<ArrayBuffer>;

  /** @param rate bits a second */
  constructor(rate: number) {
    this.rate = rate;
    this.#bytesPerMs = rate / 8 / 1000;
    this.#burst = burstOf(rate);
    this.#state = Float64Array.of(this.#burst, -Infinity);
  }

  take(length: number, now: number, isLate: boolean): boolean {
    const state = this.#state;
    const most = isLate ? this.#bytesPerMs * LATE_TIME : this.#burst;
    const elapsed = now - state[FILLED_AT]!;
    if (elapsed > 0) {
      state[TOKENS] = Math.min(most, state[TOKENS]! + elapsed * this.#bytesPerMs);
      state[FILLED_AT] = now;
    } else if (state[TOKENS]! > most) state[TOKENS] = most;
    if (state[TOKENS]! < 0) return false;
    state[TOKENS]! -= length;
    return true;
  }

  wait(): number {
    return Math.max(0, Math.ceil(-this.#state[TOKENS]! / this.#bytesPerMs));
  }
}
