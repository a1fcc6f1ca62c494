/** Forwarded port: datagrams that came to another thread and are this one's to take, as a port of the loop. */
import { copyBytes } from "../threads/copy_bytes.ts";
import { readPathRecord } from "../transport/path_record.ts";
import type { Paths } from "../transport/paths.ts";
import type { Memory } from "../wire/memory.ts";
import { DATAGRAM_BYTES, DATAGRAM_PATH } from "../wireguard/workers/records.ts";
import type { DatagramSource, ReceivedMessages } from "./ports.ts";

/** Datagrams that there is room for: what they lead to is sent, and written to the TUN, together. */
const SLOTS = 32;

export interface ForwardedPortOptions {
  readonly memory: Memory;
  /** Where datagrams are put, on a multiple of 64: `ForwardedPort.size()` bytes. */
  readonly offset: number;
  /** Bytes of a slot, a multiple of 64: the longest datagram fits. */
  readonly slotSize: number;
  readonly paths: Paths;
}

export class ForwardedPort implements DatagramSource {
  readonly batch = SLOTS;
  readonly messages: ReceivedMessages;
  readonly #options: ForwardedPortOptions;
  #count = 0;

  constructor(options: ForwardedPortOptions) {
    this.#options = options;
    const { offset, slotSize } = options;
    this.messages = {
      offsets: Int32Array.from({ length: SLOTS }, (_, i) => offset + i * slotSize),
      lengths: new Int32Array(SLOTS),
      segmentSizes: new Int32Array(SLOTS),
      pathIds: new Int32Array(SLOTS),
      // What routers have marked on the way to the other thread is not told.
      ecns: new Uint8Array(SLOTS),
    };
  }

  /** Bytes of memory for slots of this size. */
  static size(slotSize: number): number {
    return SLOTS * slotSize;
  }

  /** Puts a datagram where it is received from, see `ForwardedDatagrams`. One that is too long is dropped. */
  put(record: DataView, at: number, length: number): boolean {
    const { memory, paths, slotSize } = this.#options;
    const size = length - DATAGRAM_BYTES;
    if (size > slotSize) return true;
    const i = this.#count;
    if (i === SLOTS) return false;
    const { lengths, offsets, pathIds } = this.messages;
    copyBytes(record, at + DATAGRAM_BYTES, memory.view, offsets[i], size);
    lengths[i] = size;
    pathIds[i] = readPathRecord(record, at + DATAGRAM_PATH, paths);
    this.#count++;
    return true;
  }

  receive(): number {
    const count = this.#count;
    this.#count = 0;
    return count;
  }

  take(): boolean {
    return true;
  }

  authenticated(): void {}
}
