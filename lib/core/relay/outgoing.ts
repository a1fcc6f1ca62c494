/** Outgoing datagrams of a relay by UDP: named where they were captured, until one call sends them all. */
import type { DatagramPort, Datagrams } from "../engine/ports.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";

/** Datagrams that wait at most: a merged segment of 64 KiB holds 45 of full size. */
const CAPACITY = 256;

export class Outgoing implements Datagrams {
  readonly offsets: Int32Array = new Int32Array(CAPACITY);
  readonly lengths: Int32Array = new Int32Array(CAPACITY);
  readonly addresses: Uint32Array = new Uint32Array(CAPACITY);
  readonly ports: Uint16Array = new Uint16Array(CAPACITY);
  readonly sources: Uint32Array = new Uint32Array(CAPACITY);
  readonly ecns: Uint8Array = new Uint8Array(CAPACITY);
  readonly #drops: DropCounters;
  #port: DatagramPort | null = null;
  #count = 0;

  constructor(drops: DropCounters) {
    this.#drops = drops;
  }

  /** Sends by this port from now on; what waits for another one is sent. */
  use(port: DatagramPort, now: number): void {
    if (port === this.#port) return;
    this.flush(now);
    this.#port = port;
  }

  /** Appends a datagram. Addresses and port in host order; `source` 0 lets the kernel choose. */
  add(
    offset: number,
    length: number,
    address: number,
    port: number,
    source: number,
    now: number,
  ): void {
    if (this.#count === CAPACITY) this.flush(now);
    const i = this.#count++;
    this.offsets[i] = offset;
    this.lengths[i] = length;
    this.addresses[i] = address;
    this.ports[i] = port;
    this.sources[i] = source;
  }

  /**
   * Sends what waits. What a full port does not take is dropped, as by any router: a flow must not hold up the others.
   */
  flush(now: number): void {
    const port = this.#port;
    const count = this.#count;
    if (port === null || count === 0) return;
    this.#count = 0;
    for (let i = port.send(this, 0, count, now); i < count; i++) {
      this.#drops.add(DropReason.sendQueueFull, this.lengths[i]);
    }
  }
}
