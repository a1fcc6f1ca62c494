/** Egress port: a gateway's path to the internet as the engine's loop sees it. */
import { EPOLLIN } from "../../../ffi/epoll.ts";
import type { CapturePort } from "../../core/engine/ports.ts";
import type { Egress } from "../egress/egress.ts";
import type { EventLoop, ReadyHandler } from "../event_loop.ts";

export class EgressPort implements CapturePort {
  readonly batch: number;
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
  readonly #egress: Egress;
  readonly #loop: EventLoop;
  #handler: ReadyHandler = () => {};
  #isAwaited = true;

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

  /** Hands on when there is something to receive. */
  watch(handler: ReadyHandler): void {
    this.#handler = handler;
    this.#loop.add(this.#egress.capture.fd, handler);
  }

  awaitPackets(isAwaited: boolean): void {
    this.#isAwaited = isAwaited;
    this.#loop.modify(this.#egress.capture.fd, this.#interest);
  }

  /** Follows what may put another capture in place of this one. */
  replaceCapture(replace: () => void): void {
    this.#loop.remove(this.#egress.capture.fd);
    replace();
    this.#loop.add(this.#egress.capture.fd, this.#handler, this.#interest);
  }

  get #interest(): number {
    return this.#isAwaited ? EPOLLIN : 0;
  }
}
