/** Owns the fake-TCP end of a relay: the carrier's core, its sockets, and the queue between them. */
import type { Arena } from "../../../ffi/arena.ts";
import type { Libc } from "../../../ffi/libc.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { HEADERS_SIZE } from "../../carrier/constants.ts";
import { FakeTcp } from "../../carrier/fake_tcp.ts";
import { SegmentQueue } from "../../carrier/segment_queue.ts";
import type { Session } from "../../carrier/session.ts";
import {
  FLAG_DATA_VALID,
  FLAG_NEEDS_CHECKSUM,
  FLAGS_OFFSET,
  GSO_SIZE_OFFSET,
  VNET_HEADER_SIZE,
} from "../../offload/virtio_net_header.ts";
import { type DropCounters, DropReason } from "../../wire/drop_reason.ts";
import type { CarrierEndpoints } from "../carrier_filter.ts";
import { sourceTo } from "../carrier_path.ts";
import { FakeTcpSocket } from "../fake_tcp_socket.ts";
import { randomBytes } from "node:crypto";

/** Places in the queue: what a few full receives of UDP bring. */
const SLOTS = 512;
/** Those of them that datagrams leave to segments of the carrier's own. */
const OWN_SEGMENTS = 64;
/** The kernel, or the interface, has checked the checksum; or it never left this host, and is not complete. */
const FLAGS_CHECKSUM_IS_RIGHT = FLAG_NEEDS_CHECKSUM | FLAG_DATA_VALID;

export interface RelayLinkOptions {
  /** For looking up routes; it stays the caller's. */
  readonly netlink: Rtnetlink;
  /** Without a remote, connections are accepted; with one, they are made to it. */
  readonly endpoints: CarrierEndpoints;
  readonly drops: DropCounters;
  readonly offload: boolean;
  /** Of the path, in bytes. */
  readonly mtu: number;
  /** Wanted size of each socket's buffer in bytes. */
  readonly bufferSize: number;
}

export class RelayLink implements Disposable {
  readonly socket: FakeTcpSocket;
  readonly carrier: FakeTcp;
  /** The socket whose room is waited for before more is sent; -1 for none. */
  blockedFd = -1;
  readonly #arena: Arena;
  readonly #queue: SegmentQueue;
  readonly #drops: DropCounters;
  readonly #netlink: Rtnetlink;
  readonly #remote: CarrierEndpoints["remote"];
  readonly #maxPayload: number;
  /** Our address on the way to the remote, int32; null without a way. */
  #localAddress: number | null;

  /** Bytes of arena that a link takes. */
  static arenaSize(mtu: number): number {
    return FakeTcpSocket.arenaSize + SLOTS * SegmentQueue.slotSize(mtu) + 64;
  }

  /**
   * Opens the sockets in the network namespace that the thread is in now.
   *
   * @throws {SystemCallError} EPERM without CAP_NET_RAW
   */
  constructor(libc: Libc, arena: Arena, options: RelayLinkOptions) {
    const { netlink, endpoints, drops, mtu } = options;
    this.#arena = arena;
    this.#drops = drops;
    this.#netlink = netlink;
    this.#remote = endpoints.remote;
    this.#maxPayload = mtu - HEADERS_SIZE;
    this.#localAddress = this.#findLocalAddress();
    const slotSize = SegmentQueue.slotSize(mtu);
    this.#queue = new SegmentQueue({
      offset: arena.allocate(SLOTS * slotSize),
      slots: SLOTS,
      slotSize,
    });
    this.carrier = new FakeTcp({
      memory: arena,
      queue: this.#queue,
      drops,
      mtu,
      random: () => randomBytes(4).readUInt32LE(),
      secret: new Uint8Array(randomBytes(16)),
      listenPort: endpoints.remote === null ? endpoints.ports.first : null,
      clientPorts: endpoints.remote === null ? null : endpoints.ports,
    });
    this.socket = new FakeTcpSocket(libc, arena, { ...options, mark: 0, tunnel: "" });
  }

  /** Whether connections are accepted here. */
  get accepts(): boolean {
    return this.#remote === null;
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
    this.#arena.bytes.copyWithin(at, from, from + length);
    this.carrier.send(session, at, length, now);
  }

  /** Hands what waits to the kernel; false, with `blockedFd` set, while a socket is full. */
  flush(now: number): boolean {
    const queue = this.#queue;
    const { sender } = this.socket;
    if (queue.length > 0) {
      const errors = sender.errorCount;
      queue.sentUpTo(this.socket.send(queue, queue.head, queue.tail, now));
      for (let i = errors; i < sender.errorCount; i++) this.#drops.add(DropReason.sendError);
    }
    const isEmpty = queue.length === 0;
    this.blockedFd = isEmpty ? -1 : sender.blockedFd;
    return isEmpty;
  }

  /** Takes what was captured, up to a batch; returns how many packets, each to be handed on by `handle()`. */
  receive(): number {
    return Math.max(0, this.socket.capture.receive());
  }

  /** Whether the last `receive()` has brought all there was. */
  isDrained(count: number): boolean {
    return count < this.socket.capture.receivedOffsets.length;
  }

  /** Hands packet `index` of the last `receive()` to the carrier; returns what `FakeTcp.receive()` does. */
  handle(index: number, now: number): number {
    const { receivedOffsets, receivedLengths } = this.socket.capture;
    if (receivedLengths[index] < 0) {
      this.#drops.add(DropReason.truncatedDatagram);
      return 0;
    }
    const header = receivedOffsets[index];
    const { view } = this.#arena;
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
    return Math.min(this.carrier.pollAt(), this.socket.sender.pollAt());
  }

  poll(now: number): void {
    this.carrier.poll(now);
    this.socket.sender.poll(now);
  }

  /** Takes note that interfaces, addresses or routes have changed. */
  networkChanged(): void {
    this.socket.networkChanged();
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

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
  }

  #findLocalAddress(): number | null {
    return this.#remote === null
      ? null
      : sourceTo(this.#netlink, this.#remote.address, { mark: 0 });
  }
}
