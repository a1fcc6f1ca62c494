/** UDP port: the socket of UDP as the engine's loop sees it. */
import { EPOLLIN, EPOLLOUT } from "../../../ffi/epoll.ts";
import type { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import type { DatagramPort, ReceivedMessages } from "../../core/engine/ports.ts";
import { Carrier } from "../../core/transport/endpoint.ts";
import type { SendQueue } from "../../core/transport/send_queue.ts";
import { type DropCounters, DropReason } from "../../core/wire/drop_reason.ts";
import type { EventLoop } from "../event_loop.ts";

export interface UdpPortOptions {
  /** Watches the socket already, for reading. */
  readonly loop: EventLoop;
  readonly drops: DropCounters;
  /** Whether answers leave from the address that was written to, as a gateway's do; a client goes where its routes lead by now. */
  readonly keepsSource: boolean;
  /** Takes a source address, host order, that the kernel refuses: the host no longer has it. */
  readonly onSourceRefused: (source: number) => void;
}

export class UdpPort implements DatagramPort {
  readonly carrier: Carrier = Carrier.udp;
  readonly batch: number;
  readonly messages: ReceivedMessages;
  readonly #socket: UdpSocket;
  readonly #options: UdpPortOptions;
  #isRoomAwaited = false;

  constructor(socket: UdpSocket, options: UdpPortOptions) {
    this.#socket = socket;
    this.#options = options;
    this.batch = socket.receivedOffsets.length;
    this.messages = {
      offsets: socket.receivedOffsets,
      lengths: socket.receivedLengths,
      segmentSizes: socket.receivedSegmentSizes,
      addresses: socket.receivedAddresses,
      ports: socket.receivedPorts,
      sources: options.keepsSource ? socket.receivedSources : new Int32Array(this.batch),
      ecns: socket.receivedEcns,
    };
  }

  receive(): number {
    const count = this.#socket.receive();
    return count < 0 ? 0 : count;
  }

  take(): boolean {
    return true;
  }

  authenticated(): void {}

  send(queue: SendQueue, from: number, to: number): number {
    const socket = this.#socket;
    const { drops } = this.#options;
    const errors = socket.sendErrors;
    const next = socket.send(queue, from, to);
    for (let i = errors; i < socket.sendErrors; i++) drops.add(DropReason.sendError);
    if (socket.refusedSource !== 0) {
      this.#options.onSourceRefused(socket.refusedSource);
      socket.refusedSource = 0;
    }
    return next;
  }

  probe(queue: SendQueue, index: number): boolean {
    this.#socket.probe(queue, index);
    return true;
  }

  flush(): boolean {
    return true;
  }

  awaitRoom(isAwaited: boolean): void {
    if (isAwaited === this.#isRoomAwaited) return;
    this.#isRoomAwaited = isAwaited;
    this.#options.loop.modify(this.#socket.fd, isAwaited ? EPOLLIN | EPOLLOUT : EPOLLIN);
  }
}
