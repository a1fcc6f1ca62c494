/**
 * Packet queue: inner packets on their way to the TUN, the core's effect "write these bytes to the host".
 *
 * A packet stays where it was decrypted, so the queue must be drained before the receive buffers are used again.
 */

export class PacketQueue {
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
  readonly capacity: number;
  length = 0;

  /** @param capacity the most packets that one batch of receives can bring */
  constructor(capacity: number) {
    this.capacity = capacity;
    this.offsets = new Int32Array(capacity);
    this.lengths = new Int32Array(capacity);
  }

  /** Appends the packet of `length` bytes at `offset`; false when the queue is full. */
  push(offset: number, length: number): boolean {
    if (this.length === this.capacity) return false;
    this.offsets[this.length] = offset;
    this.lengths[this.length] = length;
    this.length++;
    return true;
  }

  clear(): void {
    this.length = 0;
  }
}
