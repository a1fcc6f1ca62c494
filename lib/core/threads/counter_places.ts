/**
 * Counter places: which word of the shared memory a session's counters are drawn from. A word is another session's only
 * when no thread can draw from it any more for the one before: else a thread that still has the old key would use
 * counters again.
 */
import type { Outbox } from "./outbox.ts";

/** A place whose session has ended here, and how many records each of the others has done when it knows. */
interface Leaving {
  readonly place: number;
  readonly counts: readonly number[];
}

export class CounterPlaces {
  readonly words: Int32Array;
  readonly #outboxes: readonly Pick<Outbox, "posted" | "isDone">[];
  readonly #free: number[] = [];
  readonly #leaving: Leaving[] = [];
  #used = 0;

  /**
   * @param words shared memory
   * @param outboxes by which the other threads are told
   */
  constructor(words: Int32Array, outboxes: readonly Pick<Outbox, "posted" | "isDone">[]) {
    this.words = words;
    this.#outboxes = outboxes;
  }

  /** Whether all are taken. */
  get isFull(): boolean {
    this.#reclaim();
    return this.#free.length === 0 && this.#used === this.words.length;
  }

  /**
   * Takes a place, from which no counter has been drawn.
   *
   * @throws {RangeError} when all are taken
   */
  take(): number {
    this.#reclaim();
    const place = this.#free.pop() ?? (this.#used < this.words.length ? this.#used++ : undefined);
    if (place === undefined) throw new RangeError("Cannot share a session: all places are taken");
    Atomics.store(this.words, place, 0);
    return place;
  }

  /** A session has ended, and the other threads have been told so. */
  release(place: number): void {
    this.#leaving.push({ place, counts: this.#outboxes.map(({ posted }) => posted) });
  }

  #reclaim(): void {
    for (let first = this.#leaving[0]; first !== undefined; first = this.#leaving[0]) {
      if (!first.counts.every((count, i) => this.#outboxes[i].isDone(count))) return;
      this.#leaving.shift();
      this.#free.push(first.place);
    }
  }
}
