/** Handed-over port: packets that other workers have handed over to this one's part of the NAT, one at a time. */
import { HANDED_OVER_PACKET, Origin } from "../nat/slices/hand_over.ts";
import type { RingReader } from "../threads/record_ring.ts";
import type { Memory } from "../wire/memory.ts";

/** Room for a virtio-net header and the longest packet, for what sealing writes behind it, and for where it begins. */
export const HANDED_OVER_SIZE: number = 65_536 + HANDED_OVER_PACKET + 64 + 4;
/** The packet behind the virtio-net header shall begin on a multiple of 4, where the cipher wants it. */
const START = -HANDED_OVER_PACKET & 3;

export class HandedOverPort {
  readonly batch = 1;
  /** Of the packet that came last: the offset of its virtio-net header, its bytes with that, and where it is from. */
  readonly offset: number;
  length = 0;
  origin: Origin = Origin.outside;
  readonly #memory: Memory;
  readonly #rings: readonly RingReader[];
  #next = 0;

  /** @param offset of `HANDED_OVER_SIZE` bytes of the memory, a multiple of 64 */
  constructor(memory: Memory, offset: number, rings: readonly RingReader[]) {
    this.#memory = memory;
    this.#rings = rings;
    this.offset = offset + START;
  }

  /** Whether there is anything to be received. */
  get hasMore(): boolean {
    for (let i = 0; i < this.#rings.length; i++) if (this.#rings[i].next() !== 0) return true;
    return false;
  }

  /** Takes the next packet, from each of the others in turn. Returns 1; 0 where there is none. */
  receive(): number {
    const rings = this.#rings;
    for (let i = 0; i < rings.length; i++) {
      const ring = rings[this.#next];
      this.#next = this.#next + 1 === rings.length ? 0 : this.#next + 1;
      const kind = ring.next();
      if (kind === 0) continue;
      this.#take(ring, kind as Origin);
      return 1;
    }
    return 0;
  }

  #take(ring: RingReader, origin: Origin): void {
    const to = this.#memory.bytes;
    for (let i = 0; i < ring.length; i++) to[this.offset + i] = ring.bytes[ring.offset + i];
    this.length = ring.length;
    this.origin = origin;
    ring.done();
  }
}
