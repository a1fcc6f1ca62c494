/**
 * Token bucket: bounds a peer's rate in one direction, as a policer does (RFC 2697 with one rate): a packet for which
 * there are tokens passes at once, another is dropped, and the connections inside slow down to what passes.
 */

/**
 * ms of the rate that may pass at once. A TCP that has run into the limit waits for its retransmission time-out, 200 ms
 * and then 400 (RFC 6298, with Linux's minimum); what it might have sent meanwhile has to be there when it goes on.
 */
const BURST_TIME = 500;
/** Bytes that may pass at once in any case: a super-packet of TCP's. */
const MIN_BURST = 65_536;

/** Bytes that may pass at once at a rate, bits a second. */
export function burstOf(rate: number): number {
  return Math.max(MIN_BURST, rate / 8 / 1000 * BURST_TIME);
}

/** What bounds a rate. */
export interface RateBound {
  /** Bits a second. */
  readonly rate: number;
  /** Takes the tokens for a packet of `length` bytes, see `TokenBucket`. */
  take(length: number, now: number): boolean;
}

/** Places in the bucket's state: bytes that may pass at a time, and that time, monotonic ms. */
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

  /**
   * Takes the tokens for a packet.
   *
   * @param length bytes
   * @param now monotonic ms; one before the last brings nothing
   * @returns whether there were enough
   */
  take(length: number, now: number): boolean {
    const state = this.#state;
    const elapsed = now - state[FILLED_AT]!;
    if (elapsed > 0) {
      state[TOKENS] = Math.min(this.#burst, state[TOKENS]! + elapsed * this.#bytesPerMs);
      state[FILLED_AT] = now;
    }
    if (state[TOKENS]! < length) return false;
    state[TOKENS]! -= length;
    return true;
  }
}
