/**
 * Worker that replays packets of many peers through a gateway, and counts what comes out of it.
 *
 * It is cheap: runs of a peer's packets are one message for the kernel (UDP_SEGMENT), at both ends, as a network card
 * merges them, and between two looks it sleeps. What it sends is bounded by what has arrived, so nothing is lost.
 */
import { Arena } from "../../../ffi/arena.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { inNamespace } from "../../../ffi/netns.ts";
import {
  type DatagramBatch,
  type DatagramEnds,
  pathsTo,
} from "../../../ffi/sockets/datagram_batch.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { TRANSPORT_OVERHEAD } from "../../../lib/core/wire/messages.ts";
import { buildUdp } from "../../support/packets/packet_builder.ts";
import { BenchClient, connect, openTools } from "./bench_client.ts";
import type { GatewayRequest, GatewayResult, Way } from "./gateway_load.ts";
import { peerAddress, peerOutside } from "./peer_address.ts";
import { runTimes, threadFile } from "../measures/process_stats.ts";
import { answerRequests, sleep } from "./worker_scope.ts";

/** Bytes of an inner packet: the inner MTU. And of its UDP payload, and of the message that it becomes. */
const PACKET_SIZE = 1420;
const PAYLOAD_SIZE = PACKET_SIZE - 28;
const MESSAGE_SIZE = PACKET_SIZE + TRANSPORT_OVERHEAD;
const SLOT_SIZE = (MESSAGE_SIZE + 3) & ~3;
/**
 * Packets that a peer sends in a row, and bytes that the last one of them is shorter: it ends the run, so that one peer
 * sends runs as long as those of many.
 */
const BURST = 16;
const SHORTER = 16;
/** Bytes of a packet on average. */
const MEAN_SIZE = PACKET_SIZE - SHORTER / BURST;
/** Packets under way at any time: some ms of what a gateway does, and less than its sockets' buffers take. */
const WINDOW = 2048;
/** ms between two looks, and ms without an arrival after which what is under way is lost. */
const INTERVAL = 0.3;
/** ms between two looks whether a gateway rests, and seconds that it runs between them at most if it does. */
const REST_LOOK = 20;
const RESTS_BELOW = 0.001;
/** `struct timespec` of the datagram that was received last (include/uapi/asm-generic/sockios.h). */
const SIOCGSTAMPNS = 0x8907;
const LOST_AFTER = 150;
const INNER_PORT = 4000;
const BATCH = 32;
const SOCKET_SPACE = 8 * 1024 * 1024;
const BUFFER_SIZE = 8 * 1024 * 1024;

type Preparation = Extract<GatewayRequest, { kind: "prepare" }>;

const NOTHING: GatewayResult = { seconds: 0, bytes: 0, lost: 0 };

/** What serves requests: peers are prepared once, and run then. */
function createPeers(): (request: GatewayRequest) => GatewayResult {
  let peers: Peers | undefined;
  return (request) => {
    if (request.kind === "run") return peers!.run(request.way, request.packets);
    if (request.kind === "backlog") {
      return peers!.backlog(request.way, request.packets, request.pid);
    }
    peers = new Peers(request);
    return NOTHING;
  };
}

class Peers {
  readonly #arena: Arena;
  /** The peers' socket, and the internet's. */
  readonly #outer: UdpSocket;
  readonly #sink: UdpSocket;
  readonly #internet: string;
  readonly #clients: BenchClient[];
  readonly #slots: number;
  /** The same order for all: a burst of each peer, and so on. */
  readonly #batch: Omit<DatagramBatch, "paths">;
  readonly #outerPaths: DatagramBatch["paths"];
  /** What the internet has seen of the peers: their mappings. */
  readonly #mappings = new Map<number, DatagramEnds>();

  constructor(request: Preparation) {
    const { clientKeys, capacity, serverKey } = request;
    this.#arena = new Arena(SOCKET_SPACE + capacity * SLOT_SIZE);
    const open = (namespace: string) =>
      inNamespace(namespace, () =>
        UdpSocket.bind(openLibc(), this.#arena, {
          port: 0,
          mark: 0,
          offload: true,
          bufferSize: BUFFER_SIZE,
          batch: BATCH,
        }));
    this.#outer = open(request.clientNamespace);
    this.#sink = open(request.internetNamespace);
    this.#internet = request.internet;
    const tools = openTools(this.#arena);
    this.#clients = clientKeys.map((privateKey, index) =>
      new BenchClient(tools, { privateKey, serverKey, index })
    );
    this.#slots = this.#arena.allocate(capacity * SLOT_SIZE);
    const indices = Int32Array.from({ length: capacity }, (_, i) => i);
    this.#batch = {
      offsets: indices.map((i) => this.#slots + i * SLOT_SIZE),
      lengths: new Int32Array(capacity),
      pathIds: indices.map((i) => Math.floor(i / BURST) % clientKeys.length),
    };
    const { address, port } = request;
    const ends = clientKeys.map((_, index) => ({ address, port, source: peerOutside(index) }));
    this.#outerPaths = pathsTo(ends).paths;
    // One after the other: a gateway that is not under load asks for no cookies.
    this.#clients.forEach((client, index) =>
      connect(client, this.#outer, { paths: this.#outerPaths, path: index, scratch: this.#slots })
    );
  }

  run(way: Way, packets: number): GatewayResult {
    const { from, batch, receive } = this.#prepare(way, packets);
    return this.#replay(from, batch, packets, () => receiveAll(receive));
  }

  /** Has a stopped gateway's sockets take the packets, and looks when they have come through. */
  backlog(way: Way, packets: number, pid: number): GatewayResult {
    const { from, to, batch, receive } = this.#prepare(way, packets);
    receiveAll(receive);
    arrivalTime(to.fd);
    stop(pid);
    try {
      const sent = from.send(batch, 0, packets);
      if (sent < packets) throw new Error(`Cannot send ${packets} packets at once: ${sent} went`);
    } finally {
      Deno.kill(pid, "SIGCONT");
    }
    for (let before = 0, at = runTime(pid); at - before > RESTS_BELOW;) {
      sleep(REST_LOOK);
      [before, at] = [at, runTime(pid)];
    }
    const first = receive();
    const begin = arrivalTime(to.fd);
    const others = receiveAll(receive);
    const end = arrivalTime(to.fd);
    const lost = packets - Math.max(0, first) - others;
    return { seconds: end - begin, bytes: others * MEAN_SIZE, lost };
  }

  /** Where packets that go this way leave, and arrive; those of peers are sealed. */
  #prepare(way: Way, packets: number): {
    readonly from: UdpSocket;
    readonly to: UdpSocket;
    readonly batch: DatagramBatch;
    /** Takes what has come to `to`, of one receive. Returns how many packets; -1 for none. */
    readonly receive: () => number;
  } {
    const [to, size] = way === "up" ? [this.#sink, PAYLOAD_SIZE] : [this.#outer, MESSAGE_SIZE];
    const receive = () => this.#receive(to, size);
    if (way === "down") {
      const { lengths } = this.#batch;
      for (let i = 0; i < lengths.length; i++) lengths[i] = PAYLOAD_SIZE - shorterBy(i);
      const ends = [...this.#mappings.values()];
      if (ends.length < this.#clients.length) throw new Error("Cannot find all mappings");
      const { paths } = pathsTo(ends);
      return { from: this.#sink, to, batch: { ...this.#batch, paths }, receive };
    }
    this.#seal(packets, (index) => {
      const next = (index + 1) % this.#clients.length;
      return way === "across"
        ? { destination: peerAddress(next), destinationPort: INNER_PORT }
        : { destination: this.#internet, destinationPort: this.#sink.port };
    });
    return { from: this.#outer, to, batch: { ...this.#batch, paths: this.#outerPaths }, receive };
  }

  #seal(
    packets: number,
    to: (index: number) => { readonly destination: string; readonly destinationPort: number },
  ): void {
    const innerOf = (shorter: number) =>
      this.#clients.map((_, index) =>
        buildUdp({
          source: peerAddress(index),
          sourcePort: INNER_PORT,
          ...to(index),
          payload: new Uint8Array(PAYLOAD_SIZE - shorter),
          dontFragment: true,
        })
      );
    const [inner, last] = [innerOf(0), innerOf(SHORTER)];
    const { offsets, lengths, pathIds } = this.#batch;
    for (let i = 0; i < packets; i++) {
      const peer = pathIds[i]!;
      const packet = shorterBy(i) === 0 ? inner[peer]! : last[peer]!;
      lengths[i] = this.#clients[peer]!.seal(offsets[i]!, packet);
    }
  }

  /** Sends, and counts by `receive` what arrives, until all has come or been lost. */
  #replay(
    from: UdpSocket,
    batch: DatagramBatch,
    packets: number,
    receive: () => number,
  ): GatewayResult {
    receive();
    const start = performance.now();
    let last = start;
    let sent = 0;
    let arrived = 0;
    let lost = 0;
    while (arrived + lost < packets) {
      const bound = Math.min(packets, arrived + lost + WINDOW);
      // Whole bursts: what is cut costs the gateway more.
      const to = bound === packets ? packets : bound - bound % BURST;
      if (to > sent) sent = from.send(batch, sent, to);
      const count = receive();
      const now = performance.now();
      arrived += count;
      if (count > 0) last = now;
      else if (now - last < LOST_AFTER) sleep(INTERVAL);
      else lost = sent - arrived;
    }
    return { seconds: (last - start) / 1000, bytes: arrived * MEAN_SIZE, lost };
  }

  /**
   * How many datagrams one receive brings, of which all but the last of a burst have this size; -1 where there are
   * none.
   */
  #receive(socket: UdpSocket, size: number): number {
    const { receivedLengths, receivedSegmentSizes } = socket;
    const { receivedAddresses, receivedPorts, receivedSources } = socket;
    const count = socket.receive();
    if (count <= 0) return -1;
    let datagrams = 0;
    for (let i = 0; i < count; i++) {
      const first = receivedSegmentSizes[i]! || receivedLengths[i]!;
      if (first > size || first < size - SHORTER) continue;
      datagrams += Math.ceil(receivedLengths[i]! / size);
      const port = receivedPorts[i]!;
      if (socket !== this.#sink || this.#mappings.has(port)) continue;
      // An answer comes from where the peer has written to.
      const ends = { address: receivedAddresses[i]! >>> 0, source: receivedSources[i]! >>> 0 };
      this.#mappings.set(port, { ...ends, port });
    }
    return datagrams;
  }
}

/** Receives until there is nothing. Returns how many packets came. */
function receiveAll(receive: () => number): number {
  let packets = 0;
  for (let more = receive(); more >= 0; more = receive()) packets += more;
  return packets;
}

/** Stops a program, and waits until all of its threads have. */
function stop(pid: number): void {
  Deno.kill(pid, "SIGSTOP");
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    const path = `/proc/${pid}/task/${name}/status`;
    const isRunning = () => !/^State:\s+T/m.test(threadFile(path) ?? "State: T");
    while (isRunning()) sleep(INTERVAL);
  }
}

/** Seconds that all threads of a program have run. */
function runTime(pid: number): number {
  return Array.from(runTimes(pid).values()).reduce((sum, seconds) => sum + seconds, 0);
}

/** When the datagram that was received last had come, seconds; 0 before the first one that is asked about. */
function arrivalTime(fd: number): number {
  const time = new DataView(new ArrayBuffer(16));
  if (openLibc().symbols.ioctl(fd, SIOCGSTAMPNS, new Uint8Array(time.buffer)) < 0) return 0;
  return Number(time.getBigInt64(0, true)) + Number(time.getBigInt64(8, true)) / 1e9;
}

/** Bytes that packet `index` of all is shorter than others. */
function shorterBy(index: number): number {
  return index % BURST === BURST - 1 ? SHORTER : 0;
}

answerRequests(createPeers());
