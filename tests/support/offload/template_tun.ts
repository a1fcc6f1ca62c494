/** TUN of a memory network: hands out one packet again and again, and counts what is written; it allocates nothing. */
import type { Arena } from "../../../ffi/arena.ts";
import type { TunPort } from "../../../lib/core/engine/ports.ts";

/** Bytes of the longest packet. */
const MAX_PACKET_SIZE = 65_535;

export class TemplateTun implements TunPort {
  readonly mergesUdp = true;
  /** Packets that were handed to the host, those of a super-packet one by one. */
  delivered = 0;
  /** Reads that are left. */
  reads = 0;
  readonly #bytes: Uint8Array;
  readonly #template: number;
  #templateLength = 0;
  #pieces = 0;

  constructor(arena: Arena) {
    this.#bytes = arena.bytes;
    this.#template = arena.allocate(MAX_PACKET_SIZE + 100);
  }

  /** Hands out these bytes from now on: a virtio-net header and a packet. */
  prepare(read: Uint8Array): void {
    this.#bytes.set(read, this.#template);
    this.#templateLength = read.length;
  }

  read(offset: number): number {
    if (this.reads === 0) return 0;
    this.reads--;
    this.#bytes.copyWithin(offset, this.#template, this.#template + this.#templateLength);
    return this.#templateLength;
  }

  beginWrite(): void {
    this.#pieces = 0;
  }

  addPiece(): void {
    this.#pieces++;
  }

  endWrite(): number {
    // Behind the virtio-net header, each piece is a packet.
    this.delivered += this.#pieces - 1;
    return this.#pieces;
  }

  refusedUdp(): void {}

  awaitPackets(): void {}
}
