/**
 * Mesh link: what the gateways of a fleet tell each other, by WireGuard on a port of its own. Each has a key of its own
 * for that; a preshared key, which only those have who have the fleet's private key, keeps all others out, also those
 * who can write to the store. Messages may be lost.
 */
import type { Arena } from "../../../ffi/arena.ts";
import { EPOLLIN, EPOLLOUT } from "../../../ffi/epoll.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { RECEIVE_BUFFER_SIZE, UdpBuffers } from "../../../ffi/sockets/udp_buffers.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import type { AeadProvider } from "../../core/noise/aead.ts";
import type { KeyPair, X25519Provider } from "../../core/noise/key_pair.ts";
import { MeshKind, meshKind } from "../../core/fleet/mesh/mesh_messages.ts";
import { MISDIRECTED_HEADER_SIZE, writeMisdirected } from "../../core/fleet/mesh/misdirected.ts";
import { NO_PATH, type Paths } from "../../core/transport/paths.ts";
import { SendQueue } from "../../core/transport/send_queue.ts";
import { Transport } from "../../core/transport/transport.ts";
import { DropCounters } from "../../core/wire/drop_reason.ts";
import { TRANSPORT_OVERHEAD } from "../../core/wire/messages.ts";
import type { SocketAddress } from "../../core/wire/socket_address.ts";
import { Device } from "../../core/wireguard/device.ts";
import type { Peer } from "../../core/wireguard/peer.ts";
import { receivedLength, receivedOffset, receivedPeer } from "../../core/wireguard/received.ts";
import type { EventLoop } from "../event_loop.ts";
import { UdpPort } from "../ports/udp_port.ts";

/** Bytes of the longest message of our own: with all headers, it fits Ethernet. */
const MAX_MESSAGE = 1_400;
/** Bytes of the longest datagram of a client, as Ethernet brings it: with what is put around it, it is fragmented. */
const MAX_DATAGRAM = 1_472;
const MTU = MISDIRECTED_HEADER_SIZE + MAX_DATAGRAM;
const BATCH = 4;
const SLOTS = 256;
const SLOT_SIZE = SendQueue.slotSize(MTU + TRANSPORT_OVERHEAD + 16);
const BUFFER_SIZE = 1024 * 1024;
/** ms between initiations to a gateway that does not answer: one that starts is reached at once. */
const HANDSHAKE_INTERVAL = 1_000;

/** Another gateway. */
export interface MeshGateway {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly endpoint: SocketAddress;
}

export interface MeshLinkOptions {
  readonly loop: EventLoop;
  /** 0 takes a free one. */
  readonly port: number;
  readonly mark: number;
  readonly identity: KeyPair;
  /** 32 bytes. */
  readonly presharedKey: Uint8Array;
  readonly x25519: X25519Provider;
  readonly aead: AeadProvider;
  /** Takes a message of the gateway with this public key, with padding behind it; it is overwritten after the call. */
  readonly onMessage: (publicKey: Uint8Array, message: Uint8Array, now: number) => void;
  /** Takes a message with a client's datagram (core/fleet/mesh/misdirected.ts), which is overwritten after the call. */
  readonly onDatagram: (offset: number, now: number) => void;
}

export class MeshLink implements Disposable {
  /** Bytes of arena that it takes. */
  static readonly arenaSize: number = (BATCH + 1) * RECEIVE_BUFFER_SIZE + (SLOTS + 1) * SLOT_SIZE +
    64 * 1024;

  readonly #options: MeshLinkOptions;
  readonly #arena: Arena;
  readonly #socket: UdpSocket;
  readonly #port: UdpPort;
  readonly #queue: SendQueue;
  readonly #device: Device;
  readonly #scratch: number;

  /** @throws {SystemCallError} when the port is taken */
  constructor(libc: Libc, arena: Arena, options: MeshLinkOptions) {
    const { loop, port, mark, identity, x25519, aead } = options;
    this.#options = options;
    this.#arena = arena;
    using opened = new DisposableStack();
    this.#socket = opened.use(UdpSocket.bind(libc, arena, {
      port,
      bothFamilies: true,
      mark,
      offload: false,
      bufferSize: BUFFER_SIZE,
      batch: BATCH,
      buffers: new UdpBuffers(arena, BATCH),
    }));
    const queue = this.#queue = new SendQueue({
      offset: arena.allocate(SLOTS * SLOT_SIZE),
      slots: SLOTS,
      slotSize: SLOT_SIZE,
    });
    this.#scratch = arena.allocate(SLOT_SIZE);
    const drops = new DropCounters();
    this.#device = new Device({
      memory: arena,
      sendQueue: queue,
      identity,
      x25519,
      aead,
      drops,
      mtu: MTU,
      random: (length) => crypto.getRandomValues(new Uint8Array(length)),
      wallClock: Date.now,
    });
    this.#port = new UdpPort(this.#socket, {
      memory: arena,
      paths: queue.paths,
      drops,
      keepsSource: false,
      onSourceRefused: () => {},
      onRoomAwaited: (isAwaited) =>
        loop.modify(this.#socket.fd, isAwaited ? EPOLLIN | EPOLLOUT : EPOLLIN),
    });
    loop.add(this.#socket.fd, (_, now) => this.#receive(now));
    opened.move();
  }

  get port(): number {
    return this.#socket.port;
  }

  /** These are the other gateways from now on. */
  setGateways(gateways: readonly MeshGateway[], now: number): void {
    const device = this.#device;
    for (const peer of [...device.peers]) {
      const isKnown = gateways.some(({ publicKey }) => device.peer(publicKey) === peer);
      if (!isKnown) device.removePeer(peer);
    }
    for (const { publicKey, endpoint } of gateways) {
      const known = device.peer(publicKey);
      if (known === undefined) this.#add(publicKey, endpoint, now);
      else if (!isAt(known, endpoint)) known.configureEndpoint(endpoint);
    }
  }

  #add(publicKey: Uint8Array, endpoint: SocketAddress, now: number): void {
    const { presharedKey } = this.#options;
    const peer = this.#device.addPeer({ publicKey, presharedKey, allowedIps: [], endpoint }, now);
    peer.timers.handshakeInterval = HANDSHAKE_INTERVAL;
    this.#device.initiate(peer, now);
  }

  /**
   * Sends a message. Without a session it is lost, and one is asked for: what is told again and again needs no copies
   * that wait.
   */
  send(publicKey: Uint8Array, message: Uint8Array, now: number): void {
    const device = this.#device;
    const peer = device.peer(publicKey);
    if (peer === undefined || message.length > MAX_MESSAGE) return;
    if (peer.current === null || !peer.current.canSend(now)) {
      device.initiate(peer, now);
      return;
    }
    const { bytes } = this.#arena;
    const at = this.#scratch;
    bytes.set(message, at);
    if (this.#queue.free === 0) this.flush();
    device.send(peer, at, message.length, now);
  }

  /** The gateway with this public key, for `handOver()`; it is another one after `setGateways()`. */
  gateway(publicKey: Uint8Array): Peer | null {
    return this.#device.peer(publicKey) ?? null;
  }

  /**
   * Hands over a client's datagram that came by a path of `paths`.
   *
   * @returns false where there is no session with the gateway, and of one that is too long, or no datagram of UDP
   */
  handOver(
    gateway: Peer,
    offset: number,
    length: number,
    paths: Paths,
    path: number,
    now: number,
  ): boolean {
    const { current } = gateway;
    if (length > MAX_DATAGRAM || paths.transport(path) !== Transport.udp) return false;
    if (current === null || !current.canSend(now)) return false;
    const { bytes, view } = this.#arena;
    const at = this.#scratch;
    writeMisdirected(view, at, paths, path, length);
    bytes.copyWithin(at + MISDIRECTED_HEADER_SIZE, offset, offset + length);
    if (this.#queue.free === 0) this.flush();
    this.#device.send(gateway, at, MISDIRECTED_HEADER_SIZE + length, now);
    return true;
  }

  #receive(now: number): void {
    const { messages } = this.#port;
    const count = this.#port.receive();
    for (let i = 0; i < count; i++) {
      this.#port.take(i);
      const length = messages.lengths[i];
      const path = messages.pathIds[i];
      if (length <= 0 || path === NO_PATH) continue;
      const offset = messages.offsets[i];
      const result = this.#device.receive(offset, length, path, now);
      if (result > 0) this.#take(receivedPeer(result), receivedOffset(offset), result, now);
    }
    this.flush();
  }

  #take(peerIndex: number, at: number, result: number, now: number): void {
    const { bytes, view } = this.#arena;
    const length = receivedLength(result);
    const kind = meshKind(view, at, length);
    if (kind === MeshKind.datagram) return this.#options.onDatagram(at, now);
    const peer = this.#device.peerAt(peerIndex);
    if (kind === 0 || peer === null) return;
    this.#options.onMessage(peer.publicKey, bytes.subarray(at, at + length), now);
  }

  /** When `poll()` has something to do, monotonic ms. */
  pollAt(): number {
    return this.#device.pollAt();
  }

  poll(now: number): void {
    this.#device.poll(now);
    this.#device.events.length = 0;
    this.flush();
  }

  /** Sends what waits. What the kernel has no room for is lost. */
  flush(): void {
    const queue = this.#queue;
    if (queue.length === 0) return;
    this.#port.send(queue, queue.head, queue.tail);
    queue.sentUpTo(queue.tail);
    this.#port.flush();
  }

  [Symbol.dispose](): void {
    this.#options.loop.remove(this.#socket.fd);
    this.#socket[Symbol.dispose]();
  }
}

/** Whether a gateway is where it is configured to be. */
function isAt({ configuredEndpoint }: Peer, { address, port }: SocketAddress): boolean {
  return configuredEndpoint?.address === address && configuredEndpoint.port === port;
}
