/** Segments in memory: the sockets of fake TCP without a kernel. */
import type { SegmentPort } from "../../../lib/core/engine/fake_tcp_port.ts";
import { VNET_HEADER_SIZE } from "../../../lib/core/offload/virtio_net_header.ts";
import type { SegmentQueue } from "../../../lib/core/transport/fake_tcp/segment_queue.ts";
import type { Memory } from "../../../lib/core/wire/memory.ts";
import type { Bytes } from "../packets/packet_builder.ts";
import { completed } from "./world.ts";

const BATCH = 16;
const PLACE_SIZE = 2048;

/** A wire's end: what is sent waits in `sent`, what is put into `arriving` is captured. */
export class MemorySegments implements SegmentPort {
  readonly sent: Bytes[] = [];
  readonly arriving: Bytes[] = [];
  readonly batch = BATCH;
  readonly offsets: Int32Array;
  readonly lengths: Int32Array = new Int32Array(BATCH);
  /** How many packets are taken before there is no room for more. */
  room = Infinity;
  isRoomAwaited = false;
  readonly #bytes: Uint8Array<ArrayBuffer>;

  /** Bytes of memory for what arrives. */
  static readonly size: number = BATCH * PLACE_SIZE;

  /** @param places offset of `MemorySegments.size` bytes */
  constructor({ bytes }: Memory, places: number) {
    this.#bytes = bytes;
    this.offsets = Int32Array.from({ length: BATCH }, (_, i) => places + i * PLACE_SIZE);
  }

  receive(): number {
    const packets = this.arriving.splice(0, BATCH);
    packets.forEach((packet, i) => {
      const at = this.offsets[i]!;
      this.#bytes.fill(0, at, at + VNET_HEADER_SIZE);
      this.#bytes.set(packet, at + VNET_HEADER_SIZE);
      this.lengths[i] = VNET_HEADER_SIZE + packet.length;
    });
    return packets.length;
  }

  send({ offsets, lengths }: SegmentQueue, from: number, to: number): number {
    let next = from;
    for (; next < to && this.room > 0; next++, this.room--) {
      this.sent.push(
        completed(this.#bytes.slice(offsets[next], offsets[next]! + lengths[next]!)),
      );
    }
    return next;
  }

  awaitRoom(isAwaited: boolean): void {
    this.isRoomAwaited = isAwaited;
  }
}
