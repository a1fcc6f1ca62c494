/**
 * Replay window: packet counters already received for one key (RFC 6479: a ring of words, of which the ones that the
 * window moves onto are cleared; nothing is shifted).
 *
 * A counter is a uint64 given as two uint32 numbers, (low, high): a JavaScript number holds only 53 bits. Called
 * for every packet, so nothing here allocates.
 */

/** Bits in the ring. */
export const REPLAY_RING_SIZE = 8192;
/** How far behind the greatest counter a packet may be. One word of the ring is always ahead (RFC 6479 section 2). */
export const REPLAY_WINDOW_SIZE = REPLAY_RING_SIZE - 32;

const WORDS = REPLAY_RING_SIZE / 32;
const WORD_MASK = WORDS - 1;
/** Words in 2^32 counters. */
const WORDS_IN_LOW_HALF = 2 ** 27;

/** REJECT_AFTER_MESSAGES = 2^64 - 2^13 - 1 (WireGuard paper, section 6.1), in halves. */
export const REJECT_AFTER_MESSAGES_LOW = 0xffffdfff;
export const REJECT_AFTER_MESSAGES_HIGH = 0xffffffff;

/**
 * Windows side by side in one array: an array for each takes 5 MB more where 1,000 clients have sessions, as memory
 * between them is of no use. Few of them, as it goes when the last of them has gone: who renews its key again and again
 * has each of others' windows hold no more than this.
 */
const CHUNK_WINDOWS = 16;
let chunk = new Uint32Array(0);
let chunkUsed = 0;

/** Which counters of one receiving key are spent. */
export class ReplayWindow {
  readonly #words: Uint32Array;
  /** Where its own begin. */
  readonly #base: number;
  /** The halves of the greatest counter seen, as int32: small integers, which are in this object itself. */
  #low = 0;
  #high = 0;

  constructor() {
    if (chunkUsed === chunk.length) {
      chunk = new Uint32Array(CHUNK_WINDOWS * WORDS);
      chunkUsed = 0;
    }
    this.#words = chunk;
    this.#base = chunkUsed;
    chunkUsed += WORDS;
  }

  /** Loads what `check()` needs; the result means nothing. */
  prefetch(low: number): number {
    return this.#words[this.#base + ((low >>> 5) & WORD_MASK)]! ^ this.#low;
  }

  /**
   * Whether a packet with this counter would be taken: it is below REJECT_AFTER_MESSAGES, not behind the window and
   * not yet seen. Called before decryption, to spare it; only `commit` is decisive.
   */
  check(low: number, high: number): boolean {
    if (high === REJECT_AFTER_MESSAGES_HIGH && low >= REJECT_AFTER_MESSAGES_LOW) return false;
    const behind = this.#behind(low, high);
    if (behind < 0) return true;
    if (behind > REPLAY_WINDOW_SIZE) return false;
    return (this.#words[this.#base + ((low >>> 5) & WORD_MASK)]! & (1 << (low & 31))) === 0;
  }

  /**
   * Marks a counter as seen. Only for packets whose tag was right: a forged one must not move the window.
   *
   * @returns false, with nothing changed, where `check` is false
   */
  commit(low: number, high: number): boolean {
    if (!this.check(low, high)) return false;
    if (this.#behind(low, high) < 0) this.#advance(low, high);
    this.#words[this.#base + ((low >>> 5) & WORD_MASK)]! |= 1 << (low & 31);
    return true;
  }

  /**
   * How far a counter is behind the greatest one seen; -1 where it is ahead of it, REPLAY_WINDOW_SIZE + 1 where it
   * is further behind than the window. (Small integers only: V8 would put others on the heap to return them.)
   */
  #behind(low: number, high: number): number {
    const halves = this.greatestHigh - high;
    if (halves < 0) return -1;
    if (halves > 1) return REPLAY_WINDOW_SIZE + 1;
    const behind = (this.#low >>> 0) - low + halves * 2 ** 32;
    if (behind < 0) return -1;
    return behind > REPLAY_WINDOW_SIZE ? REPLAY_WINDOW_SIZE + 1 : behind;
  }

  /** The high half of the greatest counter seen. */
  get greatestHigh(): number {
    return this.#high >>> 0;
  }

  /** Moves the window up to a new greatest counter and clears the words that come into it. */
  #advance(low: number, high: number): void {
    const halves = high - this.greatestHigh;
    const from = this.#low >>> 5;
    let count = halves > 1 ? WORDS : (low >>> 5) - from + halves * WORDS_IN_LOW_HALF;
    if (count > WORDS) count = WORDS;
    for (let i = 1; i <= count; i++) this.#words[this.#base + ((from + i) & WORD_MASK)] = 0;
    this.#low = low | 0;
    this.#high = high | 0;
  }
}
