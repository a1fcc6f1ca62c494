/** Fake-TCP link: the data plane's end of fake TCP: which connections there are, and the sockets that carry them. */
import type { Arena } from "../../../ffi/arena.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { HEADERS6_SIZE } from "../../core/transport/fake_tcp/constants.ts";
import type { FakeTcpEvent } from "../../core/transport/fake_tcp/events.ts";
import { FakeTcp } from "../../core/transport/fake_tcp/fake_tcp.ts";
import { addressPair, localAddressOf } from "../../core/transport/fake_tcp/four_tuple.ts";
import { SegmentQueue } from "../../core/transport/fake_tcp/segment_queue.ts";
import { type Session, SessionState } from "../../core/transport/fake_tcp/session.ts";
import { FakeTcpPort } from "../../core/engine/fake_tcp_port.ts";
import { FakeTcpWorkers, type FakeTcpWorkersOptions } from "../../core/engine/fake_tcp_workers.ts";
import type { Device } from "../../core/wireguard/device.ts";
import type { PeerEndpoint } from "../../core/transport/peer_endpoint.ts";
import type { Peer } from "../../core/wireguard/peer.ts";
import type { DropCounters } from "../../core/wire/drop_reason.ts";
import type { HostAddress } from "../../core/wire/host_address.ts";
import { TRANSPORT_OVERHEAD } from "../../core/wire/messages.ts";
import type { FakeTcpEndpoints } from "../../core/transport/fake_tcp/endpoints.ts";
import { Transport } from "../../core/transport/transport.ts";
import type { EventLoop, ReadyHandler } from "../event_loop.ts";
import { pathMtuTo, sourceTo, widestMtu } from "./fake_tcp_path.ts";
import { FakeTcpSocket } from "./fake_tcp_socket.ts";
import { SegmentSocketPort } from "./segment_socket_port.ts";
import { randomBytes } from "node:crypto";

/** Places for fake TCP's own segments besides those of a full send queue. */
const OWN_SEGMENTS = 64;
/** ms for which a connection in use no more still takes what is on its way. */
const RETIRE_TIME = 1_000;
/** ms that a connection which has just opened has to bring the tunnel back, before another is tried. */
const TRIAL_TIME = 1_000;

export interface FakeTcpLinkOptions {
  readonly device: Device;
  readonly loop: EventLoop;
  /** Called when a full socket has room again. */
  readonly onRoom: ReadyHandler;
  /** Slots of the send queue. */
  readonly sendSlots: number;
  readonly drops: DropCounters;
  /** What to capture, see `FakeTcpGuard`. Without a remote, connections are accepted; with one, they are made to it. */
  readonly endpoints: FakeTcpEndpoints;
  readonly mark: number;
  readonly offload: boolean;
  /** Name of the tunnel's own interface. */
  readonly tunnel: string;
  /** Inner MTU in bytes. */
  readonly mtu: number;
  readonly bufferSize: number;
  /** See `FakeTcpSocketOptions`. */
  readonly onLeftOut: (count: number) => void;
  /** To the threads that have the packets; null where this one has them. */
  readonly workers: Pick<FakeTcpWorkersOptions, "toWorkers" | "fromWorkers" | "peerOf"> | null;
}

export class FakeTcpLink implements Disposable {
  readonly socket: FakeTcpSocket;
  readonly port: FakeTcpPort;
  /** Null where this thread has the packets. */
  readonly workers: FakeTcpWorkers | null;
  readonly #connections: FakeTcp;
  readonly #device: Device;
  readonly #netlink: Rtnetlink;
  readonly #mark: number;
  readonly #listenPort: number | null;
  readonly #ports: FakeTcpEndpoints["ports"];
  #remote: FakeTcpEndpoints["remote"];
  /** Whether the client's last connection broke. */
  #wasLost = false;
  /** When the client's connection is to be ended, ms. */
  #retireAt = Infinity;

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
    const { endpoints, mark, mtu, drops } = options;
    this.#device = options.device;
    this.#mark = mark;
    this.#ports = endpoints.ports;
    this.#remote = endpoints.remote;
    this.#listenPort = endpoints.remote === null ? endpoints.ports.first : null;
    const slots = options.sendSlots + OWN_SEGMENTS;
    const slotSize = segmentSlotSize(mtu);
    const queue = new SegmentQueue({ offset: arena.allocate(slots * slotSize), slots, slotSize });
    using opened = new DisposableStack();
    this.#netlink = opened.use(Rtnetlink.open(libc));
    this.socket = opened.use(new FakeTcpSocket(libc, arena, options));
    this.#connections = new FakeTcp({
      memory: arena,
      queue,
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
    const { device, workers } = options;
    this.workers = workers && new FakeTcpWorkers({
      ...workers,
      memory: arena,
      paths: device.paths,
      connections: this.#connections,
      drops,
      hasSession: (index) => device.hasSession(index),
      maxDatagram: mtu + TRANSPORT_OVERHEAD,
    });
    this.port = new FakeTcpPort({
      memory: arena,
      paths: device.paths,
      connections: this.#connections,
      queue,
      segments: new SegmentSocketPort(this.socket, options),
      listenPort: this.#listenPort,
      drops,
      workers: this.workers,
    });
    opened.move();
  }

  /** Bytes of the longest packet inside that the connection to a peer takes; null where there is none. */
  innerMtu({ path }: PeerEndpoint): number | null {
    const session = this.port.sessionTo(path);
    return session === null ? null : session.maxPayload - TRANSPORT_OVERHEAD;
  }

  // A client's connection.

  /** Opens a connection to the server, which may have moved. One that is there already stays. */
  connect(remote: NonNullable<FakeTcpEndpoints["remote"]>, now: number): void {
    this.#retireAt = Infinity;
    const isSame = this.#remote?.address === remote.address && this.#remote.port === remote.port;
    if (isSame && this.port.session !== null && this.port.session.state !== SessionState.closed) {
      return;
    }
    this.#retire();
    this.#remote = remote;
    this.socket.setEndpoints({ ports: this.#ports, remote });
    this.#open(now);
  }

  /**
   * The tunnel was lost: opens a connection from another port. The last one looks as open as ever where a firewall has
   * forgotten it, or a forger has broken it.
   */
  connectAgain(remote: NonNullable<FakeTcpEndpoints["remote"]>, now: number): void {
    const session = this.port.session;
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
    if (this.port.session !== null) this.#connections.close(this.port.session);
    this.port.session = null;
  }

  #open(now: number): void {
    this.port.session = null;
    const remote = this.#remote;
    const localAddress = this.#localAddress();
    if (remote === null || localAddress === null) return;
    this.#connections.mtu = pathMtuTo(this.#netlink, remote.address, { mark: this.#mark });
    this.port.session = this.#connections.connect(
      { addresses: addressPair(remote.address, localAddress), remotePort: remote.port },
      now,
    );
  }

  /** Our address on the way to the server; null without a way, or a server. */
  #localAddress(): HostAddress | null {
    if (this.#remote === null) return null;
    return sourceTo(this.#netlink, this.#remote.address, { mark: this.#mark });
  }

  /**
   * Takes note that interfaces, addresses or routes have changed: a connection from an address that has gone is over.
   */
  networkChanged(now: number): void {
    this.socket.networkChanged();
    if (this.#listenPort !== null || this.#retireAt !== Infinity) return;
    const localAddress = this.#localAddress();
    // Between two addresses there may be none: the next notification brings the new one.
    if (localAddress === null) return;
    const { session } = this.port;
    if (session === null ? !this.#wasLost : localAddressOf(session) === localAddress) return;
    this.#retire();
    this.#wasLost = true;
    this.#open(now);
  }

  // Time.

  /** When `poll()` has something to do, monotonic ms. */
  pollAt(): number {
    return Math.min(this.#connections.pollAt(), this.socket.sender.pollAt(), this.#retireAt);
  }

  /** Does what is due, and what has happened leads to; the engine's `flush()` is to follow. */
  poll(now: number): void {
    this.#connections.poll(now);
    this.socket.sender.poll(now);
    if (now >= this.#retireAt) this.#retire();
    const { events } = this.#connections;
    for (const event of events) this.#react(event, now);
    events.length = 0;
  }

  #react({ kind, session }: FakeTcpEvent, now: number): void {
    switch (kind) {
      case "keepalive":
        for (const peer of this.#device.peers) {
          if (this.#isReachedBy(peer, session)) this.#device.sendKeepalive(peer, now);
        }
        break;
      case "established":
        // The server has to learn of the new port, and may have been restarted.
        if (this.#wasLost) this.#device.renew(now);
        this.#wasLost = false;
        break;
      case "lost":
        if (session !== this.port.session) break;
        this.#wasLost = true;
        this.#open(now);
        break;
    }
  }

  #isReachedBy({ endpoint }: Peer, session: Session): boolean {
    return endpoint.transport === Transport.fakeTcp &&
      this.port.sessionTo(endpoint.path) === session;
  }

  /** Ends all connections, as this end closes. */
  close(now: number): void {
    this.#connections.closeAll();
    this.port.flush(now);
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
    this.#netlink[Symbol.dispose]();
  }
}

/** Bytes of a segment that holds the longest message. */
function segmentSlotSize(mtu: number): number {
  return SegmentQueue.slotSize(HEADERS6_SIZE + TRANSPORT_OVERHEAD + mtu);
}
