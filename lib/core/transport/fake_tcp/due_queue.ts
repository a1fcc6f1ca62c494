/**
 * Due queue: connections by when each may have something to do, so that those that are due are found without a look at
 * the others.
 *
 * A binary heap in which each connection stands at most once. What is put off stays where it is, and is put back when
 * its time has come: a datagram sent costs one comparison here.
 */
import type { Session } from "./session.ts";

export class DueQueue {
  /**
   * When the first connection is due; `Infinity` for never. A field, as a number that a call returns may be allocated.
   */
  at = Infinity;
  readonly #heap: Session[] = [];

  /**
   * Sees to it that a connection is looked at by then. Callers for each packet compare with `dueAt` themselves: the
   * time is a number that is allocated where the call is not inlined.
   */
  arm(session: Session, at: number): void {
    if (at >= session.dueAt) return;
    session.dueAt = at;
    if (session.dueIndex < 0) {
      session.dueIndex = this.#heap.length;
      this.#heap.push(session);
    }
    this.#rise(session);
    if (at < this.at) this.at = at;
  }

  /** Takes out the first connection that is due; null where none is. */
  take(now: number): Session | null {
    if (this.#heap.length === 0 || now < this.#heap[0].dueAt) return null;
    const first = this.#heap[0];
    this.remove(first);
    return first;
  }

  /** Takes a connection out; one that is not in it is left alone. */
  remove(session: Session): void {
    const index = session.dueIndex;
    if (index < 0) return;
    session.dueIndex = -1;
    session.dueAt = Infinity;
    const last = this.#heap.pop()!;
    if (last !== session) {
      this.#put(last, index);
      this.#rise(last);
      this.#sink(last);
    }
    this.at = this.#heap.length === 0 ? Infinity : this.#heap[0].dueAt;
  }

  #rise(session: Session): void {
    const heap = this.#heap;
    let index = session.dueIndex;
    while (index > 0) {
      const parent = heap[(index - 1) >> 1];
      if (parent.dueAt <= session.dueAt) break;
      this.#put(parent, index);
      index = (index - 1) >> 1;
    }
    this.#put(session, index);
  }

  #sink(session: Session): void {
    const heap = this.#heap;
    let index = session.dueIndex;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1].dueAt < heap[child].dueAt) child++;
      if (heap[child].dueAt >= session.dueAt) break;
      this.#put(heap[child], index);
      index = child;
    }
    this.#put(session, index);
  }

  #put(session: Session, index: number): void {
    this.#heap[index] = session;
    session.dueIndex = index;
  }
}
