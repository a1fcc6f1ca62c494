/**
 * Shared token bucket: one peer's limit for all threads together, as `core/limits/token_bucket.ts` is it for one. It
 * has two words of shared memory: what may pass, and since when that has not been added to.
 */
import { burstOf } from "../limits/token_bucket.ts";

const TOKENS = 0;
const FILLED_AT = 1;

/** Tokens that fit a word with room for what is added at once. */
const MOST_TOKENS = 2 ** 30;
/** ms by which one thread's time may be behind another's; time counts modulo 2^32. */
const MOST_BEHIND = 60_000;

export class SharedTokenBucket {
  /** Bits a second. */
  readonly rate: number;
  readonly #words: Int32Array;
  readonly #place: number;
  readonly #tokensPerMs: number;
  /** Tokens of a byte: few at a high rate, so that a word holds them; many at a low one, so that none is lost. */
  readonly #scale: number;
  readonly #burst: number;

  constructor(rate: number, words: Int32Array, place: number) {
    this.rate = rate;
    this.#words = words;
    this.#place = place;
    const burst = burstOf(rate);
    this.#scale = MOST_TOKENS / burst;
    this.#burst = MOST_TOKENS;
    this.#tokensPerMs = rate / 8 / 1000 * this.#scale;
  }

  /** Fills the bucket. */
  fill(now: number): void {
    Atomics.store(this.#words, this.#place + FILLED_AT, now | 0);
    Atomics.store(this.#words, this.#place + TOKENS, this.#burst);
  }

  /**
   * Takes the tokens for a packet.
   *
   * @param length bytes
   * @param now monotonic ms
   * @returns whether there were enough
   */
  take(length: number, now: number): boolean {
    this.#refill(now | 0);
    const wanted = Math.ceil(length * this.#scale);
    const at = this.#place + TOKENS;
    for (;;) {
      const tokens = Atomics.load(this.#words, at);
      if (tokens < wanted) return false;
      if (Atomics.compareExchange(this.#words, at, tokens, tokens - wanted) === tokens) return true;
    }
  }

  /** Adds what the time since the last time has brought: the thread that moves the time on does, so it comes once. */
  #refill(now: number): void {
    const words = this.#words;
    const filledAt = Atomics.load(words, this.#place + FILLED_AT);
    const elapsed = (now - filledAt) >>> 0;
    if (elapsed === 0 || elapsed > 2 ** 32 - MOST_BEHIND) return;
    if (Atomics.compareExchange(words, this.#place + FILLED_AT, filledAt, now) !== filledAt) return;
    const added = Math.min(this.#burst, Math.floor(elapsed * this.#tokensPerMs));
    const at = this.#place + TOKENS;
    for (;;) {
      const tokens = Atomics.load(words, at);
      const filled = Math.min(this.#burst, tokens + added);
      if (Atomics.compareExchange(words, at, tokens, filled) === tokens) return;
    }
  }
}
