/** Egress port: a gateway's path to the internet as the engine's loop sees it. */
import { EPOLLIN } from "../../../ffi/epoll.ts";
import type { CapturePort } from "../../core/engine/ports.ts";
import type { Egress } from "../egress/egress.ts";
import type { EventLoop } from "../event_loop.ts";

export class EgressPort implements CapturePort {
  readonly batch: number;
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
  readonly #egress: Egress;
  readonly #loop: EventLoop;

  /** @param loop watches the capture already */
  constructor(egress: Egress, loop: EventLoop) {
    this.#egress = egress;
    this.#loop = loop;
    this.offsets = egress.capture.receivedOffsets;
    this.lengths = egress.capture.receivedLengths;
    this.batch = this.offsets.length;
  }

  receive(): number {
    const count = this.#egress.capture.receive();
    return count < 0 ? 0 : count;
  }

  flush(now: number): void {
    this.#egress.flush(now);
  }

  awaitPackets(isAwaited: boolean): void {
    this.#loop.modify(this.#egress.capture.fd, isAwaited ? EPOLLIN : 0);
  }
}
