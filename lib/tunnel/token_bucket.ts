/**
 * Owns the token bucket that bounds a peer's rate in one direction, as a policer does (RFC 2697 with one rate): a packet for which
 * there are tokens passes at once, another is dropped, and the connections inside slow down to what passes.
 */

/**
 * ms of the rate that may pass at once. A TCP that has run into the limit waits for its retransmission time-out, 200 ms and
 * then 400 (RFC 6298, with Linux's minimum); what it might have sent meanwhile has to be there when it goes on.
 */
const BURST_TIME = 500;
/** Bytes that may pass at once in any case: a super-packet of TCP's. */
const MIN_BURST = 65_536;

export class TokenBucket {
  /** Bits a second. */
  readonly rate: number;
  readonly #bytesPerMs: number;
  readonly #burst: number;
  /** Bytes that may pass at `#filledAt`. */
  #tokens: number;
  #filledAt = -Infinity;

  /** @param rate bits a second */
  constructor(rate: number) {
    this.rate = rate;
    this.#bytesPerMs = rate / 8 / 1000;
    this.#burst = Math.max(MIN_BURST, this.#bytesPerMs * BURST_TIME);
    this.#tokens = this.#burst;
  }

  /**
   * Takes the tokens for a packet.
   *
   * @param length bytes
   * @param now monotonic ms; one before the last brings nothing
   * @returns whether there were enough
   */
  take(length: number, now: number): boolean {
    const elapsed = now - this.#filledAt;
    if (elapsed > 0) {
      this.#tokens = Math.min(this.#burst, this.#tokens + elapsed * this.#bytesPerMs);
      this.#filledAt = now;
    }
    if (this.#tokens < length) return false;
    this.#tokens -= length;
    return true;
  }
}
