/** Outgoing datagrams of a relay by UDP: named where they were captured, until one call sends them all. */
import type { DatagramPort, Datagrams } from "../engine/ports.ts";
import type { Paths } from "../transport/paths.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";

/** Datagrams that wait at most: a merged segment of 64 KiB holds 45 of full size. */
const CAPACITY = 256;

export class Outgoing implements Datagrams {
  readonly offsets: Int32Array = new Int32Array(CAPACITY);
  readonly lengths: Int32Array = new Int32Array(CAPACITY);
  readonly pathIds: Int32Array = new Int32Array(CAPACITY);
  readonly ecns: Uint8Array = new Uint8Array(CAPACITY);
  readonly paths: Paths;
  readonly #drops: DropCounters;
  #port: DatagramPort | null = null;
  #count = 0;

  constructor(paths: Paths, drops: DropCounters) {
    this.paths = paths;
    this.#drops = drops;
  }

  /** Sends by this port from now on; what waits for another one is sent. */
  use(port: DatagramPort, now: number): void {
    if (port === this.#port) return;
    this.flush(now);
    this.#port = port;
  }

  /** Appends a datagram that leaves by this path. */
  add(offset: number, length: number, path: number, now: number): void {
    if (this.#count === CAPACITY) this.flush(now);
    const i = this.#count++;
    this.offsets[i] = offset;
    this.lengths[i] = length;
    this.pathIds[i] = path;
    this.paths.pin(path);
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
    this.paths.unpinAll();
  }
}
