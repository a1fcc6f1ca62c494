/**
 * Shared counter: the counters of a session whose packets several threads seal. A counter is the nonce of the cipher:
 * none may be used twice under a key.
 *
 * How many have been drawn is one word of shared memory, which only grows while any thread may draw from it
 * (`counter_places.ts`); a thread draws a block of them by one atomic addition, and so has it for itself. What is left
 * of a block at the end of a thread's turn, or once the others are far ahead, is never used: what arrives must be
 * within the receiver's replay window.
 */

/** Counters of a block: one at first, twice as many each time in a turn, so that at most half are never used. */
const LARGEST_BLOCK = 64;
/** How far the newest that any thread has drawn may be ahead of one that is used: half of a replay window. */
const MAX_LAG = 4_096;
/** Counters of a session: more than can be sent in REJECT_AFTER_TIME, and far enough from where a word wraps around. */
export const MAX_SHARED_COUNTERS: number = 2 ** 31 - 2 ** 20;

/** The turns of a thread's loop. */
export class Turn {
  number = 0;

  end(): void {
    this.number = (this.number + 1) | 0;
  }
}

export class SharedCounter {
  readonly #words: Int32Array;
  readonly #place: number;
  readonly #turn: Turn;
  #next = 0;
  #end = 0;
  #size = 1;
  #drawnIn = -1;

  /**
   * @param words shared memory
   * @param place of the word in it
   * @param turn of the thread that this is for
   */
  constructor(words: Int32Array, place: number, turn: Turn) {
    this.#words = words;
    this.#place = place;
    this.#turn = turn;
  }

  /** Whether no thread has drawn any. */
  get isUntouched(): boolean {
    return Atomics.load(this.#words, this.#place) === 0;
  }

  /** Takes one that nobody has taken and nobody will; -1 where all are used up. */
  take(): number {
    const drawn = Atomics.load(this.#words, this.#place);
    const isOver = this.#drawnIn !== this.#turn.number;
    if (isOver || this.#next === this.#end || drawn - this.#end > MAX_LAG) {
      if (drawn >= MAX_SHARED_COUNTERS) return -1;
      this.#size = isOver ? 1 : Math.min(2 * this.#size, LARGEST_BLOCK);
      this.#drawnIn = this.#turn.number;
      this.#next = Atomics.add(this.#words, this.#place, this.#size);
      this.#end = this.#next + this.#size;
    }
    return this.#next++;
  }
}
