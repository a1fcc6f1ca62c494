/** Owns the fake-TCP end of a relay: the carrier's core, and the queue between it and the sockets. */
import type { PacketSocket } from "../../../ffi/sockets/packet_socket.ts";
import { HEADERS_SIZE } from "../../core/transport/fake_tcp/constants.ts";
import { FakeTcp } from "../../core/transport/fake_tcp/fake_tcp.ts";
import { SegmentQueue } from "../../core/transport/fake_tcp/segment_queue.ts";
import type { Session } from "../../core/transport/fake_tcp/session.ts";
import {
  FLAG_DATA_VALID,
  FLAG_NEEDS_CHECKSUM,
  FLAGS_OFFSET,
  GSO_SIZE_OFFSET,
  VNET_HEADER_SIZE,
} from "../../core/offload/virtio_net_header.ts";
import { type DropCounters, DropReason } from "../../core/wire/drop_reason.ts";
import type { Memory } from "../../core/wire/memory.ts";
import type { CarrierEndpoints } from "../../core/transport/fake_tcp/endpoints.ts";
import type { FakeTcpSocket } from "../fake_tcp/fake_tcp_socket.ts";
import type { SegmentSender } from "../egress/segment_sender.ts";
import { randomBytes } from "node:crypto";

/** Places in the queue: what a few full receives of UDP bring. */
const SLOTS = 512;
/** Those of them that datagrams leave to segments of the carrier's own. */
const OWN_SEGMENTS = 64;
/** The kernel, or the interface, has checked the checksum; or it never left this host, and is not complete. */
const FLAGS_CHECKSUM_IS_RIGHT = FLAG_NEEDS_CHECKSUM | FLAG_DATA_VALID;

/** The sockets, as far as they are used here. */
export interface SegmentSockets extends Pick<FakeTcpSocket, "send" | "networkChanged"> {
  readonly capture: Pick<PacketSocket, "receive" | "receivedOffsets" | "receivedLengths">;
  readonly sender: Pick<SegmentSender, "errorCount" | "blockedFd" | "poll" | "pollAt">;
}

export interface RelayLinkOptions {
  /** They stay the caller's. */
  readonly sockets: SegmentSockets;
  /** Offset of `RelayLink.queueSize()` bytes of the memory. */
  readonly queueOffset: number;
  /** Without a remote, connections are accepted; with one, they are made to it. */
  readonly endpoints: CarrierEndpoints;
  /** Looks up our address on the way to the remote, int32; null without a way. */
  readonly findLocalAddress: () => number | null;
  readonly drops: DropCounters;
  /** Of the path, in bytes. */
  readonly mtu: number;
}

export class RelayLink {
  readonly carrier: FakeTcp;
  /** The socket whose room is waited for before more is sent; -1 for none. */
  blockedFd = -1;
  readonly #memory: Memory;
  readonly #sockets: SegmentSockets;
  readonly #queue: SegmentQueue;
  readonly #drops: DropCounters;
  readonly #remote: CarrierEndpoints["remote"];
  readonly #maxPayload: number;
  readonly #findLocalAddress: () => number | null;
  #localAddress: number | null;

  /** Bytes of memory for the segments that wait. */
  static queueSize(mtu: number): number {
    return SLOTS * SegmentQueue.slotSize(mtu);
  }

  constructor(memory: Memory, options: RelayLinkOptions) {
    const { endpoints, drops, mtu } = options;
    this.#memory = memory;
    this.#sockets = options.sockets;
    this.#drops = drops;
    this.#remote = endpoints.remote;
    this.#maxPayload = mtu - HEADERS_SIZE;
    this.#findLocalAddress = options.findLocalAddress;
    this.#localAddress = options.findLocalAddress();
    this.#queue = new SegmentQueue({
      offset: options.queueOffset,
      slots: SLOTS,
      slotSize: SegmentQueue.slotSize(mtu),
    });
    this.carrier = new FakeTcp({
      memory,
      queue: this.#queue,
      drops,
      mtu,
      random: () => randomBytes(4).readUInt32LE(),
      secret: new Uint8Array(randomBytes(16)),
      listenPort: endpoints.remote === null ? endpoints.ports.first : null,
      clientPorts: endpoints.remote === null ? null : endpoints.ports,
      authenticates: false,
    });
  }

  /** Opens a connection to the remote; null where there is no way, or no port left. */
  connect(now: number): Session | null {
    const remote = this.#remote;
    const localAddress = this.#localAddress;
    if (remote === null || localAddress === null) return null;
    return this.carrier.connect(
      { localAddress, remoteAddress: remote.address | 0, remotePort: remote.port },
      now,
    );
  }

  /** Sends a copy of a datagram, at least 1 byte long. */
  send(session: Session, from: number, length: number, now: number): void {
    if (length > this.#maxPayload) {
      this.#drops.add(DropReason.tooBig, length);
      return;
    }
    const queue = this.#queue;
    if (queue.free <= OWN_SEGMENTS && !this.flush(now)) {
      this.#drops.add(DropReason.sendQueueFull, length);
      return;
    }
    const at = queue.reserve() + HEADERS_SIZE;
    this.#memory.bytes.copyWithin(at, from, from + length);
    this.carrier.send(session, at, length, now);
  }

  /** Hands what waits to the kernel; false, with `blockedFd` set, while a socket is full. */
  flush(now: number): boolean {
    const queue = this.#queue;
    const { sender } = this.#sockets;
    if (queue.length > 0) {
      const errors = sender.errorCount;
      queue.sentUpTo(this.#sockets.send(queue, queue.head, queue.tail, now));
      for (let i = errors; i < sender.errorCount; i++) this.#drops.add(DropReason.sendError);
    }
    const isEmpty = queue.length === 0;
    this.blockedFd = isEmpty ? -1 : sender.blockedFd;
    return isEmpty;
  }

  /** Takes what was captured, up to a batch; returns how many packets, each to be handed on by `handle()`. */
  receive(): number {
    return Math.max(0, this.#sockets.capture.receive());
  }

  /** Whether the last `receive()` has brought all there was. */
  isDrained(count: number): boolean {
    return count < this.#sockets.capture.receivedOffsets.length;
  }

  /** Hands packet `index` of the last `receive()` to the carrier; returns what `FakeTcp.receive()` does. */
  handle(index: number, now: number): number {
    const { receivedOffsets, receivedLengths } = this.#sockets.capture;
    if (receivedLengths[index] < 0) {
      this.#drops.add(DropReason.truncatedDatagram);
      return 0;
    }
    const header = receivedOffsets[index];
    const { view } = this.#memory;
    return this.carrier.receive(
      header + VNET_HEADER_SIZE,
      receivedLengths[index] - VNET_HEADER_SIZE,
      view.getUint16(header + GSO_SIZE_OFFSET, true),
      (view.getUint8(header + FLAGS_OFFSET) & FLAGS_CHECKSUM_IS_RIGHT) !== 0,
      now,
    );
  }

  /** When `poll()` has something to do, monotonic ms. */
  pollAt(): number {
    return Math.min(this.carrier.pollAt(), this.#sockets.sender.pollAt());
  }

  poll(now: number): void {
    this.carrier.poll(now);
    this.#sockets.sender.poll(now);
  }

  /** Takes note that interfaces, addresses or routes have changed. */
  networkChanged(): void {
    this.#sockets.networkChanged();
    this.#localAddress = this.#findLocalAddress();
  }

  /** Whether a connection is from an address by which the remote is reached no more. */
  isStranded(session: Session): boolean {
    return this.#localAddress !== null && session.isClient &&
      session.localAddress !== this.#localAddress;
  }

  /** Ends all connections, as this end closes. */
  close(now: number): void {
    this.carrier.closeAll();
    this.flush(now);
  }
}
