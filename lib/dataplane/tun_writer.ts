/** Owns the way of received packets into the TUN: merged into super-packets where segmentation offload is on. */
import type { Arena } from "../../ffi/arena.ts";
import type { Tun } from "../../ffi/tun.ts";
import { Coalescer } from "../core/offload/coalescer.ts";
import { VNET_HEADER_SIZE } from "../core/offload/virtio_net_header.ts";
import type { PacketQueue } from "../core/wire/packet_queue.ts";
import { type DropCounters, DropReason } from "../core/wire/drop_reason.ts";

export class TunWriter {
  readonly #queue: PacketQueue;
  readonly #drops: DropCounters;
  readonly #coalescer: Coalescer | null;
  /** Virtio-net headers: all zero for a packet that is whole, the other for one that the kernel is to treat as many. */
  readonly #plainHeader: number;
  readonly #mergedHeader: number;

  constructor(
    arena: Arena,
    { queue, drops, offload }: { queue: PacketQueue; drops: DropCounters; offload: boolean },
  ) {
    this.#queue = queue;
    this.#drops = drops;
    this.#coalescer = offload ? new Coalescer(arena, queue.capacity) : null;
    this.#plainHeader = arena.allocate(VNET_HEADER_SIZE);
    this.#mergedHeader = arena.allocate(VNET_HEADER_SIZE);
  }

  /** Writes the queued packets and empties the queue. What the kernel refuses is counted. */
  flush(tun: Tun): void {
    if (this.#coalescer !== null) this.#writeGroups(tun, this.#coalescer);
    else for (let i = 0; i < this.#queue.length; i++) this.#writePacket(tun, i);
    this.#queue.clear();
  }

  #writeGroups(tun: Tun, coalescer: Coalescer): void {
    const { offsets, lengths } = this.#queue;
    coalescer.group(this.#queue);
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
      this.#endWrite(tun, lengths[first]);
    }
  }

  #writePacket(tun: Tun, index: number): void {
    tun.beginWrite();
    tun.addPiece(this.#plainHeader, VNET_HEADER_SIZE);
    tun.addPiece(this.#queue.offsets[index], this.#queue.lengths[index]);
    this.#endWrite(tun, this.#queue.lengths[index]);
  }

  #endWrite(tun: Tun, length: number): void {
    if (tun.endWrite() < 0) this.#drops.add(DropReason.tunWriteError, length);
  }
}
