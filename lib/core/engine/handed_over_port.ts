/** Handed-over port: packets that other workers have handed over to this one's part of the NAT, one at a time. */
import { HANDED_OVER_HEADER, HANDED_OVER_PACKET, Origin } from "../nat/slices/hand_over.ts";
import type { RingReader } from "../threads/record_ring.ts";
import type { Memory } from "../wire/memory.ts";

/** Room for a record with the longest packet, and for what sealing writes behind it. */
export const HANDED_OVER_SIZE: number = 65_536 + HANDED_OVER_PACKET + 64;

export class HandedOverPort {
  readonly batch = 1;
  /** Of the packet that came last: the offset of its virtio-net header, its bytes with that, and where it is from. */
  readonly offset: number;
  length = 0;
  origin: Origin = Origin.outside;
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #rings: readonly RingReader[];
  #next = 0;

  /** @param offset of `HANDED_OVER_SIZE` bytes of the memory, a multiple of 64 */
  constructor(memory: Memory, offset: number, rings: readonly RingReader[]) {
    const { buffer, byteOffset, length } = this.#bytes = memory.bytes;
    this.#words = new Int32Array(buffer, byteOffset, length >> 2);
    this.#rings = rings;
    // So the packet begins on a multiple of 4, where the cipher wants it.
    this.offset = offset + HANDED_OVER_HEADER;
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
    const { bytes, length, offset, payloads } = ring;
    const to = this.offset - HANDED_OVER_HEADER;
    const size = length & ~3;
    for (let i = 0; i < size; i += 4) this.#words[(to + i) >> 2] = payloads[(offset + i) >> 2];
    for (let i = size; i < length; i++) this.#bytes[to + i] = bytes[offset + i];
    this.length = length - HANDED_OVER_HEADER;
    this.origin = origin;
    ring.done();
  }
}
