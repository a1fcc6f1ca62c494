/**
 * Owns the moving of packets between the kernel and the core: what is ready is read, handed to the core, and what the core
 * left in its queues is handed to the kernel before buffers are used again.
 *
 * Each turn does a bounded amount of work for each descriptor, so that none starves another. When the socket is full,
 * neither the TUN nor the capture is read until it has room: the kernel's queue on the TUN then fills and slows the
 * senders down, which is what a queue is for.
 */
import type { Arena } from "../../ffi/arena.ts";
import { type Epoll, EPOLLIN, EPOLLOUT } from "../../ffi/epoll.ts";
import { EAGAIN, EBADFD, EINTR, SystemCallError } from "../../ffi/errno.ts";
import type { Tun } from "../../ffi/tun.ts";
import type { UdpSocket } from "../../ffi/sockets/udp_socket.ts";
import { VNET_HEADER_SIZE } from "../core/offload/virtio_net_header.ts";
import type { Pipeline } from "../core/engine/pipeline.ts";
import type { Device } from "../core/wireguard/device.ts";
import { Carrier } from "../core/transport/endpoint.ts";
import type { Peer } from "../core/wireguard/peer.ts";
import type { SendQueue } from "../core/transport/send_queue.ts";
import { type DropCounters, DropReason } from "../core/wire/drop_reason.ts";
import type { PacketQueue } from "../core/wire/packet_queue.ts";
import { DeviceGone } from "../process/device_gone.ts";
import type { Egress } from "./egress/egress.ts";
import type { FakeTcpLink } from "./fake_tcp/fake_tcp_link.ts";
import { TunWriter } from "./tun_writer.ts";

/** The most datagrams that the kernel merges into one, and that UDP_SEGMENT takes. */
export const MAX_MERGED = 64;
/** Calls of `recvmmsg` in one turn of the loop. */
const RECEIVE_ROUNDS = 4;
/** Diffie-Hellmans after which a turn ends, so that packets under way are not kept waiting by a storm of handshakes. */
const HANDSHAKES = 8;
/** Packets read from the TUN in one turn of the loop. */
const TUN_READS = 64;
/** A super-packet of 64 KiB, its virtio-net header, and room for padding behind it. */
const TUN_BUFFER_SIZE = VNET_HEADER_SIZE + 65536 + 64;
/** The virtio-net header has ten bytes: this far into the buffer, the packet behind it is aligned. */
const TUN_BUFFER_START = 6;

export interface PacketMoverOptions {
  readonly arena: Arena;
  readonly epoll: Epoll;
  readonly socket: UdpSocket;
  readonly egress: Egress | null;
  readonly device: Device;
  readonly pipeline: Pipeline;
  readonly sendQueue: SendQueue;
  readonly hostQueue: PacketQueue;
  readonly drops: DropCounters;
  /** Whether packets may be merged on their way into the TUN. */
  readonly offload: boolean;
  /** Whether to answer from the address that a peer wrote to. */
  readonly keepSource: boolean;
}

export class PacketMover {
  readonly #epoll: Epoll;
  readonly #socket: UdpSocket;
  readonly #egress: Egress | null;
  readonly #device: Device;
  readonly #pipeline: Pipeline;
  readonly #sendQueue: SendQueue;
  readonly #hostQueue: PacketQueue;
  readonly #drops: DropCounters;
  readonly #keepSource: boolean;
  readonly #tunWriter: TunWriter;
  readonly #tunBuffer: number;
  #tun: Tun | null = null;
  #link: FakeTcpLink | null = null;
  #blocked = false;
  /** The socket whose room is waited for; -1 for none. */
  #blockedFd = -1;

  /** Bytes of arena that a mover takes. */
  static readonly arenaSize: number = TUN_BUFFER_START + TUN_BUFFER_SIZE + 1024;

  constructor(options: PacketMoverOptions) {
    this.#epoll = options.epoll;
    this.#socket = options.socket;
    this.#egress = options.egress;
    this.#device = options.device;
    this.#pipeline = options.pipeline;
    this.#sendQueue = options.sendQueue;
    this.#hostQueue = options.hostQueue;
    this.#drops = options.drops;
    this.#keepSource = options.keepSource;
    this.#tunWriter = new TunWriter(options.arena, {
      queue: options.hostQueue,
      drops: options.drops,
      offload: options.offload,
    });
    this.#tunBuffer = options.arena.allocate(TUN_BUFFER_START + TUN_BUFFER_SIZE) +
      TUN_BUFFER_START;
    this.#epoll.add(this.#socket.fd, EPOLLIN);
    if (this.#egress !== null) this.#epoll.add(this.#egress.capture.fd, EPOLLIN);
  }

  /** Begins to serve a TUN. */
  attach(tun: Tun): void {
    this.#tun = tun;
    this.#epoll.add(tun.fd, this.#blocked ? 0 : EPOLLIN);
  }

  /** Begins to serve fake TCP. */
  attachLink(link: FakeTcpLink): void {
    this.#link = link;
    this.#epoll.add(link.socket.capture.fd, EPOLLIN);
    this.#epoll.add(link.socket.sender.fd, EPOLLIN);
  }

  // From the socket to the TUN, or to another peer.

  /** Serves the socket by the EPOLL bits that it is ready for. */
  serveSocket(readiness: number, now: number): void {
    if (this.#blocked && (readiness & EPOLLOUT) !== 0) this.resume(now);
    if ((readiness & ~EPOLLOUT) === 0) return;
    const socket = this.#socket;
    const { admittedHandshakes } = this.#device;
    for (let round = 0; round < RECEIVE_ROUNDS; round++) {
      const count = socket.receive();
      if (count <= 0) return;
      for (let i = 0; i < count; i++) {
        this.#pipeline.outerEcn = socket.receivedEcns[i];
        this.#pipeline.handleDatagrams(
          socket.receivedOffsets[i],
          socket.receivedLengths[i],
          socket.receivedSegmentSizes[i],
          socket.receivedAddresses[i],
          socket.receivedPorts[i],
          // A gateway answers from the address that was written to; a client goes where its routes lead by now.
          this.#keepSource ? socket.receivedSources[i] : 0,
          now,
        );
        if (this.#sendQueue.free < MAX_MERGED) this.flushSocket(now);
        this.#flushEgress(now);
      }
      // A server may send before a connecting client has its TUN; the buffers are needed again all the same.
      if (this.#tun === null) this.#hostQueue.clear();
      else this.#tunWriter.flush(this.#tun);
      if (count < socket.receivedOffsets.length) return;
      if (((this.#device.admittedHandshakes - admittedHandshakes) | 0) >= HANDSHAKES) return;
    }
  }

  /** Takes what was captured of fake TCP. */
  readLink(now: number): void {
    const link = this.#link;
    if (link === null) return;
    for (let round = 0; round < RECEIVE_ROUNDS; round++) {
      const count = link.receive();
      for (let i = 0; i < count; i++) {
        link.handle(i, now);
        if (this.#sendQueue.free < MAX_MERGED) this.flushSocket(now);
        this.#flushEgress(now);
      }
      if (this.#tun === null) this.#hostQueue.clear();
      else this.#tunWriter.flush(this.#tun);
      if (link.isDrained(count)) break;
    }
    this.flushSocket(now);
  }

  // From outside to the socket.

  /** Takes what was captured outside. */
  readCapture(now: number): void {
    const egress = this.#egress;
    if (egress === null) return;
    const { capture } = egress;
    this.#sendSplit(now);
    for (let round = 0; round < RECEIVE_ROUNDS && !this.#blocked; round++) {
      const count = capture.receive();
      for (let i = 0; i < count; i++) {
        const length = capture.receivedLengths[i];
        if (this.#pipeline.hasSplit) {
          // The socket is full, and a super-packet waits already: the others of this batch are what a full queue drops.
          this.#drops.add(DropReason.sendQueueFull, length);
          continue;
        }
        this.#pipeline.handleCaptured(capture.receivedOffsets[i], length, now);
        this.#sendSplit(now);
        if (this.#sendQueue.free < MAX_MERGED) this.flushSocket(now);
      }
      this.#flushEgress(now);
      if (count < capture.receivedOffsets.length) break;
    }
    this.flushSocket(now);
  }

  /** Sends what the NAT has for outside, and what that comes to for clients. */
  #flushEgress(now: number): void {
    if (this.#egress === null) return;
    this.#egress.flush(now);
    this.#pipeline.sendRefusals(now);
  }

  // From the TUN to the socket.

  /** Takes what the host sent into the TUN. */
  readTun(now: number): void {
    const tun = this.#tun;
    if (tun === null) return;
    this.#sendSplit(now);
    for (let reads = 0; reads < TUN_READS && !this.#blocked; reads++) {
      const length = tun.read(this.#tunBuffer, TUN_BUFFER_SIZE);
      if (length < 0) {
        if (length === -EAGAIN || length === -EINTR) break;
        // The device was removed under us. There is no tunnel without it.
        if (length === -EBADFD) throw new DeviceGone(tun.name);
        throw new SystemCallError(`read from TUN device "${tun.name}"`, -length);
      }
      this.#pipeline.handleHostRead(this.#tunBuffer, length, now);
      if (this.#hostQueue.length > 0) this.#tunWriter.flush(tun);
      this.#sendSplit(now);
      if (this.#sendQueue.free < MAX_MERGED) this.flushSocket(now);
    }
    this.flushSocket(now);
  }

  /** Sends what is left of a super-packet that had more packets than the send queue had room for. */
  #sendSplit(now: number): void {
    while (this.#pipeline.hasSplit && !this.#blocked) {
      this.flushSocket(now);
      this.#pipeline.sendSplit(now);
    }
  }

  /** Sends a probe of the path to `peer`: alone, for DF is set for the whole socket. */
  sendProbe(peer: Peer, length: number, now: number): void {
    this.flushSocket(now);
    // With the socket full, there is nothing that a path could be asked.
    const queue = this.#sendQueue;
    if (this.#blocked || !this.#device.sendProbe(peer, length, now)) return;
    if (peer.endpoint.carrier === Carrier.udp) {
      this.#socket.probe(queue, queue.head);
      queue.sentUpTo(queue.head + 1);
    }
    // The probe may have led to a handshake.
    this.flushSocket(now);
  }

  /** Goes on after a socket was full. */
  resume(now: number): void {
    this.flushSocket(now);
    this.#sendSplit(now);
  }

  /** Sends what the core has for peers: neighbours in the queue that travel alike, together. */
  flushSocket(now: number): void {
    const queue = this.#sendQueue;
    const link = this.#link;
    let blockedFd = link === null || link.flush(now) ? -1 : link.socket.sender.blockedFd;
    while (queue.length > 0 && blockedFd < 0) {
      const end = queue.runEnd();
      blockedFd = queue.carriers[queue.head] === Carrier.udp
        ? this.#sendDatagrams(end)
        : this.#sendSegments(end, now);
    }
    if (blockedFd !== this.#blockedFd) this.#waitForRoom(blockedFd);
  }

  /** Sends datagrams up to `end` of the send queue. Returns the socket if it is full, else -1. */
  #sendDatagrams(end: number): number {
    const queue = this.#sendQueue;
    const socket = this.#socket;
    const errors = socket.sendErrors;
    const next = socket.send(queue, queue.head, end);
    queue.sentUpTo(next);
    for (let i = errors; i < socket.sendErrors; i++) this.#drops.add(DropReason.sendError);
    if (socket.refusedSource !== 0) {
      this.#device.forgetSource(socket.refusedSource);
      socket.refusedSource = 0;
    }
    return next < end ? socket.fd : -1;
  }

  /** The same by fake TCP. */
  #sendSegments(end: number, now: number): number {
    const queue = this.#sendQueue;
    const link = this.#link;
    if (link === null) {
      for (let i = queue.head; i < end; i++) {
        this.#drops.add(DropReason.carrierNoSession, queue.lengths[i]);
      }
    } else if (!link.send(queue.head, end, now)) return link.socket.sender.blockedFd;
    queue.sentUpTo(end);
    return -1;
  }

  /** Waits until this socket has room again, or, at -1, no more. */
  #waitForRoom(fd: number): void {
    const last = this.#blockedFd;
    this.#blockedFd = fd;
    if (last === this.#socket.fd) this.#epoll.modify(last, EPOLLIN);
    else if (last >= 0) this.#epoll.remove(last);
    if (fd === this.#socket.fd) this.#epoll.modify(fd, EPOLLIN | EPOLLOUT);
    else if (fd >= 0) this.#epoll.add(fd, EPOLLOUT);
    const blocked = fd >= 0;
    if (blocked === this.#blocked) return;
    this.#blocked = blocked;
    const interest = blocked ? 0 : EPOLLIN;
    if (this.#tun !== null) this.#epoll.modify(this.#tun.fd, interest);
    if (this.#egress !== null) this.#epoll.modify(this.#egress.capture.fd, interest);
  }
}
