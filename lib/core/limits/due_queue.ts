/**
 * Due queue: connections, or others, by when each may have something to do, so that those that are due are found
 * without a look at the others.
 *
 * A binary heap in which each entry stands at most once. What is put off stays where it is, and is put back when its
 * time has come: a datagram sent costs one comparison here.
 */

/** What can be due; both fields are the queue's. */
export interface Due {
  /** When it is looked at, monotonic ms; `Infinity` for never. */
  dueAt: number;
  /** Its place in the queue; -1 for none. */
  dueIndex: number;
}

export class DueQueue<Entry extends Due> {
  /**
   * When the first one is due; `Infinity` for never. A field, as a number that a call returns may be allocated.
   */
  at = Infinity;
  readonly #heap: Entry[] = [];

  /**
   * Sees to it that an entry is looked at by then. Callers for each packet compare with `dueAt` themselves: the
   * time is a number that is allocated where the call is not inlined.
   */
  arm(entry: Entry, at: number): void {
    if (at >= entry.dueAt) return;
    entry.dueAt = at;
    if (entry.dueIndex < 0) {
      entry.dueIndex = this.#heap.length;
      this.#heap.push(entry);
    }
    this.#rise(entry);
    if (at < this.at) this.at = at;
  }

  /** Takes out the first one that is due; null where none is. */
  take(now: number): Entry | null {
    if (this.#heap.length === 0 || now < this.#heap[0].dueAt) return null;
    const first = this.#heap[0];
    this.remove(first);
    return first;
  }

  /** Takes one out; one that is not in it is left alone. */
  remove(entry: Entry): void {
    const index = entry.dueIndex;
    if (index < 0) return;
    entry.dueIndex = -1;
    entry.dueAt = Infinity;
    const last = this.#heap.pop()!;
    if (last !== entry) {
      this.#put(last, index);
      this.#rise(last);
      this.#sink(last);
    }
    this.at = this.#heap.length === 0 ? Infinity : this.#heap[0].dueAt;
  }

  #rise(entry: Entry): void {
    const heap = this.#heap;
    let index = entry.dueIndex;
    while (index > 0) {
      const parent = heap[(index - 1) >> 1];
      if (parent.dueAt <= entry.dueAt) break;
      this.#put(parent, index);
      index = (index - 1) >> 1;
    }
    this.#put(entry, index);
  }

  #sink(entry: Entry): void {
    const heap = this.#heap;
    let index = entry.dueIndex;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1].dueAt < heap[child].dueAt) child++;
      if (heap[child].dueAt >= entry.dueAt) break;
      this.#put(heap[child], index);
      index = child;
    }
    this.#put(entry, index);
  }

  #put(entry: Entry, index: number): void {
    this.#heap[index] = entry;
    entry.dueIndex = index;
  }
}
