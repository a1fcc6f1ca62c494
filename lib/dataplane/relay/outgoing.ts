/** Owns the datagrams on their way out of a relay by UDP: named where they were captured, until one call sends them all. */
import type { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import type { DatagramBatch } from "../../../ffi/sockets/datagram_batch.ts";
import { type DropCounters, DropReason } from "../../core/wire/drop_reason.ts";

/** Datagrams that wait at most: a merged segment of 64 KiB holds 45 of full size. */
const CAPACITY = 256;

export class Outgoing implements DatagramBatch {
  readonly offsets = new Int32Array(CAPACITY);
  readonly lengths = new Int32Array(CAPACITY);
  readonly addresses = new Uint32Array(CAPACITY);
  readonly ports = new Uint16Array(CAPACITY);
  readonly sources = new Uint32Array(CAPACITY);
  readonly #drops: DropCounters;
  #socket: UdpSocket | null = null;
  #count = 0;
  /** Why the kernel refused a datagram last, an error number, for the log; then set to 0. */
  lastError = 0;

  constructor(drops: DropCounters) {
    this.#drops = drops;
  }

  /** Sends by this socket from now on. */
  use(socket: UdpSocket): void {
    if (socket === this.#socket) return;
    this.flush();
    this.#socket = socket;
  }

  /** Appends a datagram. Addresses and port in host order; `source` 0 lets the kernel choose. */
  add(offset: number, length: number, address: number, port: number, source: number): void {
    if (this.#count === CAPACITY) this.flush();
    const i = this.#count++;
    this.offsets[i] = offset;
    this.lengths[i] = length;
    this.addresses[i] = address;
    this.ports[i] = port;
    this.sources[i] = source;
  }

  /** Sends what waits. What a full socket does not take is dropped, as by any router: a flow must not hold up the others. */
  flush(): void {
    const socket = this.#socket;
    const count = this.#count;
    if (socket === null || count === 0) return;
    this.#count = 0;
    const errors = socket.sendErrors;
    const sent = socket.send(this, 0, count);
    for (let i = errors; i < socket.sendErrors; i++) this.#drops.add(DropReason.sendError);
    if (socket.sendErrors > errors) this.lastError = socket.lastSendError;
    for (let i = sent; i < count; i++) this.#drops.add(DropReason.sendQueueFull, this.lengths[i]);
  }
}
