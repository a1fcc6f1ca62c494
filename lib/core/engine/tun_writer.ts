/** TUN writer: hands received packets to the TUN, merged into super-packets where segmentation offload is on. */
import { Coalescer } from "../offload/coalescer.ts";
import { VNET_HEADER_SIZE } from "../offload/virtio_net_header.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import type { Memory } from "../wire/memory.ts";
import type { PacketQueue } from "../wire/packet_queue.ts";
import type { TunPort } from "./ports.ts";

/** Each header at a multiple of 64. */
const HEADER_SPACE = 64;

export const TUN_WRITER_SCRATCH_SIZE: number = 2 * HEADER_SPACE;

export interface TunWriterOptions {
  /** Offset of `TUN_WRITER_SCRATCH_SIZE` bytes of the memory, a multiple of 64. */
  readonly scratch: number;
  readonly queue: PacketQueue;
  readonly drops: DropCounters;
  readonly offload: boolean;
}

export class TunWriter {
  readonly #queue: PacketQueue;
  readonly #drops: DropCounters;
  readonly #coalescer: Coalescer | null;
  /** Virtio-net headers: all zero for a packet that is whole, the other for one that the kernel is to treat as many. */
  readonly #plainHeader: number;
  readonly #mergedHeader: number;

  constructor(memory: Memory, { scratch, queue, drops, offload }: TunWriterOptions) {
    this.#queue = queue;
    this.#drops = drops;
    this.#coalescer = offload ? new Coalescer(memory, queue.capacity) : null;
    this.#plainHeader = scratch;
    this.#mergedHeader = scratch + HEADER_SPACE;
    memory.bytes.fill(0, this.#plainHeader, this.#plainHeader + VNET_HEADER_SIZE);
  }

  /** Writes the queued packets and empties the queue. What the kernel refuses is counted. */
  flush(tun: TunPort): void {
    if (this.#coalescer !== null) this.#writeGroups(tun, this.#coalescer);
    else for (let i = 0; i < this.#queue.length; i++) this.#writePacket(tun, i);
    this.#queue.clear();
  }

  #writeGroups(tun: TunPort, coalescer: Coalescer): void {
    const { offsets, lengths } = this.#queue;
    coalescer.group(this.#queue, tun.mergesUdp);
    for (let group = 0; group < coalescer.count; group++) {
      const first = coalescer.firstPacket(group);
      if (!coalescer.isMerged(group)) {
        this.#writePacket(tun, first);
        continue;
      }
      const headerSize = coalescer.prepare(group, this.#mergedHeader);
      tun.beginWrite();
      tun.addPiece(this.#mergedHeader, VNET_HEADER_SIZE);
      tun.addPiece(offsets[first], lengths[first]);
      for (let i = coalescer.nextPacket(first); i >= 0; i = coalescer.nextPacket(i)) {
        tun.addPiece(offsets[i] + headerSize, lengths[i] - headerSize);
      }
      const result = this.#endWrite(tun, lengths[first]);
      if (result >= 0) continue;
      // All of its packets are lost.
      for (let i = coalescer.nextPacket(first); i >= 0; i = coalescer.nextPacket(i)) {
        this.#drops.add(DropReason.tunWriteError, lengths[i]);
      }
      if (coalescer.isUdp(group)) tun.refusedUdp(result);
    }
  }

  #writePacket(tun: TunPort, index: number): void {
    tun.beginWrite();
    tun.addPiece(this.#plainHeader, VNET_HEADER_SIZE);
    tun.addPiece(this.#queue.offsets[index], this.#queue.lengths[index]);
    this.#endWrite(tun, this.#queue.lengths[index]);
  }

  #endWrite(tun: TunPort, length: number): number {
    const result = tun.endWrite();
    if (result < 0) this.#drops.add(DropReason.tunWriteError, length);
    return result;
  }
}
