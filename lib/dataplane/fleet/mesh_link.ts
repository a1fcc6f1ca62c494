/**
 * Mesh link: what the gateways of a fleet tell each other, by WireGuard on a port of its own. Each has a key of its own
 * for that; a preshared key, which only those have who have the fleet's private key, keeps all others out, also those
 * who can write to the store. Messages may be lost.
 *
 * What strangers send to the port, and what clients have carried, waits in sockets of its own, of which each is read
 * little by little (mesh_sockets.ts). Or a flood of a few thousand datagrams a second would leave no room for what
 * tells that a gateway is there.
 */
import type { Arena } from "../../../ffi/arena.ts";
import { EPOLLIN, EPOLLOUT } from "../../../ffi/epoll.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { RECEIVE_BUFFER_SIZE } from "../../../ffi/sockets/udp_buffers.ts";
import type { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import type { HandedPacket } from "../../core/engine/from_gateway.ts";
import type { AeadProvider } from "../../core/noise/aead.ts";
import type { KeyPair, X25519Provider } from "../../core/noise/key_pair.ts";
import { laneOfClient, laneOfParty, LANES, sizeInLane } from "../../core/fleet/mesh/lanes.ts";
import {
  FRAME_SIZE,
  meshBodySize,
  MeshKind,
  meshKind,
  writeFrame,
} from "../../core/fleet/mesh/mesh_messages.ts";
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
import { MeshSockets } from "./mesh_sockets.ts";

/** Bytes of the longest message of our own: with all headers, it fits Ethernet. */
const MAX_MESSAGE = 1_400;
/** Bytes of the longest datagram of a client, as Ethernet brings it: with what is put around it, it is fragmented. */
const MAX_DATAGRAM = 1_472;
const BATCH = 4;
/** Batches that are taken in one turn of the loop: of gateways' own messages, of each other lane, of strangers'. */
const ROUNDS = 16;
const LANE_ROUNDS = 8;
const OTHER_ROUNDS = 16;
const SLOTS = 256;
/** Of those, what clients' datagrams and packets leave to messages of our own: these tell that a gateway is there. */
const OWN_SLOTS = 64;
/** And what one lane of them takes, at most. */
const LANE_SLOTS = 48;
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
  /** Bytes of the longest packet that gateways hand each other. */
  readonly mtu: number;
  /** Takes a packet for a client, or an answer of one, which is overwritten after the call. */
  readonly onPacket: (gateway: Peer, packet: HandedPacket, now: number) => void;
}

export class MeshLink implements Disposable {
  /** Bytes of arena that it takes, with packets of up to `mtu` bytes. */
  static arenaSize(mtu: number): number {
    return (2 * BATCH + 2) * RECEIVE_BUFFER_SIZE + (SLOTS + 1) * slotSizeOf(mtu) + 64 * 1024;
  }

  readonly #options: MeshLinkOptions;
  readonly #arena: Arena;
  readonly #resources: DisposableStack;
  readonly #sockets: MeshSockets;
  /** Of gateways' own messages, and what everything is sent by. */
  readonly #port: UdpPort;
  /** Of what belongs to no session; null where the kernel cannot tell it apart. */
  readonly #others: UdpPort | null;
  readonly #queue: SendQueue;
  /** Slots that each lane has taken since the queue was empty. */
  readonly #taken = new Uint8Array(LANES);
  readonly #device: Device;
  readonly #scratch: number;
  readonly #handed: HandedPacket = { offset: 0, length: 0, isAnswer: false };

  /** @throws {SystemCallError} when the port is taken */
  constructor(libc: Libc, arena: Arena, options: MeshLinkOptions) {
    const { loop, port, mark, identity, x25519, aead } = options;
    this.#options = options;
    this.#arena = arena;
    const slotSize = slotSizeOf(options.mtu);
    using opened = new DisposableStack();
    const sockets = this.#sockets = opened.use(
      new MeshSockets(libc, arena, { port, mark, batch: BATCH }),
    );
    const queue = this.#queue = new SendQueue({
      offset: arena.allocate(SLOTS * slotSize),
      slots: SLOTS,
      slotSize,
    });
    this.#scratch = arena.allocate(slotSize);
    const drops = new DropCounters();
    this.#device = new Device({
      memory: arena,
      sendQueue: queue,
      identity,
      x25519,
      aead,
      drops,
      mtu: longestMessage(options.mtu),
      random: (length) => crypto.getRandomValues(new Uint8Array(length)),
      wallClock: Date.now,
    });
    const portOf = (of: UdpSocket) =>
      new UdpPort(of, {
        memory: arena,
        paths: queue.paths,
        drops,
        keepsSource: false,
        onSourceRefused: () => {},
        onRoomAwaited: (isAwaited) => loop.modify(of.fd, isAwaited ? EPOLLIN | EPOLLOUT : EPOLLIN),
      });
    const own = this.#port = portOf(sockets.own);
    this.#watch(loop, opened, sockets.own, (now) => this.#receive(own, ROUNDS, now));
    for (const socket of sockets.lanes) {
      const port = portOf(socket);
      this.#watch(loop, opened, socket, (now) => this.#receiveLane(port, now));
    }
    const others = this.#others = sockets.others && portOf(sockets.others);
    if (sockets.others !== null) {
      this.#watch(loop, opened, sockets.others, (now) => this.#receive(others!, OTHER_ROUNDS, now));
    }
    this.#steer();
    this.#resources = opened.move();
  }

  #watch(
    loop: EventLoop,
    opened: DisposableStack,
    { fd }: UdpSocket,
    receive: (now: number) => void,
  ): void {
    loop.add(fd, (_, now) => receive(now));
    opened.defer(() => loop.remove(fd));
  }

  #steer(): void {
    const indices: number[] = [];
    for (const { current, previous, next } of this.#device.peers) {
      if (current !== null) indices.push(current.localIndex);
      if (previous !== null) indices.push(previous.localIndex);
      if (next !== null) indices.push(next.localIndex);
    }
    this.#sockets.steer(indices);
  }

  get port(): number {
    return this.#sockets.own.port;
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
    this.#device.initiate(peer, now, HANDSHAKE_INTERVAL);
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
    const lane = laneOfParty(paths.partyKey(path));
    return this.#sendClients(gateway, MISDIRECTED_HEADER_SIZE + length, lane, now);
  }

  /**
   * Hands over a packet for a client, or an answer of one, in a datagram that the kernel takes apart where it is longer
   * than the way.
   *
   * @param client index of the peer that it counts for
   * @returns false where there is no session with the gateway, or no room
   */
  handPacket(
    gateway: Peer,
    { offset, length, isAnswer }: HandedPacket,
    client: number,
    now: number,
  ): boolean {
    const { current } = gateway;
    if (length > this.#options.mtu || current === null || !current.canSend(now)) return false;
    const { bytes, view } = this.#arena;
    const at = this.#scratch;
    writeFrame(view, at, isAnswer ? MeshKind.answer : MeshKind.packet, length);
    bytes.copyWithin(at + FRAME_SIZE, offset, offset + length);
    return this.#sendClients(gateway, FRAME_SIZE + length, laneOfClient(client), now);
  }

  /** Sends what is in the scratch; false where others have what room there is. */
  #sendClients(gateway: Peer, length: number, lane: number, now: number): boolean {
    if (!this.#hasRoom(lane)) this.flush();
    if (!this.#hasRoom(lane)) return false;
    this.#taken[lane]! += 1;
    this.#device.send(gateway, this.#scratch, length, now, sizeInLane(length, lane));
    return true;
  }

  #hasRoom(lane: number): boolean {
    return this.#queue.free > OWN_SLOTS && this.#taken[lane]! < LANE_SLOTS;
  }

  /** Messages of our own come first: behind many of a lane, which have later counters, they would seem replayed. */
  #receiveLane(port: UdpPort, now: number): void {
    this.#receive(this.#port, ROUNDS, now);
    this.#receive(port, LANE_ROUNDS, now);
  }

  #receive(port: UdpPort, rounds: number, now: number): void {
    for (let round = 0; round < rounds; round++) {
      const count = port.receive();
      for (let i = 0; i < count; i++) this.#receiveMessage(port, i, now);
      if (count < port.batch) break;
    }
    // Handshakes make sessions: before an answer leaves that lets the other end use one.
    if (port === this.#others) this.#steer();
    this.flush();
  }

  #receiveMessage(port: UdpPort, index: number, now: number): void {
    const { messages } = port;
    port.take(index);
    const length = messages.lengths[index];
    const path = messages.pathIds[index];
    if (length <= 0 || path === NO_PATH) return;
    const offset = messages.offsets[index];
    const result = this.#device.receive(offset, length, path, now);
    if (result > 0) this.#take(receivedPeer(result), receivedOffset(offset), result, now);
  }

  #take(peerIndex: number, at: number, result: number, now: number): void {
    const { bytes, view } = this.#arena;
    const length = receivedLength(result);
    const kind = meshKind(view, at, length);
    if (kind === MeshKind.datagram) return this.#options.onDatagram(at, now);
    const peer = this.#device.peerAt(peerIndex);
    if (kind === 0 || peer === null) return;
    if (kind === MeshKind.packet || kind === MeshKind.answer) {
      const handed = this.#handed;
      handed.offset = at + FRAME_SIZE;
      handed.length = meshBodySize(view, at);
      handed.isAnswer = kind === MeshKind.answer;
      return this.#options.onPacket(peer, handed, now);
    }
    this.#options.onMessage(peer.publicKey, bytes.subarray(at, at + length), now);
  }

  /** When `poll()` has something to do, monotonic ms. */
  pollAt(): number {
    return this.#device.pollAt();
  }

  poll(now: number): void {
    const isDue = now >= this.#device.pollAt();
    this.#device.poll(now);
    this.#device.events.length = 0;
    if (isDue) this.#steer();
    this.flush();
  }

  /** Sends what waits; what the kernel has no room for waits on. */
  flush(): void {
    const queue = this.#queue;
    if (queue.length > 0) {
      queue.sentUpTo(this.#port.send(queue, queue.head, queue.tail));
      this.#port.awaitRoom(queue.length > 0);
    }
    if (queue.length === 0) this.#taken.fill(0);
  }

  /** Datagrams that the kernel has dropped before they were received. */
  receiveDrops(): number {
    return this.#sockets.drops();
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}

/** Bytes of the longest message, with packets of up to `mtu` bytes. */
function longestMessage(mtu: number): number {
  return Math.max(MISDIRECTED_HEADER_SIZE + MAX_DATAGRAM, FRAME_SIZE + mtu);
}

function slotSizeOf(mtu: number): number {
  return SendQueue.slotSize(longestMessage(mtu) + TRANSPORT_OVERHEAD + 16);
}

/** Whether a gateway is where it is configured to be. */
function isAt({ configuredEndpoint }: Peer, { address, port }: SocketAddress): boolean {
  return configuredEndpoint?.address === address && configuredEndpoint.port === port;
}
