/** Forwarded port: datagrams that came to another thread and are this one's to take, as a port of the loop. */
import { readPathRecord } from "../transport/path_record.ts";
import type { Paths } from "../transport/paths.ts";
import { Transport } from "../transport/transport.ts";
import type { Memory } from "../wire/memory.ts";
import { DATAGRAM_BYTES, DATAGRAM_PATH } from "../wireguard/workers/records.ts";
import type { DatagramPort, ReceivedMessages } from "./ports.ts";

export interface ForwardedPortOptions {
  readonly memory: Memory;
  /** Where a datagram is put, on a multiple of 64, and the most bytes that one has. */
  readonly offset: number;
  readonly length: number;
  readonly paths: Paths;
}

export class ForwardedPort implements DatagramPort {
  readonly transport: Transport = Transport.udp;
  readonly batch = 1;
  readonly messages: ReceivedMessages;
  readonly #options: ForwardedPortOptions;
  #isThere = false;

  constructor(options: ForwardedPortOptions) {
    this.#options = options;
    this.messages = {
      offsets: Int32Array.of(options.offset),
      lengths: new Int32Array(1),
      segmentSizes: new Int32Array(1),
      pathIds: new Int32Array(1),
      ecns: new Uint8Array(1),
    };
  }

  /** Puts a datagram where it is received from. */
  put(record: Uint8Array<ArrayBuffer>): void {
    const { memory, offset, length, paths } = this.#options;
    const size = record.length - DATAGRAM_BYTES;
    if (size > length) return;
    memory.bytes.set(record.subarray(DATAGRAM_BYTES), offset);
    this.messages.lengths[0] = size;
    const view = new DataView(record.buffer, record.byteOffset);
    this.messages.pathIds[0] = readPathRecord(view, DATAGRAM_PATH, paths);
    this.#isThere = true;
  }

  receive(): number {
    const count = this.#isThere ? 1 : 0;
    this.#isThere = false;
    return count;
  }

  take(): boolean {
    return true;
  }

  authenticated(): void {}

  /** Nothing is sent by it. */
  send(_datagrams: unknown, from: number): number {
    return from;
  }

  probe(): boolean {
    return false;
  }

  flush(): boolean {
    return true;
  }

  awaitRoom(): void {}
}
