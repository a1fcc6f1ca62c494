/**
 * For outside: packets of clients that one packet worker translates for all: the others hand them over by rings, as
 * they were when they had been opened, checked and let through by their sender's rate.
 */
import { copyBytes, copyWords } from "../threads/copy_bytes.ts";
import type { RingReader, RingWriter } from "../threads/record_ring.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import type { Memory } from "../wire/memory.ts";
import type { PacketPeer } from "../wireguard/packet_peer.ts";
import type { Receivable } from "./receive_rounds.ts";

/** The only kind of record: the tag of the peer, and the packet. */
const PACKET = 1;
const PEER = 0;
const BYTES = 4;

/** Packets that one receive brings. */
const BATCH = 64;
/** What may be written behind a packet when it is sealed. */
const PADDING = 64;

export interface ForOutsideOptions {
  readonly memory: Memory;
  /** To the worker that translates. */
  readonly ring: RingWriter;
  readonly drops: DropCounters;
  /** By which all workers know the peer with this index. */
  readonly tagOf: (peerIndex: number) => number;
}

/** The end of a worker that translates nothing. */
export class ForOutside {
  readonly #options: ForOutsideOptions;
  readonly #words: Int32Array;

  constructor(options: ForOutsideOptions) {
    this.#options = options;
    const { buffer, byteOffset, length } = options.memory.bytes;
    this.#words = new Int32Array(buffer, byteOffset, length >> 2);
  }

  /** Hands a peer's packet over; what there is no room for is dropped, as a full queue drops it. */
  put(peer: PacketPeer, packet: number, length: number): void {
    const { drops, memory, ring, tagOf } = this.#options;
    const at = ring.begin(PACKET, BYTES + length);
    if (at < 0) {
      drops.add(DropReason.sendQueueFull, length);
      return;
    }
    ring.view.setInt32(at + PEER, tagOf(peer.index), true);
    if ((packet & 3) === 0) copyWords(this.#words, packet, ring.payloads, at + BYTES, length);
    else copyBytes(memory.view, packet, ring.view, at + BYTES, length);
    ring.commit();
  }
}

export interface ForOutsidePortOptions {
  readonly memory: Memory;
  /** Where packets are put, on a multiple of 64: `ForOutsidePort.size()` bytes. */
  readonly offset: number;
  /** Inner MTU in bytes: no packet is longer. */
  readonly mtu: number;
  /** From the others. */
  readonly rings: readonly RingReader[];
  /** The peer with this tag; null for one that is gone. */
  readonly peerOf: (tag: number) => PacketPeer | null;
}

/** The end of the worker that translates. */
export class ForOutsidePort implements Receivable {
  readonly batch = BATCH;
  /** What the last `receive()` brought. */
  readonly offsets: Int32Array;
  readonly lengths = new Int32Array(BATCH);
  readonly #options: ForOutsidePortOptions;
  readonly #words: Int32Array;
  readonly #peers: (PacketPeer | null)[] = new Array(BATCH).fill(null);
  /** The ring whose turn it is. */
  #next = 0;

  constructor(options: ForOutsidePortOptions) {
    this.#options = options;
    const { buffer, byteOffset, length } = options.memory.bytes;
    this.#words = new Int32Array(buffer, byteOffset, length >> 2);
    const size = slotSize(options.mtu);
    this.offsets = Int32Array.from({ length: BATCH }, (_, i) => options.offset + i * size);
  }

  /** Bytes of memory for packets of up to this many. */
  static size(mtu: number): number {
    return BATCH * slotSize(mtu);
  }

  get hasMore(): boolean {
    const { rings } = this.#options;
    for (let i = 0; i < rings.length; i++) if (rings[i].next() !== 0) return true;
    return false;
  }

  /** Takes what there is, from one ring after the other, up to a batch. */
  receive(): number {
    const { rings } = this.#options;
    let count = 0;
    for (let i = 0; i < rings.length && count < BATCH; i++) {
      const ring = rings[this.#next];
      while (count < BATCH && ring.next() !== 0) {
        if (this.#take(ring, count)) count++;
        ring.passed();
      }
      this.#next = this.#next + 1 === rings.length ? 0 : this.#next + 1;
    }
    return count;
  }

  #take({ length, offset, payloads, view }: RingReader, index: number): boolean {
    const { mtu, peerOf } = this.#options;
    const size = length - BYTES;
    const peer = peerOf(view.getInt32(offset + PEER, true));
    if (peer === null || size > mtu) return false;
    copyWords(payloads, offset + BYTES, this.#words, this.offsets[index], size);
    this.lengths[index] = size;
    this.#peers[index] = peer;
    return true;
  }

  /** Whose packet `index` of the last `receive()` is. */
  peerOf(index: number): PacketPeer {
    return this.#peers[index]!;
  }
}

function slotSize(mtu: number): number {
  return (mtu + PADDING + 63) & -64;
}
