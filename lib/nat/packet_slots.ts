/**
 * Owns the memory for packets that the NAT itself makes: ICMP errors, fragments, fragments that waited.
 *
 * Slots are used in turn, and one is good until all the others have been used: the queues must be drained before that.
 */

const SLOTS = 512;
/** What one call may take: the fragments of one packet of 64 KiB. The caller drains the queues after eight at the most. */
export const MAX_SLOTS_PER_CALL = 64;
/** Slots begin on multiples of this; the cipher wants 4. */
const SLOT_ALIGN = 64;
/** Bytes behind a packet that sealing overwrites with padding. */
const PADDING_ROOM = 16;

export class PacketSlots {
  readonly #offset: number;
  readonly #slotSize: number;
  #next = 0;

  /** @param offset of `PacketSlots.size(mtu)` bytes of the packet memory */
  constructor(offset: number, mtu: number) {
    this.#offset = offset;
    this.#slotSize = slotSize(mtu);
  }

  /** Bytes for packets of up to `mtu` bytes. */
  static size(mtu: number): number {
    return SLOTS * slotSize(mtu);
  }

  /** Offset of the next slot. */
  next(): number {
    const offset = this.#offset + this.#next * this.#slotSize;
    this.#next = (this.#next + 1) % SLOTS;
    return offset;
  }
}

function slotSize(mtu: number): number {
  return (mtu + PADDING_ROOM + SLOT_ALIGN - 1) & -SLOT_ALIGN;
}
