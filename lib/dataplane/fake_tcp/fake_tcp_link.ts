/**
 * Owns the fake-TCP carrier of the data plane: its core (lib/carrier), its sockets, and how both are joined to the send queue,
 * the pipeline and the device.
 */
import type { Arena } from "../../../ffi/arena.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { HEADERS_SIZE } from "../../core/transport/fake_tcp/constants.ts";
import type { CarrierEvent } from "../../core/transport/fake_tcp/events.ts";
import { FakeTcp } from "../../core/transport/fake_tcp/fake_tcp.ts";
import { SegmentQueue } from "../../core/transport/fake_tcp/segment_queue.ts";
import { type Session, SessionState } from "../../core/transport/fake_tcp/session.ts";
import {
  FLAG_DATA_VALID,
  FLAG_NEEDS_CHECKSUM,
  FLAGS_OFFSET,
  GSO_SIZE_OFFSET,
  VNET_HEADER_SIZE,
} from "../../core/offload/virtio_net_header.ts";
import type { Pipeline } from "../../core/engine/pipeline.ts";
import type { Device } from "../../core/wireguard/device.ts";
import { Carrier, type Endpoint } from "../../core/transport/endpoint.ts";
import type { Peer } from "../../core/wireguard/peer.ts";
import type { SendQueue } from "../../core/transport/send_queue.ts";
import { type DropCounters, DropReason } from "../../core/wire/drop_reason.ts";
import { ecnOf } from "../../core/wire/ecn.ts";
import { TYPE_OF_SERVICE_OFFSET } from "../../core/wire/ipv4.ts";
import { TRANSPORT_OVERHEAD } from "../../core/wire/messages.ts";
import type { CarrierEndpoints } from "../../core/transport/fake_tcp/endpoints.ts";
import { pathMtuTo, sourceTo, widestMtu } from "./carrier_path.ts";
import { FakeTcpSocket } from "./fake_tcp_socket.ts";
import { randomBytes } from "node:crypto";

/** Places for the carrier's own segments besides those of a full send queue. */
const OWN_SEGMENTS = 64;
/** The kernel, or the interface, has checked the checksum; or it never left this host, and is not complete. */
const FLAGS_CHECKSUM_IS_RIGHT = FLAG_NEEDS_CHECKSUM | FLAG_DATA_VALID;
/** ms for which a connection in use no more still takes what is on its way. */
const RETIRE_TIME = 1_000;
/** ms that a connection which has just opened has to bring the tunnel back, before another is tried. */
const TRIAL_TIME = 1_000;

export interface FakeTcpLinkOptions {
  readonly device: Device;
  readonly pipeline: Pipeline;
  readonly sendQueue: SendQueue;
  readonly drops: DropCounters;
  /** What to capture, see `CarrierGuard`. Without a remote, connections are accepted; with one, they are made to it. */
  readonly endpoints: CarrierEndpoints;
  readonly mark: number;
  readonly offload: boolean;
  /** Name of the tunnel's own interface. */
  readonly tunnel: string;
  /** Inner MTU in bytes. */
  readonly mtu: number;
  readonly bufferSize: number;
}

export class FakeTcpLink implements Disposable {
  readonly socket: FakeTcpSocket;
  readonly #carrier: FakeTcp;
  readonly #queue: SegmentQueue;
  readonly #device: Device;
  readonly #pipeline: Pipeline;
  readonly #sendQueue: SendQueue;
  readonly #drops: DropCounters;
  readonly #view: DataView;
  readonly #netlink: Rtnetlink;
  readonly #mark: number;
  readonly #listenPort: number | null;
  readonly #ports: CarrierEndpoints["ports"];
  #remote: CarrierEndpoints["remote"];
  /** A client's connection; null while it needs none. */
  #session: Session | null = null;
  /** Whether the client's last connection broke. */
  #wasLost = false;
  /** When the client's connection is to be ended, ms. */
  #retireAt = Infinity;
  /** Of the send queue, how many datagrams the segment queue has taken without having sent them all. */
  #taken = 0;

  /** Bytes of arena that a link takes. */
  static arenaSize(mtu: number, sendSlots: number): number {
    return FakeTcpSocket.arenaSize + (sendSlots + OWN_SEGMENTS) * segmentSlotSize(mtu) + 64;
  }

  /**
   * Opens the sockets in the network namespace that the thread is in now.
   *
   * @throws {SystemCallError} EPERM without CAP_NET_RAW
   */
  constructor(libc: Libc, arena: Arena, options: FakeTcpLinkOptions) {
    const { endpoints, mark, mtu, sendQueue, drops } = options;
    this.#device = options.device;
    this.#pipeline = options.pipeline;
    this.#sendQueue = sendQueue;
    this.#drops = drops;
    this.#mark = mark;
    this.#view = arena.view;
    this.#ports = endpoints.ports;
    this.#remote = endpoints.remote;
    this.#listenPort = endpoints.remote === null ? endpoints.ports.first : null;
    const slots = sendQueue.capacity + OWN_SEGMENTS;
    const slotSize = segmentSlotSize(mtu);
    this.#queue = new SegmentQueue({ offset: arena.allocate(slots * slotSize), slots, slotSize });
    using opened = new DisposableStack();
    this.#netlink = opened.use(Rtnetlink.open(libc));
    this.socket = opened.use(new FakeTcpSocket(libc, arena, options));
    this.#carrier = new FakeTcp({
      memory: arena,
      queue: this.#queue,
      drops,
      mtu: endpoints.remote === null
        ? widestMtu(this.#netlink)
        : pathMtuTo(this.#netlink, endpoints.remote.address, { mark }),
      random: () => randomBytes(4).readUInt32LE(),
      secret: new Uint8Array(randomBytes(16)),
      listenPort: this.#listenPort,
      clientPorts: endpoints.remote === null ? null : endpoints.ports,
      authenticates: true,
    });
    opened.move();
  }

  /** Count of connections, those that are being opened included. */
  get connections(): number {
    return this.#carrier.sessions.size;
  }

  /** Bytes of the longest packet inside that the connection to a peer takes; null where there is none. */
  innerMtu({ address, port, source }: Endpoint): number | null {
    const session = this.#sessionTo(address | 0, port, source | 0);
    return session === null ? null : session.maxPayload - TRANSPORT_OVERHEAD;
  }

  // A client's connection.

  /** Opens a connection to the server, which may have moved. One that is there already stays. */
  connect(remote: NonNullable<CarrierEndpoints["remote"]>, now: number): void {
    this.#retireAt = Infinity;
    const isSame = this.#remote?.address === remote.address && this.#remote.port === remote.port;
    if (isSame && this.#session !== null && this.#session.state !== SessionState.closed) return;
    this.#retire();
    this.#remote = remote;
    this.socket.setEndpoints({ ports: this.#ports, remote });
    this.#open(now);
  }

  /**
   * The tunnel was lost: opens a connection from another port. The last one looks as open as ever where a firewall has forgotten
   * it, or a forger has broken it.
   */
  connectAgain(remote: NonNullable<CarrierEndpoints["remote"]>, now: number): void {
    const session = this.#session;
    if (
      session?.state === SessionState.established && now - session.establishedAt >= TRIAL_TIME
    ) this.#retire();
    this.connect(remote, now);
  }

  /** Ends the connection, which is in use no more; not before what is on its way has arrived. */
  disconnect(now: number): void {
    this.#retireAt = now + RETIRE_TIME;
  }

  #retire(): void {
    this.#retireAt = Infinity;
    if (this.#session !== null) this.#carrier.close(this.#session);
    this.#session = null;
  }

  #open(now: number): void {
    this.#session = null;
    const remote = this.#remote;
    const localAddress = this.#localAddress();
    if (remote === null || localAddress === null) return;
    this.#session = this.#carrier.connect(
      { localAddress, remoteAddress: remote.address | 0, remotePort: remote.port },
      now,
    );
  }

  /** Our address on the way to the server, int32; null without a way, or a server. */
  #localAddress(): number | null {
    if (this.#remote === null) return null;
    return sourceTo(this.#netlink, this.#remote.address, { mark: this.#mark });
  }

  /** Takes note that interfaces, addresses or routes have changed: a connection from an address that has gone is over. */
  networkChanged(now: number): void {
    this.socket.networkChanged();
    if (this.#listenPort !== null || this.#retireAt !== Infinity) return;
    const localAddress = this.#localAddress();
    // Between two addresses there may be none: the next notification brings the new one.
    if (localAddress === null || localAddress === this.#session?.localAddress) return;
    if (this.#session === null && !this.#wasLost) return;
    this.#retire();
    this.#wasLost = true;
    this.#open(now);
  }

  // To the network.

  /**
   * Sends datagrams `from` (inclusive) to `to` (exclusive) of the send queue.
   *
   * @returns whether they have left; if not, call `flush()` when `socket.sender.blockedFd` is writable
   */
  send(from: number, to: number, now: number): boolean {
    const { offsets, lengths, addresses, ports, sources, ecns } = this.#sendQueue;
    for (let i = Math.max(from, this.#taken); i < to; i++) {
      const session = this.#sessionTo(addresses[i] | 0, ports[i], sources[i] | 0);
      if (session === null) this.#drops.add(DropReason.carrierNoSession, lengths[i]);
      else if (this.#carrier.send(session, offsets[i], lengths[i], now)) {
        // Into the header that stands before the datagram now; of one that waits, which was copied, it says nothing.
        this.#view.setUint8(offsets[i] - HEADERS_SIZE + TYPE_OF_SERVICE_OFFSET, ecns[i]);
      }
    }
    const left = this.flush(now);
    this.#taken = left ? 0 : to;
    return left;
  }

  /** Sends what the carrier has; false while a socket is full. */
  flush(now: number): boolean {
    const queue = this.#queue;
    if (queue.length === 0) return true;
    const { sender } = this.socket;
    const errors = sender.errorCount;
    queue.sentUpTo(this.socket.send(queue, queue.head, queue.tail, now));
    for (let i = errors; i < sender.errorCount; i++) this.#drops.add(DropReason.sendError);
    return queue.length === 0;
  }

  /** The connection by which a peer is reached; a client has only one. Addresses as int32. */
  #sessionTo(address: number, port: number, source: number): Session | null {
    if (this.#listenPort === null) return this.#session;
    return this.#carrier.find(address, port, source, this.#listenPort);
  }

  // From the network.

  /** Takes what was captured, up to a batch; returns how many packets, each to be handed on by `handle()`. */
  receive(): number {
    return Math.max(0, this.socket.capture.receive());
  }

  /** Whether the last `receive()` has brought all there was. */
  isDrained(count: number): boolean {
    return count < this.socket.capture.receivedOffsets.length;
  }

  /** Hands packet `index` of the last `receive()` to the carrier, and its datagrams to the pipeline. */
  handle(index: number, now: number): void {
    const { receivedOffsets, receivedLengths } = this.socket.capture;
    const header = receivedOffsets[index];
    if (receivedLengths[index] < 0) {
      this.#drops.add(DropReason.truncatedDatagram);
      return;
    }
    const carrier = this.#carrier;
    const length = carrier.receive(
      header + VNET_HEADER_SIZE,
      receivedLengths[index] - VNET_HEADER_SIZE,
      this.#view.getUint16(header + GSO_SIZE_OFFSET, true),
      (this.#view.getUint8(header + FLAGS_OFFSET) & FLAGS_CHECKSUM_IS_RIGHT) !== 0,
      now,
    );
    if (length === 0) return;
    const session = carrier.receivedFrom!;
    this.#pipeline.outerEcn = ecnOf(this.#view, header + VNET_HEADER_SIZE);
    const peerIndex = this.#pipeline.handleDatagrams(
      carrier.receivedOffset,
      length,
      carrier.receivedSegmentSize,
      session.remoteAddress,
      session.remotePort,
      this.#listenPort === null ? 0 : session.localAddress,
      now,
      Carrier.fakeTcp,
    );
    const peer = this.#device.peerAt(peerIndex);
    if (peer !== null) carrier.authenticated(session, peer, now);
  }

  // Time.

  /** When `poll()` has something to do, monotonic ms. */
  pollAt(): number {
    return Math.min(this.#carrier.pollAt(), this.socket.sender.pollAt(), this.#retireAt);
  }

  /** Does what is due, and what has happened leads to; the mover's `flushSocket()` is to follow. */
  poll(now: number): void {
    this.#carrier.poll(now);
    this.socket.sender.poll(now);
    if (now >= this.#retireAt) this.#retire();
    const { events } = this.#carrier;
    for (const event of events) this.#react(event, now);
    events.length = 0;
  }

  #react({ kind, session }: CarrierEvent, now: number): void {
    switch (kind) {
      case "keepalive":
        for (const peer of this.#device.peers) {
          if (this.#isReachedBy(peer, session)) this.#device.sendKeepalive(peer, now);
        }
        break;
      case "established":
        // The server has to learn of the new port, and may have been started anew.
        if (this.#wasLost) this.#device.renew(now);
        this.#wasLost = false;
        break;
      case "lost":
        if (session !== this.#session) break;
        this.#wasLost = true;
        this.#open(now);
        break;
    }
  }

  #isReachedBy({ endpoint }: Peer, session: Session): boolean {
    return endpoint.carrier === Carrier.fakeTcp &&
      this.#sessionTo(endpoint.address | 0, endpoint.port, endpoint.source | 0) === session;
  }

  /** Ends all connections, as this end closes. */
  close(now: number): void {
    this.#carrier.closeAll();
    this.flush(now);
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
    this.#netlink[Symbol.dispose]();
  }
}

/** Bytes of a segment that holds the longest message. */
function segmentSlotSize(mtu: number): number {
  return SegmentQueue.slotSize(HEADERS_SIZE + TRANSPORT_OVERHEAD + mtu);
}
