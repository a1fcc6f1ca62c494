/** Misdirected source: a datagram that another gateway has handed over, as if a socket had received it. */
import type { DatagramSource } from "../../core/engine/ports.ts";

export class MisdirectedSource implements DatagramSource {
  readonly batch = 1;
  readonly messages = {
    offsets: new Int32Array(1),
    lengths: new Int32Array(1),
    segmentSizes: new Int32Array(1),
    pathIds: new Int32Array(1),
    // What routers have marked on the way to the other gateway is not told.
    ecns: new Uint8Array(1),
  };
  #isThere = false;

  /** Puts a datagram there, for one `receive()`. */
  put(offset: number, length: number, path: number): void {
    const { offsets, lengths, pathIds } = this.messages;
    offsets[0] = offset;
    lengths[0] = length;
    pathIds[0] = path;
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
}
