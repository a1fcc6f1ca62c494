/**
 * Schedule of what happens when in a simulation: a heap, earliest first, those of one time in the order they were put
 * in.
 */

interface Entry<T> {
  readonly at: number;
  readonly order: number;
  readonly item: T;
}

export class Schedule<T> {
  readonly #heap: Entry<T>[] = [];
  #order = 0;

  get length(): number {
    return this.#heap.length;
  }

  /** Time of the first item; `Infinity` when there is none. */
  get nextAt(): number {
    return this.#heap.length === 0 ? Infinity : this.#heap[0]!.at;
  }

  add(at: number, item: T): void {
    const heap = this.#heap;
    let place = heap.push({ at, order: this.#order++, item }) - 1;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!isBefore(heap[place]!, heap[parent]!)) break;
      swap(heap, place, parent);
      place = parent;
    }
  }

  /** Takes the first item whose time has come, or undefined. */
  take(now: number): T | undefined {
    const heap = this.#heap;
    if (this.nextAt > now) return undefined;
    const { item } = heap[0]!;
    const last = heap.pop()!;
    if (heap.length > 0) {
      heap[0] = last;
      sink(heap);
    }
    return item;
  }
}

function sink<T>(heap: Entry<T>[]): void {
  let place = 0;
  for (;;) {
    let least = place;
    for (const child of [2 * place + 1, 2 * place + 2]) {
      if (child < heap.length && isBefore(heap[child]!, heap[least]!)) least = child;
    }
    if (least === place) return;
    swap(heap, place, least);
    place = least;
  }
}

function isBefore<T>(one: Entry<T>, other: Entry<T>): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}

function swap<T>(heap: Entry<T>[], one: number, other: number): void {
  const kept = heap[one]!;
  heap[one] = heap[other]!;
  heap[other] = kept;
}
