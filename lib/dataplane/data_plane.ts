/**
 * Owns the data plane: one thread that sleeps in `epoll_wait` and never awaits; what it is made of, its commands and reports.
 */
import { Arena } from "../../ffi/arena.ts";
import { EPOLLOUT } from "../../ffi/epoll.ts";
import { errnoName, SystemCallError } from "../../ffi/errno.ts";
import { RouteMonitor } from "../../ffi/netlink/monitor.ts";
import { type Libc, openLibc } from "../../ffi/libc.ts";
import { openLibcrypto } from "../../ffi/crypto/libcrypto.ts";
import { Tun, TUN_F_CSUM, TUN_F_TSO4, TUN_F_USO4, TUN_F_USO6 } from "../../ffi/tun.ts";
import { UdpSocket } from "../../ffi/sockets/udp_socket.ts";
import { RECEIVE_BUFFER_SIZE } from "../../ffi/sockets/udp_buffers.ts";
import { MAX_MESSAGE_SIZE, receiveMessage } from "../../ffi/sockets/wake_channel.ts";
import { decodeKey } from "../core/config/values/key_text.ts";
import { DropLog } from "../core/engine/drop_log.ts";
import { Engine, ENGINE_SCRATCH_SIZE, MAX_MERGED } from "../core/engine/engine.ts";
import { LineBudget } from "../core/limits/line_budget.ts";
import type { AeadProvider } from "../core/noise/aead.ts";
import { createBuiltinAead } from "../core/noise/aead_builtin.ts";
import { keyPair } from "../core/noise/x25519.ts";
import { Pipeline, PIPELINE_SCRATCH_SIZE } from "../core/engine/pipeline.ts";
import { Router } from "../core/routing/router.ts";
import { REKEY_TIMEOUT } from "../core/wireguard/constants.ts";
import { Device } from "../core/wireguard/device.ts";
import { Carrier } from "../core/transport/endpoint.ts";
import { MIN_MTU } from "../core/wireguard/path/path_mtu.ts";
import type { Peer } from "../core/wireguard/peer.ts";
import { type PeerReportKind, PeerReports } from "../core/wireguard/peer_reports.ts";
import { PacketQueue } from "../core/wire/packet_queue.ts";
import { SendQueue } from "../core/transport/send_queue.ts";
import { DROP_REASON_NAMES, DropCounters, DropReason } from "../core/wire/drop_reason.ts";
import { TRANSPORT_OVERHEAD } from "../core/wire/messages.ts";
import { Captures } from "./captures.ts";
import type { CarrierEndpoints } from "../core/transport/fake_tcp/endpoints.ts";
import type { EgressRule } from "../core/access/egress_rules.ts";
import type {
  Command,
  DataPlaneConfig,
  PeerStatistics,
  Report,
  Statistics,
} from "./data_plane_protocol.ts";
import { Egress } from "./egress/egress.ts";
import { FakeTcpLink } from "./fake_tcp/fake_tcp_link.ts";
import { EventLoop } from "./event_loop.ts";
import { EgressPort } from "./ports/egress_port.ts";
import { TunDevice } from "./ports/tun_device.ts";
import { UdpPort } from "./ports/udp_port.ts";
import { parsePeerChange, type PeerChange } from "../core/peers/peer_change.ts";
import { PathProber } from "./path_prober.ts";
import { VERSION } from "../process/version.ts";
import { randomBytes } from "node:crypto";

/** Messages that one receive or send call handles; each may hold many datagrams. */
const BATCH = 16;
/** Datagrams that one received message may hold: senders of Linux 6.9 and later put 128 into one. */
const MAX_RECEIVED = 128;
/** Slots of the send queue. One TUN read makes at most 64 datagrams, so a quarter is kept free for it. */
const SEND_SLOTS = 4 * MAX_MERGED;
/** Wanted socket buffers: some 20 ms at 3 Gbit/s. */
const SOCKET_BUFFER_SIZE = 8 * 1024 * 1024;
/** Bytes for message headers, vectors and control blocks; what is left over costs nothing until it is touched. */
const CONTROL_SPACE = 256 * 1024;

/** Peers in one report of statistics. */
const STATISTICS_PAGE = 256;
/** Lines about single packets in a second. */
const MAX_TRACE_LINES = 1_000;

/** How the loop reports; the Worker passes it to the main thread. Buffers in `transfer` are given away. */
export type Reporter = (report: Report, transfer?: Transferable[]) => void;

export class DataPlane {
  readonly #libc: Libc;
  readonly #arena: Arena;
  readonly #loop: EventLoop;
  readonly #socket: UdpSocket;
  readonly #device: Device;
  readonly #drops = new DropCounters();
  readonly #dropLog = new DropLog(this.#drops);
  readonly #config: DataPlaneConfig;
  readonly #report: Reporter;
  readonly #engine: Engine;
  readonly #commandBuffer = new Uint8Array(MAX_MESSAGE_SIZE);
  readonly #egress: Egress | null;
  readonly #monitor: RouteMonitor;
  readonly #prober: PathProber;
  readonly #router: Router;
  /** Parts of a set of rules of which the last has still to come. */
  readonly #egressRules: EgressRule[] = [];
  readonly #captures: Captures;
  readonly #reports = new PeerReports((kind, peer) => this.#reportPeer(kind, peer));
  readonly #traceBudget = new LineBudget(MAX_TRACE_LINES);
  #link: FakeTcpLink | null = null;
  #tun: Tun | null = null;
  /** Of the peer that is a client's server. */
  #serverKey: Uint8Array | null;
  /** What is left of the peers for the statistics that are being asked for. */
  #unreported: Iterator<Peer> = [][Symbol.iterator]();
  #segmentationTold: boolean;
  #toldSendError: string | null = null;
  #egressErrorsTold = "{}";

  /**
   * Opens the socket; the TUN follows by command.
   *
   * @throws {SystemCallError} when the port is taken or a privilege is missing
   */
  constructor(config: DataPlaneConfig, report: Reporter) {
    this.#config = config;
    this.#serverKey = config.peers[0]?.publicKey ?? null;
    this.#report = report;
    this.#libc = openLibc();
    this.#monitor = RouteMonitor.open(this.#libc);
    const slotSize = SendQueue.slotSize(config.mtu + TRANSPORT_OVERHEAD);
    const egress = typeof config.egress === "object" ? config.egress : null;
    const arena = new Arena(
      BATCH * RECEIVE_BUFFER_SIZE + SEND_SLOTS * slotSize + ENGINE_SCRATCH_SIZE + CONTROL_SPACE +
        (egress === null ? 0 : Egress.arenaSize(egress)) +
        (config.hasFakeTcp ? FakeTcpLink.arenaSize(config.mtu, SEND_SLOTS) : 0),
    );
    this.#arena = arena;
    const loop = this.#loop = new EventLoop(this.#libc, arena);
    const sendQueue = new SendQueue({
      offset: arena.allocate(SEND_SLOTS * slotSize),
      slots: SEND_SLOTS,
      slotSize,
    });
    const hostQueue = new PacketQueue(BATCH * MAX_RECEIVED);

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
      sendQueue,
      identity: keyPair(config.privateKey),
      aead,
      drops: this.#drops,
      mtu: config.mtu,
      random: (length) => new Uint8Array(randomBytes(length)),
      wallClock: Date.now,
      watch: config.watch,
      software: `vpn/${VERSION}`,
      followsCarrier: config.isGateway,
    });
    this.#captures = new Captures({ memory: arena, device: this.#device, report });
    this.#egress = egress === null ? null : new Egress(this.#libc, arena, {
      config: egress,
      clientToClient: config.clientToClient,
      offload: config.offload,
      drops: this.#drops,
      clientOf: (address) => this.#device.allowedIps.lookup(address),
      mtuOf: (address) => this.#device.allowedIps.lookup(address)?.mtu ?? config.mtu,
      random: () => randomBytes(4).readUInt32LE(),
    });
    this.#setTrace(config.trace);
    this.#router = new Router({
      ...config,
      egress: typeof config.egress === "object" ? "nat" : config.egress,
      allowedIps: this.#device.allowedIps,
    });
    const pipeline = new Pipeline({
      memory: arena,
      device: this.#device,
      router: this.#router,
      nat: this.#egress?.nat ?? null,
      sendQueue,
      hostQueue,
      drops: this.#drops,
      scratch: arena.allocate(PIPELINE_SCRATCH_SIZE),
      seed: randomBytes(4).readUInt32LE(),
    });
    const outside = this.#egress === null ? null : new EgressPort(this.#egress, loop);
    const engine = this.#engine = new Engine({
      memory: arena,
      scratch: arena.allocate(ENGINE_SCRATCH_SIZE),
      device: this.#device,
      pipeline,
      sendQueue,
      hostQueue,
      drops: this.#drops,
      outside,
      offload: config.offload,
    });
    const udp = new UdpPort(this.#socket, {
      loop,
      drops: this.#drops,
      keepsSource: config.isGateway,
      onSourceRefused: (source) => this.#device.forgetSource(source),
    });
    engine.attach(udp);
    this.#prober = new PathProber(this.#libc, {
      engine,
      port: this.#socket.port,
      mark: config.mark,
      maxMtu: config.mtu,
      linkMtu: (endpoint) => this.#link?.innerMtu(endpoint) ?? null,
      peers: () => this.#device.peers,
      onChange: (peer) => this.#reports.add("path-mtu", peer, this.#loop.now()),
    });
    const now = this.#loop.now();
    for (const peer of config.peers) this.#device.addPeer(peer, now);
    loop.add(this.#socket.fd, (readiness, now) => {
      if ((readiness & EPOLLOUT) !== 0) engine.resume(now);
      if ((readiness & ~EPOLLOUT) !== 0) engine.receive(udp, now);
    });
    loop.add(config.commandFd, (_, now) => this.#serveCommands(now));
    loop.add(this.#monitor.fd, (_, now) => this.#reportNetworkChange(now));
    if (this.#prober.fd >= 0) loop.add(this.#prober.fd, (_, now) => this.#prober.serve(now));
    if (this.#egress !== null) {
      const { capture, sender } = this.#egress;
      loop.add(capture.fd, (_, now) => engine.readCapture(now));
      loop.add(sender.fd, () => sender.serve());
    }
    report({ kind: "ready", port: this.#socket.port, aead: aead.name });
  }

  /** Moves packets until told to stop. */
  run(): void {
    this.#loop.run({ pollAt: () => this.#pollAt(), poll: (now) => this.#poll(now) });
  }

  /** When there is something to do though nothing is ready, monotonic ms. */
  #pollAt(): number {
    return Math.min(
      this.#device.pollAt(),
      this.#prober.pollAt(),
      this.#reports.pollAt(),
      this.#egress?.pollAt() ?? Infinity,
      this.#link?.pollAt() ?? Infinity,
      this.#captures.pollAt(),
    );
  }

  #poll(now: number): void {
    this.#link?.poll(now);
    this.#device.poll(now);
    this.#egress?.poll(now);
    this.#engine.flush(now);
    this.#tellFallBack();
    if (this.#device.events.length > 0) this.#takeEvents(now);
    this.#prober.poll(now);
    this.#reports.poll(now);
    this.#captures.poll(now);
    if (this.#dropLog.hasNews()) this.#reportDrops(now);
  }

  /** Closes the TUN, which takes the interface off the host, and the socket. */
  close(): void {
    this.#tun?.[Symbol.dispose]();
    this.#monitor[Symbol.dispose]();
    this.#prober[Symbol.dispose]();
    this.#egress?.[Symbol.dispose]();
    this.#link?.[Symbol.dispose]();
    this.#socket[Symbol.dispose]();
    this.#loop[Symbol.dispose]();
  }

  /** Says once what the socket had to give up. */
  #tellFallBack(): void {
    const { segmentation } = this.#socket;
    if (segmentation !== this.#segmentationTold) {
      this.#segmentationTold = segmentation;
      this.#log(
        "warning",
        "UDP segmentation offload was refused: datagrams are sent one by one now",
      );
    }
  }

  // Commands and reports.

  #serveCommands(now: number): void {
    for (;;) {
      const message = receiveMessage(this.#libc, this.#config.commandFd, this.#commandBuffer);
      if (message === null) return;
      if (message.length === 0) {
        // The main thread closed its end without a word: it is gone, and so are we.
        this.#loop.stop();
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
          // That a client's server is lost says nothing of its other peers.
          if (peer.lastHandshakeUnixTime > 0 && peer !== this.#serverPeer) continue;
          peer.timers.handshakeInterval = command.interval;
          this.#device.initiate(peer, now);
        }
        break;
      case "connected":
        for (const peer of this.#device.peers) peer.timers.handshakeInterval = REKEY_TIMEOUT;
        break;
      case "set-server":
        this.#serverKey = decodeKey(command.publicKey);
        break;
      case "set-endpoint":
        this.#serverPeer?.configureEndpoint(command);
        if (this.#serverPeer?.endpoint.carrier === Carrier.fakeTcp) {
          this.#link?.connectAgain(command, now);
        }
        break;
      case "open-fake-tcp":
        this.#openFakeTcp(command.endpoints);
        break;
      case "set-carrier":
        this.#setCarrier(command.carrier, now);
        break;
      case "try-udp":
        if (this.#serverPeer !== undefined) {
          this.#device.sendProbe(this.#serverPeer, MIN_MTU, now, Carrier.udp);
        }
        break;
      case "renew":
        this.#device.renew(now);
        break;
      case "set-external":
        this.#egress?.setExternal(command.external);
        break;
      case "set-egress-rules":
        this.#egressRules.push(...command.rules);
        if (command.isLast) this.#router.setEgressRules(this.#egressRules.splice(0));
        break;
      case "set-client-to-client":
        this.#router.setClientToClient(command.allowed);
        if (this.#egress !== null) this.#egress.nat.clientToClient = command.allowed;
        break;
      case "change-peers":
        for (const change of command.changes) this.#changePeer(parsePeerChange(change), now);
        this.#report({ kind: "peers-changed" });
        break;
      case "set-trace":
        this.#setTrace(command.trace);
        break;
      case "start-capture":
      case "capture-taken":
      case "end-capture":
        this.#captures.obey(command);
        break;
      case "ping":
        this.#report({ kind: "alive" });
        break;
      case "get-statistics":
        this.#reportStatistics(command.isFirst, now);
        break;
      case "stop":
        this.#device.sayGoodbye(now);
        this.#engine.flush(now);
        this.#link?.close(now);
        this.#loop.stop();
        break;
    }
  }

  /** Of a client: the peer that is its server. `wg` may have taken it out. */
  get #serverPeer(): Peer | undefined {
    return this.#serverKey === null ? undefined : this.#device.peer(this.#serverKey);
  }

  #setTrace(trace: boolean): void {
    if (this.#egress !== null) this.#egress.trace = trace ? (line) => this.#trace(line) : null;
  }

  /** One line for each packet is more than anybody can write. */
  #trace(line: string): void {
    if (!this.#traceBudget.take(this.#loop.now())) return;
    const suppressed = this.#traceBudget.takeSuppressed();
    this.#log(
      "trace",
      suppressed === 0 ? line : `${line} (${suppressed} lines before it left out)`,
    );
  }

  #changePeer(change: PeerChange, now: number): void {
    const device = this.#device;
    if (change.kind === "remove") {
      const peer = device.peer(change.publicKey);
      if (peer === undefined) return;
      this.#prober.forget(peer);
      this.#reports.forget(peer);
      this.#egress?.nat.releaseClient(peer, now);
      device.removePeer(peer);
      return;
    }
    const peer = device.peer(change.peer.publicKey);
    if (peer === undefined) {
      device.addPeer(change.peer, now);
      return;
    }
    device.updatePeer(peer, change.peer, now);
    const { endpoint } = change.peer;
    if (endpoint && peer.endpoint.carrier === Carrier.fakeTcp) this.#link?.connect(endpoint, now);
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
    this.#loop.add(this.#tun.fd, (_, now) => this.#engine.readTun(now));
    this.#engine.attachTun(new TunDevice(this.#tun, this.#loop));
    this.#report({ kind: "tun-opened", name });
  }

  #openFakeTcp(endpoints: CarrierEndpoints): void {
    const { mark, offload, mtu, interfaceName } = this.#config;
    try {
      this.#link = new FakeTcpLink(this.#libc, this.#arena, {
        device: this.#device,
        loop: this.#loop,
        onRoom: (_, now) => this.#engine.resume(now),
        sendSlots: SEND_SLOTS,
        drops: this.#drops,
        endpoints,
        mark,
        offload,
        mtu,
        tunnel: interfaceName,
        bufferSize: SOCKET_BUFFER_SIZE,
      });
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      this.#report({ kind: "failed", message: error.message, errno: error.errno });
      return;
    }
    const { port, socket: { capture, sender } } = this.#link;
    this.#loop.add(capture.fd, (_, now) => this.#engine.receive(port, now));
    this.#loop.add(sender.fd, () => sender.serve());
    this.#engine.attach(port);
    this.#report({ kind: "fake-tcp-opened" });
  }

  #setCarrier(carrier: Carrier, now: number): void {
    const peer = this.#serverPeer;
    if (peer === undefined) return;
    if (carrier === Carrier.fakeTcp) this.#link?.connect(peer.endpoint, now);
    else this.#link?.disconnect(now);
    this.#device.setCarrier(peer, carrier);
  }

  /** Lets the kernel hand over super-packets: of TCP, and of UDP where it can (both flags of USO together, Linux 6.2). */
  #enableTunOffload(tun: Tun): void {
    const tcp = TUN_F_CSUM | TUN_F_TSO4;
    if (tun.setOffload(tcp | TUN_F_USO4 | TUN_F_USO6) || tun.setOffload(tcp)) return;
    this.#log(
      "warning",
      "this kernel's TUN has no segmentation offload: packets are read one by one",
    );
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

  /** Reports of the peers in pages, for thousands of them would hold up packets, and the main thread as well. */
  #reportStatistics(isFirst: boolean, now: number): void {
    if (isFirst) this.#unreported = this.#device.peers[Symbol.iterator]();
    const peers: PeerStatistics[] = [];
    while (peers.length < STATISTICS_PAGE) {
      const next = this.#unreported.next();
      if (next.done) break;
      peers.push(this.#peerStatistics(next.value, now));
    }
    const isLast = peers.length < STATISTICS_PAGE;
    this.#report({ kind: "statistics", statistics: this.#statistics(peers), isLast });
  }

  #peerStatistics(peer: Peer, now: number): PeerStatistics {
    return {
      publicKey: peer.publicKey,
      name: peer.name,
      endpoint: { address: peer.endpoint.address, port: peer.endpoint.port },
      carrier: peer.endpoint.carrier,
      lastHandshake: peer.lastHandshakeUnixTime,
      silence: peer.lastReceivedAt === -Infinity ? null : now - peer.lastReceivedAt,
      // One whose endpoint was taken away has said goodbye, or was released after its silence.
      isDown: (peer.watch?.isDown ?? false) || peer.endpoint.port === 0,
      otherPlace: peer.sharedKey.otherPlace(now),
      ...extensionStatistics(peer),
      allowedIps: this.#device.allowedIps.entries(peer),
      persistentKeepalive: peer.timers.persistentInterval / 1000,
      mtu: peer.mtu,
      rateLimit: peer.fromLimit?.rate ?? null,
      rateLimited: peer.rateLimited,
      nat: this.#egress?.usageOf(peer) ?? null,
      receivedBytes: peer.receivedBytes,
      sentBytes: peer.sentBytes,
    };
  }

  #statistics(peers: readonly PeerStatistics[]): Statistics {
    const drops: Record<string, number> = {};
    // The kernel counts these; no packet of them ever came here.
    this.#drops.counts[DropReason.captureOverflow] = (this.#egress?.capture.drops() ?? 0) +
      (this.#link?.socket.capture.drops() ?? 0);
    this.#drops.counts.forEach((count, reason) => {
      if (count > 0) drops[DROP_REASON_NAMES[reason]] = count;
    });
    return {
      drops,
      segmentation: this.#socket.segmentation,
      sendError: this.#sendError(),
      nat: {
        mappings: this.#egress?.nat.mappingCount ?? 0,
        sendErrors: this.#egress?.sendErrors() ?? {},
        sessions: this.#egress?.nat.sessionCount ?? 0,
      },
      peers,
    };
  }

  /** What has changed is looked up by the main thread, which has to see the whole anyway. */
  #reportNetworkChange(now: number): void {
    const events = this.#monitor.read();
    if (events.length === 0) return;
    for (const event of events) {
      if (event.kind === "link" && event.removed) this.#egress?.linkRemoved(event.link.index);
    }
    this.#egress?.networkChanged();
    this.#link?.networkChanged(now);
    this.#prober.networkChanged();
    this.#report({ kind: "network-changed" });
  }

  /** Does at once what follows from what happened to peers, and reports it as often as is good. */
  #takeEvents(now: number): void {
    for (const { kind, peer } of this.#device.events) {
      // By a command of this very turn: nothing is begun for it any more.
      if (peer.isRemoved) continue;
      // A new session, or another way to the peer: the path may take more or less than the last one. Where the peer has yet
      // to prove that it is there, a session follows. What may be asked of it depends on what runs there.
      if (
        kind === "handshake-completed" || kind === "recognized" ||
        (kind === "endpoint-changed" && peer.proof.isProven)
      ) {
        this.#prober.start(peer, now);
      }
      if (kind === "released") this.#egress?.nat.releaseClient(peer, now);
      this.#reports.add(kind, peer, now);
    }
    this.#device.events.length = 0;
  }

  #reportPeer(kind: PeerReportKind, peer: Peer): void {
    const { publicKey, name, mtu } = peer;
    if (kind === "path-mtu") {
      this.#report({ kind, publicKey, name, mtu });
      return;
    }
    const { address, port } = peer.endpoint;
    const otherPlace = kind === "key-shared" ? peer.sharedKey.otherPlace(this.#loop.now()) : null;
    const endpoint = { address, port };
    this.#report({ kind: "peer", event: kind, publicKey, name, endpoint, otherPlace });
  }

  #sendError(): string | null {
    const { lastSendError } = this.#socket;
    return lastSendError === 0 ? this.#toldSendError : errnoName(lastSendError);
  }

  #reportDrops(now: number): void {
    const lines = this.#dropLog.lines(now);
    for (const line of lines) this.#log("info", line);
    // The cause goes with the line about the drop, and is throttled with it.
    if (lines.length > 0 && this.#socket.lastSendError !== 0) {
      this.#toldSendError = errnoName(this.#socket.lastSendError);
      this.#socket.lastSendError = 0;
      this.#log("warning", `cannot send to a peer: ${this.#toldSendError}`);
    }
    const refused = this.#egress?.sendErrors() ?? {};
    const counts = JSON.stringify(refused);
    if (lines.length > 0 && counts !== this.#egressErrorsTold) {
      this.#egressErrorsTold = counts;
      const named = Object.entries(refused).map(([name, count]) => `${name} ${count}`).join(", ");
      this.#log("warning", `packets for outside that the kernel refused: ${named}`);
    }
  }

  #log(level: "trace" | "info" | "warning", message: string): void {
    this.#report({ kind: "log", level, category: "dataplane", message });
  }
}

/** What is known by the extensions. */
function extensionStatistics(
  { watch }: Peer,
): Pick<PeerStatistics, "software" | "roundTrip" | "hello" | "clockOffset"> {
  const { software, hello, clockOffset } = watch!.recognition;
  return { software, roundTrip: watch!.roundTrip.smoothed, hello, clockOffset };
}
