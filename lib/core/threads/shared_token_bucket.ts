/**
 * Shared token bucket: one peer's rate for all threads together, as `core/limits/token_bucket.ts` is it for one. It has
 * two words of shared memory: what may pass, and since when that has not been added to.
 */
import { burstOf, LATE_TIME, type RateBound } from "../limits/token_bucket.ts";

const TOKENS = 0;
const FILLED_AT = 1;

/** Tokens that fit a word with room for what is added at once. */
const MOST_TOKENS = 2 ** 30;
/** Bytes of the longest packet: what is owed for it fits a word as well. */
const LONGEST_PACKET = 65_536;
/** ms by which one thread's time may be behind another's; time counts modulo 2^32. */
const MOST_BEHIND = 60_000;

export class SharedTokenBucket implements RateBound {
  /** Bits a second. */
  readonly rate: number;
  readonly #words: Int32Array;
  readonly #place: number;
  readonly #tokensPerMs: number;
  /** Tokens of a byte: few at a high rate, so that a word holds them; many at a low one, so that none is lost. */
  readonly #scale: number;
  /** Tokens that may be saved up: where nothing waits, and where packets do. */
  readonly #burst: number;
  readonly #late: number;

  constructor(rate: number, words: Int32Array, place: number) {
    this.rate = rate;
    this.#words = words;
    this.#place = place;
    const late = rate / 8 / 1000 * LATE_TIME;
    this.#scale = MOST_TOKENS / Math.max(late, LONGEST_PACKET);
    this.#late = Math.floor(late * this.#scale);
    this.#burst = Math.floor(burstOf(rate) * this.#scale);
    this.#tokensPerMs = rate / 8 / 1000 * this.#scale;
  }

  /** Fills the bucket. */
  fill(now: number): void {
    Atomics.store(this.#words, this.#place + FILLED_AT, now | 0);
    Atomics.store(this.#words, this.#place + TOKENS, this.#burst);
  }

  take(length: number, now: number, isLate: boolean): boolean {
    this.#refill(now | 0, isLate ? this.#late : this.#burst);
    const taken = Math.ceil(length * this.#scale);
    const at = this.#place + TOKENS;
    for (;;) {
      const tokens = Atomics.load(this.#words, at);
      if (tokens < 0) return false;
      if (Atomics.compareExchange(this.#words, at, tokens, tokens - taken) === tokens) return true;
    }
  }

  wait(): number {
    const tokens = Atomics.load(this.#words, this.#place + TOKENS);
    return Math.max(0, Math.ceil(-tokens / this.#tokensPerMs));
  }

  /** Adds what the time since the last time has brought: the thread that moves the time on does, so it comes once. */
  #refill(now: number, most: number): void {
    const words = this.#words;
    const filledAt = Atomics.load(words, this.#place + FILLED_AT);
    const elapsed = (now - filledAt) >>> 0;
    if (elapsed === 0 || elapsed > 2 ** 32 - MOST_BEHIND) return;
    if (Atomics.compareExchange(words, this.#place + FILLED_AT, filledAt, now) !== filledAt) return;
    // Of a pause of any length, no more than pays what is owed for a packet and fills the bucket: more fits no word.
    const added = Math.min(2 * MOST_TOKENS, Math.floor(elapsed * this.#tokensPerMs));
    const at = this.#place + TOKENS;
    for (;;) {
      const tokens = Atomics.load(words, at);
      const filled = Math.min(most, tokens + added);
      if (Atomics.compareExchange(words, at, tokens, filled) === tokens) return;
    }
  }
}
