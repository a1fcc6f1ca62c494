/**
 * Segment queue: segments on their way out, the transport's effect "send these packets".
 *
 * A datagram is queued where it lies, its headers in the room before it. Segments of fake TCP's own have a slot for
 * each place in the queue. The parallel arrays are what a sender of packets takes.
 */

/** Slots start on multiples of this. */
const SLOT_ALIGN = 64;

export interface SegmentQueueRegion {
  /** Offset of the first slot in the packet memory; a multiple of 4. */
  readonly offset: number;
  /** Count of slots, and of segments in the queue. */
  readonly slots: number;
  /** Bytes of a slot, from `slotSize()`. */
  readonly slotSize: number;
}

export class SegmentQueue {
  /** Where each IP packet begins. */
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
  readonly capacity: number;
  /** Segments queued since the queue was empty; those before `head` have been sent. */
  tail = 0;
  head = 0;
  readonly #region: SegmentQueueRegion;

  constructor(region: SegmentQueueRegion) {
    this.#region = region;
    this.capacity = region.slots;
    this.offsets = new Int32Array(region.slots);
    this.lengths = new Int32Array(region.slots);
  }

  /** Bytes of a slot that holds a packet of up to `mtu` bytes. */
  static slotSize(mtu: number): number {
    return (mtu + SLOT_ALIGN - 1) & -SLOT_ALIGN;
  }

  /** Offset of the slot at the queue's end, or -1 when the queue is full. */
  reserve(): number {
    const { offset, slotSize } = this.#region;
    return this.tail < this.capacity ? offset + this.tail * slotSize : -1;
  }

  /** Appends a packet, in the reserved slot or wherever it stays until it has left; not when the queue is full. */
  append(offset: number, length: number): void {
    const i = this.tail++;
    this.offsets[i] = offset;
    this.lengths[i] = length;
  }

  /** Segments that wait. */
  get length(): number {
    return this.tail - this.head;
  }

  /** Places left before `reserve()` fails. */
  get free(): number {
    return this.capacity - this.tail;
  }

  /** Takes note that everything before index `head` has left. Places come free once all have. */
  sentUpTo(head: number): void {
    this.head = head;
    if (head === this.tail) this.head = this.tail = 0;
  }
}
