/**
 * Shaper: packets that are over their party's rate wait until they are within it, so that a sender sees a slow link
 * rather than losses. Each party has a queue in each direction; all share one memory.
 *
 * What a queue may hold is bounded three times. By its rate: more than a quarter of a second is of use to nobody. By
 * what is left of the memory (a dynamic threshold: Choudhury and Hahne, IEEE/ACM Transactions on Networking, 1998): a
 * queue may be as long as there are free slots, so that one takes half, the next one half of the rest, and there is
 * always room for one that has nothing yet; nobody has to be pushed out. And by CoDel (codel.ts), which keeps it short
 * as long as its senders answer to a loss or, with ECN, to a mark.
 */
import { DueQueue } from "./due_queue.ts";
import type { RateLimit } from "./rate_limit.ts";

/** ms of its rate that a queue may hold. */
const MOST_TIME = 250;
/** Bytes that a queue may hold at any rate: a datagram of the greatest length comes as fragments in one burst. */
const LEAST_BYTES = 80_000;

/** Where packets wait. */
export interface ShaperRegion {
  /** Offset of the first slot in the packet memory. */
  readonly offset: number;
  /** Count of slots. */
  readonly slots: number;
  /** Bytes of a slot. */
  readonly slotSize: number;
}

export interface ShaperOptions<Owner> {
  readonly bytes: Uint8Array;
  readonly region: ShaperRegion;
  /** Takes a packet that may go on now; it lies there until `recycle()`. */
  readonly release: (
    limit: RateLimit<Owner>,
    offset: number,
    length: number,
    now: number,
  ) => void;
  /** Marks a packet in place of dropping it; false where it must be dropped. */
  readonly mark: (offset: number) => boolean;
  readonly drop: (limit: RateLimit<Owner>, length: number, now: number) => void;
}

export class Shaper<Owner> {
  readonly #options: ShaperOptions<Owner>;
  readonly #due: DueQueue<RateLimit<Owner>> = new DueQueue();
  // By slot.
  readonly #next: Int32Array;
  readonly #lengths: Int32Array;
  readonly #keptAt: Float64Array;
  /** The first free slot, -1 for none; how many there are, and those that are free but for `recycle()`. */
  #free = -1;
  #freeCount: number;
  #used = -1;

  constructor(options: ShaperOptions<Owner>) {
    const { slots } = options.region;
    this.#options = options;
    this.#next = Int32Array.from({ length: slots }, (_, i) => i + 1 < slots ? i + 1 : -1);
    this.#lengths = new Int32Array(slots);
    this.#keptAt = new Float64Array(slots);
    this.#freeCount = slots;
    if (slots > 0) this.#free = 0;
  }

  /** When `release()` has something to do, monotonic ms; `Infinity` for never. */
  get at(): number {
    return this.#due.at;
  }

  /**
   * Takes a packet, which may go on now, or is kept, or dropped.
   *
   * @param length bytes
   * @param now monotonic ms
   * @returns whether it may go on now
   */
  take(limit: RateLimit<Owner>, offset: number, length: number, now: number): boolean {
    if (limit.count === 0 && limit.bound.take(length, now, false)) return true;
    if (this.#hasRoom(limit, length)) this.#keep(limit, offset, length, now);
    else this.#options.drop(limit, length, now);
    return false;
  }

  #hasRoom(limit: RateLimit<Owner>, length: number): boolean {
    if (limit.count >= this.#freeCount || length > this.#options.region.slotSize) return false;
    const bytes = limit.bytes + length;
    return bytes <= LEAST_BYTES || bytes <= limit.rate / 8_000 * MOST_TIME;
  }

  #keep(limit: RateLimit<Owner>, offset: number, length: number, now: number): void {
    const slot = this.#free;
    this.#free = this.#next[slot]!;
    this.#freeCount--;
    this.#next[slot] = -1;
    this.#lengths[slot] = length;
    this.#keptAt[slot] = now;
    this.#options.bytes.copyWithin(this.#offsetOf(slot), offset, offset + length);
    if (limit.last < 0) limit.first = slot;
    else this.#next[limit.last] = slot;
    limit.last = slot;
    limit.count++;
    limit.bytes += length;
    if (limit.count === 1) this.#due.arm(limit, now + limit.bound.wait());
  }

  #offsetOf(slot: number): number {
    const { offset, slotSize } = this.#options.region;
    return offset + slot * slotSize;
  }

  /**
   * Lets go what may go on by now.
   *
   * @param most packets
   * @returns whether there may be more
   */
  release(now: number, most: number): boolean {
    let left = most;
    while (left > 0) {
      const limit = this.#due.take(now);
      if (limit === null) return false;
      left = this.#releaseOf(limit, now, left);
      if (limit.count > 0) this.#due.arm(limit, limit.isLifted ? now : now + limit.bound.wait());
    }
    return true;
  }

  /** Returns how many packets more there may be. */
  #releaseOf(limit: RateLimit<Owner>, now: number, most: number): number {
    const { drop, release } = this.#options;
    const { bound, isLifted } = limit;
    let left = most;
    while (left > 0 && limit.count > 0 && (isLifted || bound.take(0, now, true))) {
      const slot = limit.first;
      const length = this.#lengths[slot]!;
      const offset = this.#offsetOf(slot);
      const isDropped = !isLifted && this.#isDropped(limit, slot, offset, now);
      this.#take(limit, slot, length);
      left--;
      if (isDropped) {
        drop(limit, length, now);
        continue;
      }
      bound.take(length, now, true);
      release(limit, offset, length, now);
    }
    return left;
  }

  #isDropped(limit: RateLimit<Owner>, slot: number, offset: number, now: number): boolean {
    const waited = now - this.#keptAt[slot]!;
    return limit.codel.drops(waited, limit.bytes, limit.rate, now) && !this.#options.mark(offset);
  }

  /** Takes the first packet of a queue; its slot is free when what becomes of the packet is done. */
  #take(limit: RateLimit<Owner>, slot: number, length: number): void {
    limit.first = this.#next[slot]!;
    if (limit.first < 0) limit.last = -1;
    limit.count--;
    limit.bytes -= length;
    this.#next[slot] = this.#used;
    this.#used = slot;
  }

  /** Nothing that has been let go is looked at any more. */
  recycle(): void {
    while (this.#used >= 0) {
      const slot = this.#used;
      this.#used = this.#next[slot]!;
      this.#next[slot] = this.#free;
      this.#free = slot;
      this.#freeCount++;
    }
  }
}
