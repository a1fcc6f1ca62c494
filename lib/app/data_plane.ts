/**
 * Owns the data plane's loop: one thread that sleeps in `epoll_wait` and moves packets between the TUN, the core and the socket.
 *
 * It never awaits. Each turn does a bounded amount of work for each descriptor, so that none starves another; what the
 * core left in its queues is handed to the kernel before buffers are used again. When the socket is full, the TUN is not
 * read until it has room: the kernel's queue on the TUN then fills and slows the senders down, which is what a queue is for.
 */
import { Arena } from "../../ffi/arena.ts";
import { BootClock } from "../../ffi/clock.ts";
import { Epoll, EPOLLIN, EPOLLOUT } from "../../ffi/epoll.ts";
import { EAGAIN, EINTR, errnoName, SystemCallError } from "../../ffi/errno.ts";
import { RouteMonitor } from "../../ffi/netlink/monitor.ts";
import { type Libc, openLibc } from "../../ffi/libc.ts";
import { openLibcrypto } from "../../ffi/libcrypto.ts";
import { Tun, TUN_F_CSUM, TUN_F_TSO4, TUN_F_USO4, TUN_F_USO6 } from "../../ffi/tun.ts";
import { RECEIVE_BUFFER_SIZE, UdpSocket } from "../../ffi/udp_socket.ts";
import { MAX_MESSAGE_SIZE, receiveMessage } from "../../ffi/wake_channel.ts";
import { DropLog } from "../drop_log.ts";
import type { AeadProvider } from "../noise/aead.ts";
import { createBuiltinAead } from "../noise/aead_builtin.ts";
import { keyPair } from "../noise/x25519.ts";
import { SPLITTER_SCRATCH_SIZE } from "../offload/splitter.ts";
import { VNET_HEADER_SIZE } from "../offload/virtio_net_header.ts";
import { Pipeline } from "../pipeline.ts";
import { Router } from "../router.ts";
import { REKEY_TIMEOUT } from "../tunnel/constants.ts";
import { Device } from "../tunnel/device.ts";
import { PacketQueue } from "../wire/packet_queue.ts";
import { SendQueue } from "../tunnel/send_queue.ts";
import { DROP_REASON_NAMES, DropCounters, DropReason } from "../wire/drop_reason.ts";
import { TRANSPORT_OVERHEAD } from "../wire/messages.ts";
import type { Command, DataPlaneConfig, Report, Statistics } from "./data_plane_protocol.ts";
import { Egress } from "./egress.ts";
import { TunWriter } from "./tun_writer.ts";
import { randomBytes } from "node:crypto";

/** Messages that one receive or send call handles; each may hold 64 datagrams. */
const BATCH = 16;
/** The most datagrams that the kernel merges into one, and that UDP_SEGMENT takes. */
const MAX_MERGED = 64;
/** Slots of the send queue. One TUN read makes at most 64 datagrams, so a quarter is kept free for it. */
const SEND_SLOTS = 4 * MAX_MERGED;
/** Calls of `recvmmsg` in one turn of the loop. */
const RECEIVE_ROUNDS = 4;
/** Packets read from the TUN in one turn of the loop. */
const TUN_READS = 64;
/** A super-packet of 64 KiB, its virtio-net header, and room for padding behind it. */
const TUN_BUFFER_SIZE = VNET_HEADER_SIZE + 65536 + 64;
/** The virtio-net header has ten bytes: this far into the buffer, the packet behind it is aligned. */
const TUN_BUFFER_START = 6;
/** Wanted socket buffers: some 20 ms at 3 Gbit/s. */
const SOCKET_BUFFER_SIZE = 8 * 1024 * 1024;
/** Bytes for message headers, vectors and control blocks; what is left over costs nothing until it is touched. */
const CONTROL_SPACE = 256 * 1024;

/** How the loop reports; the Worker passes it to the main thread. */
export type Reporter = (report: Report) => void;

export class DataPlane {
  readonly #libc: Libc;
  readonly #arena: Arena;
  readonly #clock: BootClock;
  readonly #epoll: Epoll;
  readonly #socket: UdpSocket;
  readonly #device: Device;
  readonly #pipeline: Pipeline;
  readonly #sendQueue: SendQueue;
  readonly #hostQueue: PacketQueue;
  readonly #drops = new DropCounters();
  readonly #dropLog = new DropLog(this.#drops);
  readonly #config: DataPlaneConfig;
  readonly #report: Reporter;
  readonly #tunBuffer: number;
  readonly #tunWriter: TunWriter;
  readonly #commandBuffer = new Uint8Array(MAX_MESSAGE_SIZE);
  readonly #egress: Egress | null;
  readonly #monitor: RouteMonitor;
  #tun: Tun | null = null;
  #stopping = false;
  #blocked = false;
  #segmentationTold: boolean;
  #fragmentationTold = false;

  /**
   * Opens the socket; the TUN follows by command.
   *
   * @throws {SystemCallError} when the port is taken or a privilege is missing
   */
  constructor(config: DataPlaneConfig, report: Reporter) {
    this.#config = config;
    this.#report = report;
    this.#libc = openLibc();
    this.#monitor = RouteMonitor.open(this.#libc);
    const slotSize = SendQueue.slotSize(config.mtu + TRANSPORT_OVERHEAD);
    const egress = typeof config.egress === "object" ? config.egress : null;
    const arena = new Arena(
      BATCH * RECEIVE_BUFFER_SIZE + SEND_SLOTS * slotSize + TUN_BUFFER_SIZE + CONTROL_SPACE +
        (egress === null ? 0 : Egress.arenaSize(egress)),
    );
    this.#arena = arena;
    this.#clock = new BootClock(this.#libc, arena);
    this.#epoll = new Epoll(this.#libc, arena);
    this.#tunBuffer = arena.allocate(TUN_BUFFER_START + TUN_BUFFER_SIZE) + TUN_BUFFER_START;
    this.#sendQueue = new SendQueue({
      offset: arena.allocate(SEND_SLOTS * slotSize),
      slots: SEND_SLOTS,
      slotSize,
    });
    this.#hostQueue = new PacketQueue(BATCH * MAX_MERGED);
    this.#tunWriter = new TunWriter(arena, {
      queue: this.#hostQueue,
      drops: this.#drops,
      offload: config.offload,
    });

    const aead = this.#openAead();
    this.#socket = UdpSocket.bind(this.#libc, arena, {
      port: config.listenPort,
      mark: config.mark,
      offload: config.offload,
      bufferSize: SOCKET_BUFFER_SIZE,
      batch: BATCH,
    });
    this.#segmentationTold = this.#socket.segmentation;
    this.#device = new Device({
      memory: arena,
      sendQueue: this.#sendQueue,
      identity: keyPair(config.privateKey),
      aead,
      drops: this.#drops,
      mtu: config.mtu,
      random: (length) => new Uint8Array(randomBytes(length)),
      wallClock: Date.now,
    });
    this.#egress = egress === null ? null : new Egress(this.#libc, arena, {
      config: egress,
      drops: this.#drops,
      random: () => randomBytes(4).readUInt32LE(),
    });
    this.#pipeline = new Pipeline({
      memory: arena,
      device: this.#device,
      router: new Router({
        ...config,
        egress: typeof config.egress === "object" ? "nat" : config.egress,
        allowedIps: this.#device.allowedIps,
      }),
      nat: this.#egress?.nat ?? null,
      sendQueue: this.#sendQueue,
      hostQueue: this.#hostQueue,
      drops: this.#drops,
      splitterScratch: arena.allocate(2 * SPLITTER_SCRATCH_SIZE),
    });
    const now = this.#clock.now();
    for (const peer of config.peers) this.#device.addPeer(peer, now);
    this.#epoll.add(config.commandFd, EPOLLIN);
    this.#epoll.add(this.#socket.fd, EPOLLIN);
    if (this.#egress !== null) this.#epoll.add(this.#egress.capture.fd, EPOLLIN);
    this.#epoll.add(this.#monitor.fd, EPOLLIN);
    report({ kind: "ready", port: this.#socket.port, aead: aead.name });
  }

  /** Moves packets until told to stop. */
  run(): void {
    let now = this.#clock.now();
    while (!this.#stopping) {
      const count = this.#epoll.wait(this.#timeout(now));
      now = this.#clock.now();
      for (let i = 0; i < count; i++) {
        const fd = this.#epoll.descriptor(i);
        if (fd === this.#socket.fd) this.#serveSocket(this.#epoll.readiness(i), now);
        else if (fd === this.#config.commandFd) this.#serveCommands(now);
        else if (fd === this.#egress?.capture.fd) this.#readCapture(this.#egress, now);
        else if (fd === this.#monitor.fd) this.#reportNetworkChange();
        else this.#readTun(now);
      }
      this.#device.poll(now);
      this.#egress?.nat.poll(now);
      this.#flushSocket();
      if (this.#device.events.length > 0) this.#reportEvents();
      if (this.#dropLog.hasNews()) this.#reportDrops(now);
    }
  }

  /** Closes the TUN, which takes the interface off the host, and the socket. */
  close(): void {
    this.#tun?.[Symbol.dispose]();
    this.#monitor[Symbol.dispose]();
    this.#egress?.[Symbol.dispose]();
    this.#socket[Symbol.dispose]();
    this.#epoll[Symbol.dispose]();
  }

  /** ms until the core has something to do, for `epoll_wait`: rounded up, so that it is due when we wake. */
  #timeout(now: number): number {
    const at = Math.min(this.#device.pollAt(), this.#egress?.nat.pollAt() ?? Infinity);
    if (at === Infinity) return -1;
    return Math.max(0, Math.min(Math.ceil(at - now), 0x7fff_ffff));
  }

  // From the socket to the TUN, or to another peer.

  #serveSocket(readiness: number, now: number): void {
    if (this.#blocked && (readiness & EPOLLOUT) !== 0) {
      this.#flushSocket();
      this.#sendSplit(now);
    }
    if ((readiness & ~EPOLLOUT) === 0) return;
    const socket = this.#socket;
    for (let round = 0; round < RECEIVE_ROUNDS; round++) {
      const count = socket.receive();
      if (count <= 0) return;
      for (let i = 0; i < count; i++) {
        this.#pipeline.handleDatagrams(
          socket.receivedOffsets[i],
          socket.receivedLengths[i],
          socket.receivedSegmentSizes[i],
          socket.receivedAddresses[i] | 0,
          socket.receivedPorts[i],
          // A gateway answers from the address that was written to; a client goes where its routes lead by now.
          this.#config.isGateway ? socket.receivedSources[i] | 0 : 0,
          now,
        );
        if (this.#sendQueue.free < MAX_MERGED) this.#flushSocket();
        this.#egress?.flush();
      }
      // A server may send before a connecting client has its TUN; the buffers are needed again all the same.
      if (this.#tun === null) this.#hostQueue.clear();
      else this.#tunWriter.flush(this.#tun);
      if (count < BATCH) return;
    }
  }

  // From outside to the socket.

  #readCapture(egress: Egress, now: number): void {
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
        if (this.#sendQueue.free < MAX_MERGED) this.#flushSocket();
      }
      egress.flush();
      if (count < capture.receivedOffsets.length) break;
    }
    this.#flushSocket();
  }

  // From the TUN to the socket.

  #readTun(now: number): void {
    const tun = this.#tun;
    if (tun === null) return;
    this.#sendSplit(now);
    for (let reads = 0; reads < TUN_READS && !this.#blocked; reads++) {
      const length = tun.read(this.#tunBuffer, TUN_BUFFER_SIZE);
      if (length < 0) {
        if (length === -EAGAIN || length === -EINTR) break;
        // EBADFD: the device was removed under us. There is no tunnel without it.
        throw new SystemCallError(`read from TUN device "${tun.name}"`, -length);
      }
      this.#pipeline.handleHostRead(this.#tunBuffer, length, now);
      this.#sendSplit(now);
      if (this.#sendQueue.free < MAX_MERGED) this.#flushSocket();
    }
    this.#flushSocket();
  }

  /** Sends what is left of a super-packet that had more packets than the send queue had room for. */
  #sendSplit(now: number): void {
    while (this.#pipeline.hasSplit && !this.#blocked) {
      this.#flushSocket();
      this.#pipeline.sendSplit(now);
    }
  }

  #flushSocket(): void {
    const queue = this.#sendQueue;
    const socket = this.#socket;
    if (queue.length > 0) {
      const errors = socket.sendErrors;
      queue.sentUpTo(socket.send(queue, queue.head, queue.tail));
      for (let i = errors; i < socket.sendErrors; i++) this.#drops.add(DropReason.sendError);
      if (socket.refusedSource !== 0) {
        this.#device.forgetSource(socket.refusedSource);
        socket.refusedSource = 0;
      }
      if (socket.segmentation !== this.#segmentationTold) {
        this.#segmentationTold = socket.segmentation;
        this.#log("warning", "UDP segmentation offload was refused: datagrams are sent singly now");
      }
      if (socket.fragmentation && !this.#fragmentationTold) {
        this.#fragmentationTold = true;
        this.#log(
          "warning",
          "datagrams are longer than a path's MTU and leave in fragments: a smaller MTU is faster",
        );
      }
    }
    const blocked = queue.length > 0;
    if (blocked === this.#blocked) return;
    this.#blocked = blocked;
    this.#epoll.modify(this.#socket.fd, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
    const interest = blocked ? 0 : EPOLLIN;
    if (this.#tun !== null) this.#epoll.modify(this.#tun.fd, interest);
    if (this.#egress !== null) this.#epoll.modify(this.#egress.capture.fd, interest);
  }

  // Commands and reports.

  #serveCommands(now: number): void {
    for (;;) {
      const message = receiveMessage(this.#libc, this.#config.commandFd, this.#commandBuffer);
      if (message === null) return;
      if (message.length === 0) {
        // The main thread closed its end without a word: it is gone, and so are we.
        this.#stopping = true;
        return;
      }
      this.#obey(JSON.parse(new TextDecoder().decode(message)), now);
    }
  }

  #obey(command: Command, now: number): void {
    switch (command.kind) {
      case "open-tun":
        this.#openTun(command.name);
        break;
      case "connect":
        for (const peer of this.#device.peers) {
          peer.timers.handshakeInterval = command.interval;
          this.#device.initiate(peer, now);
        }
        break;
      case "connected":
        for (const peer of this.#device.peers) peer.timers.handshakeInterval = REKEY_TIMEOUT;
        break;
      case "set-external-address":
        this.#egress?.setExternalAddress(command.address);
        break;
      case "get-statistics":
        this.#report({ kind: "statistics", statistics: this.#statistics() });
        break;
      case "stop":
        this.#stopping = true;
        break;
    }
  }

  #openTun(name: string): void {
    try {
      this.#tun = Tun.open(this.#libc, this.#arena, name);
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      this.#report({ kind: "failed", message: error.message, errno: error.errno });
      return;
    }
    if (this.#config.offload) this.#enableTunOffload(this.#tun);
    this.#epoll.add(this.#tun.fd, EPOLLIN);
    this.#report({ kind: "tun-opened", name });
  }

  /** Lets the kernel hand over super-packets: of TCP, and of UDP where it can (both flags of USO together, Linux 6.2). */
  #enableTunOffload(tun: Tun): void {
    const tcp = TUN_F_CSUM | TUN_F_TSO4;
    if (tun.setOffload(tcp | TUN_F_USO4 | TUN_F_USO6) || tun.setOffload(tcp)) return;
    this.#log("warning", "this kernel's TUN has no segmentation offload: packets are read singly");
  }

  #openAead(): AeadProvider {
    const { aead } = this.#config;
    const library = aead === "builtin" ? null : openLibcrypto(this.#arena);
    if (library === null && aead === "libcrypto") {
      throw new Error(
        "Cannot use Aead = libcrypto: neither libcrypto.so.3 nor libcrypto.so.1.1 is there",
      );
    }
    return library ?? createBuiltinAead(this.#arena);
  }

  #statistics(): Statistics {
    const drops: Record<string, number> = {};
    this.#drops.counts.forEach((count, reason) => {
      if (count > 0) drops[DROP_REASON_NAMES[reason]] = count;
    });
    return {
      drops,
      segmentation: this.#socket.segmentation,
      nat: {
        mappings: this.#egress?.nat.mappingCount ?? 0,
        sessions: this.#egress?.nat.sessionCount ?? 0,
      },
      peers: Array.from(this.#device.peers, (peer) => ({
        publicKey: peer.publicKey,
        name: peer.name,
        endpoint: { address: peer.endpoint.address, port: peer.endpoint.port },
        lastHandshake: peer.lastHandshakeUnixTime,
        receivedBytes: peer.receivedBytes,
        sentBytes: peer.sentBytes,
      })),
    };
  }

  /** What has changed is looked up by the main thread, which has to see the whole anyway. */
  #reportNetworkChange(): void {
    if (this.#monitor.read().length > 0) this.#report({ kind: "network-changed" });
  }

  #reportEvents(): void {
    for (const { kind, peer } of this.#device.events) {
      const { address, port } = peer.endpoint;
      this.#report({
        kind: "peer",
        event: kind,
        publicKey: peer.publicKey,
        name: peer.name,
        endpoint: { address, port },
      });
    }
    this.#device.events.length = 0;
  }

  #reportDrops(now: number): void {
    const lines = this.#dropLog.lines(now);
    for (const line of lines) this.#log("info", line);
    // The cause goes with the line about the drop, and is throttled with it.
    if (lines.length > 0 && this.#socket.lastSendError !== 0) {
      this.#log("warning", `cannot send to a peer: ${errnoName(this.#socket.lastSendError)}`);
      this.#socket.lastSendError = 0;
    }
  }

  #log(level: "info" | "warning", message: string): void {
    this.#report({ kind: "log", level, category: "dataplane", message });
  }
}
