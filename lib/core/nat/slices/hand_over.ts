/**
 * Hand-over: packets that are for another worker's part of the NAT, told by a ring from each worker to each other one.
 *
 * The kernel gives each worker what is for its ports. What it cannot tell comes to the first worker, fragments above
 * all; and what one client sends to another by the external address is seen by the sender's worker alone.
 */
import type { RingWriter } from "../../threads/record_ring.ts";
import { VNET_HEADER_SIZE } from "../../offload/virtio_net_header.ts";
import type { Memory } from "../../wire/memory.ts";

/** Where a packet comes from, for the worker that it is handed over to; the kinds of record. */
export const Origin = {
  /** The network outside: no record, but what the worker has captured itself. */
  outside: 0,
  /** The network outside, by another worker. */
  captured: 1,
  /** A client of another worker's, which has translated the packet: source and destination are the external address. */
  hairpin: 2,
} as const;
export type Origin = typeof Origin[keyof typeof Origin];

/** In a record: the virtio-net header, and right behind it the packet, on a multiple of 4 to be copied by words. */
export const HANDED_OVER_HEADER: number = -VNET_HEADER_SIZE & 3;
export const HANDED_OVER_PACKET: number = HANDED_OVER_HEADER + VNET_HEADER_SIZE;

/** The share of a ring that may be full of what strangers can have sent: fragments, above all. */
const STRANGERS_SHARE = 1 / 2;

/** Stands for a virtio-net header that says nothing. */
export const NO_HEADER = -1;

export class HandOver {
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #rings: readonly (RingWriter | null)[];

  /** @param rings by worker; null is this one's own place */
  constructor(memory: Memory, rings: readonly (RingWriter | null)[]) {
    const { buffer, byteOffset, length } = this.#bytes = memory.bytes;
    this.#words = new Int32Array(buffer, byteOffset, length >> 2);
    this.#rings = rings;
  }

  /**
   * Hands a packet over; false where there is no room.
   *
   * @param header offset of its virtio-net header, or `NO_HEADER`
   */
  put(worker: number, origin: Origin, header: number, packet: number, length: number): boolean {
    const ring = this.#rings[worker];
    if (ring === null || ring === undefined) return false;
    const share = origin === Origin.hairpin ? 1 : STRANGERS_SHARE;
    const at = ring.begin(origin, HANDED_OVER_PACKET + length, share);
    if (at < 0) return false;
    const to = ring.bytes;
    for (let i = 0; i < VNET_HEADER_SIZE; i++) {
      to[at + HANDED_OVER_HEADER + i] = header === NO_HEADER ? 0 : this.#bytes[header + i];
    }
    const start = at + HANDED_OVER_PACKET;
    // Nearly all stand on a multiple of 4, as the cipher wants it. By bytes alone, the copies cost more than sealing.
    const size = (packet & 3) === 0 ? length & ~3 : 0;
    const { payloads } = ring;
    for (let i = 0; i < size; i += 4) payloads[(start + i) >> 2] = this.#words[(packet + i) >> 2];
    for (let i = size; i < length; i++) to[start + i] = this.#bytes[packet + i];
    ring.commit();
    return true;
  }
}
