/**
 * Packet slots: the memory for packets that the NAT itself makes: ICMP errors, fragments, fragments that waited.
 *
 * Slots are used in turn until all are; they are free again, all at once, when the queues that name them have been
 * drained.
 */

const SLOTS = 512;
/** Bytes of the longest error that says why a packet goes no further, ICMPv6's (RFC 4443 section 2.4 (c)). */
const MIN_SLOT_SIZE = 1280;
/** Slots begin on multiples of this; the cipher wants 4. */
const SLOT_ALIGN = 64;
/** Bytes behind a packet that sealing overwrites with padding. */
const PADDING_ROOM = 16;

export class PacketSlots {
  /** Bytes of the longest packet that a slot holds. */
  readonly maxSize: number;
  readonly #offset: number;
  readonly #slotSize: number;
  #used = 0;

  /** @param offset of `PacketSlots.size(mtu)` bytes of the packet memory */
  constructor(offset: number, mtu: number) {
    this.#offset = offset;
    this.maxSize = Math.max(mtu, MIN_SLOT_SIZE);
    this.#slotSize = slotSize(mtu);
  }

  /** Bytes for packets of up to `mtu` bytes. */
  static size(mtu: number): number {
    return SLOTS * slotSize(mtu);
  }

  /** Offset of a free slot; -1 when there is none. */
  take(): number {
    if (this.#used === SLOTS) return -1;
    return this.#offset + this.#used++ * this.#slotSize;
  }

  /** Frees all slots. */
  clear(): void {
    this.#used = 0;
  }
}

function slotSize(mtu: number): number {
  return (Math.max(mtu, MIN_SLOT_SIZE) + PADDING_ROOM + SLOT_ALIGN - 1) & -SLOT_ALIGN;
}
