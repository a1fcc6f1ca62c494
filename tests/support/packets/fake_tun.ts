/** Owns a TUN device without a kernel: the host's packets go in at one end, the core reads and writes at the other. */
import type { Memory } from "../../../lib/core/wire/memory.ts";
import type { Bytes } from "./packet_builder.ts";

/** The virtio-net header of a packet that is whole. */
const PLAIN_HEADER = new Uint8Array(10);

export class FakeTun {
  /** Packets that the core wrote for the host, oldest first. */
  readonly written: Bytes[] = [];
  /** Takes each packet that the core writes, in place of `written`. */
  onWritten: ((packet: Bytes) => void) | null = null;
  readonly #fromHost: Bytes[] = [];

  /** The host sends a packet into the tunnel; `header` is its virtio-net header. */
  send(packet: Uint8Array, header: Uint8Array = PLAIN_HEADER): void {
    const read = new Uint8Array(header.length + packet.length);
    read.set(header);
    read.set(packet, header.length);
    this.#fromHost.push(read);
  }

  /** Reads the next packet with its virtio-net header to `offset` and returns the bytes read; 0 when there is none. */
  read(memory: Memory, offset: number): number {
    const read = this.#fromHost.shift();
    if (read === undefined) return 0;
    memory.bytes.set(read, offset);
    return read.length;
  }

  /** Writes `length` bytes at `offset` to the host. */
  write(memory: Memory, offset: number, length: number): void {
    const packet = memory.bytes.slice(offset, offset + length);
    if (this.onWritten === null) this.written.push(packet);
    else this.onWritten(packet);
  }
}
