/** Segment port: the sockets of fake TCP as its core sees them. */
import { EPOLLOUT } from "../../../ffi/epoll.ts";
import type { SegmentPort } from "../../core/engine/fake_tcp_port.ts";
import type { SegmentQueue } from "../../core/transport/fake_tcp/segment_queue.ts";
import { type DropCounters, DropReason } from "../../core/wire/drop_reason.ts";
import type { EventLoop, ReadyHandler } from "../event_loop.ts";
import type { FakeTcpSocket } from "./fake_tcp_socket.ts";

export interface SegmentSocketPortOptions {
  readonly loop: EventLoop;
  readonly drops: DropCounters;
  /** Called when there is room again that was waited for. */
  readonly onRoom: ReadyHandler;
}

export class SegmentSocketPort implements SegmentPort {
  readonly batch: number;
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
  readonly #socket: FakeTcpSocket;
  readonly #options: SegmentSocketPortOptions;
  /** The descriptor whose room is waited for: the sender has two; -1 for none. */
  #awaitedFd = -1;

  constructor(socket: FakeTcpSocket, options: SegmentSocketPortOptions) {
    this.#socket = socket;
    this.#options = options;
    this.offsets = socket.capture.receivedOffsets;
    this.lengths = socket.capture.receivedLengths;
    this.batch = this.offsets.length;
  }

  receive(): number {
    const count = this.#socket.capture.receive();
    return count < 0 ? 0 : count;
  }

  send(segments: SegmentQueue, from: number, to: number, now: number): number {
    const { sender } = this.#socket;
    const errors = sender.errorCount;
    const next = this.#socket.send(segments, from, to, now);
    for (let i = errors; i < sender.errorCount; i++) this.#options.drops.add(DropReason.sendError);
    return next;
  }

  awaitRoom(isAwaited: boolean): void {
    const fd = isAwaited ? this.#socket.sender.blockedFd : -1;
    if (fd === this.#awaitedFd) return;
    const { loop, onRoom } = this.#options;
    if (this.#awaitedFd >= 0) loop.remove(this.#awaitedFd);
    this.#awaitedFd = fd;
    if (fd >= 0) loop.add(fd, onRoom, EPOLLOUT);
  }
}
