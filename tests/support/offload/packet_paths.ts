/**
 * Owns a network in memory, and the ways that packets take through it and through sockets, to be measured and tested.
 *
 * What the application does between the parts is done here as well, and in the same manner.
 */
import { Arena } from "../../../ffi/arena.ts";
import { BootClock } from "../../../ffi/clock.ts";
import { Epoll, EPOLLIN } from "../../../ffi/epoll.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { openLibcrypto } from "../../../ffi/crypto/libcrypto.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { RECEIVE_BUFFER_SIZE } from "../../../ffi/sockets/udp_buffers.ts";
import type { AeadProvider } from "../../../lib/core/noise/aead.ts";
import { type KeyPair, keyPair } from "../../../lib/core/noise/x25519.ts";
import { Coalescer } from "../../../lib/core/offload/coalescer.ts";
import { Pipeline, PIPELINE_SCRATCH_SIZE } from "../../../lib/core/engine/pipeline.ts";
import { Router } from "../../../lib/core/routing/router.ts";
import { Device } from "../../../lib/core/wireguard/device.ts";
import { SendQueue } from "../../../lib/core/transport/send_queue.ts";
import { DropCounters } from "../../../lib/core/wire/drop_reason.ts";
import { type Ipv4Prefix, parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { PacketQueue } from "../../../lib/core/wire/packet_queue.ts";
import { createFastAead } from "../packets/fast_aead.ts";
import { buildTcp, buildUdp, type Bytes } from "../packets/packet_builder.ts";
import { Random } from "../random.ts";
import { virtioHeader } from "./reference.ts";

const SLOTS = 256;
const QUEUE_CAPACITY = 1024;
/** As in the application: ten bytes of virtio-net header, and the packet behind them is aligned. */
const TUN_BUFFER_START = 6;
const MAX_MERGED = 65_535;
const LOCALHOST = 0x7f000001;

// Addresses and indices of 2^31 and more do not fit the engine's small integers, so they would show.
const SERVER = { inside: "192.168.77.1", outside: 0xcb007101, port: 51820 };
const CLIENT = { inside: "192.168.77.2", outside: 0xcb007102, port: 51821 };
const NEIGHBOUR = { inside: "192.168.77.3", outside: 0xcb007103, port: 51822 };

/** Monotonic ms at which everything begins, with a fraction as the real clock has it. */
export const START = 1_000_000.25;

/** One end of a tunnel, without sockets: its queues, and what the application does with them. */
class End {
  readonly place: typeof SERVER;
  readonly identity: KeyPair;
  /** Its address outside, as the socket says it: reading it from an array allocates nothing. */
  readonly address: Uint32Array;
  readonly sendQueue: SendQueue;
  readonly hostQueue = new PacketQueue(QUEUE_CAPACITY);
  readonly drops = new DropCounters();
  readonly device: Device;
  readonly pipeline: Pipeline;
  /** Packets that were handed to the host. */
  delivered = 0;
  readonly #arena: Arena;
  readonly #coalescer: Coalescer;
  readonly #virtioHeader: number;
  readonly #tunBuffer: number;
  readonly #template: number;
  #templateLength = 0;

  constructor(arena: Arena, aead: AeadProvider, place: typeof SERVER, mtu: number) {
    const identity = keyPair(new Uint8Array(32).fill(place.port));
    const random = new Random(place.port);
    const slotSize = SendQueue.slotSize(mtu + 32);
    this.place = place;
    this.identity = identity;
    this.address = Uint32Array.of(place.outside);
    this.#arena = arena;
    this.sendQueue = new SendQueue({
      offset: arena.allocate(SLOTS * slotSize),
      slots: SLOTS,
      slotSize,
    });
    this.#virtioHeader = arena.allocate(10);
    this.#tunBuffer = arena.allocate(MAX_MERGED + 100) + TUN_BUFFER_START;
    this.#template = arena.allocate(MAX_MERGED + 100);
    this.#coalescer = new Coalescer(arena, QUEUE_CAPACITY);
    const { sendQueue, hostQueue, drops } = this;
    this.device = new Device({
      memory: arena,
      sendQueue,
      identity,
      aead,
      drops,
      mtu,
      random: (length) => random.bytes(length),
      wallClock: Date.now,
    });
    this.pipeline = new Pipeline({
      memory: arena,
      device: this.device,
      router: new Router({
        allowedIps: this.device.allowedIps,
        isGateway: place === SERVER,
        addresses: [hostPrefix(place)],
        clientToClient: true,
        egress: "off",
        egressRules: [],
      }),
      sendQueue,
      hostQueue,
      drops,
      nat: null,
      scratch: arena.allocate(PIPELINE_SCRATCH_SIZE),
      seed: 7,
    });
  }

  /** What `readTun()` reads from now on: a virtio-net header and a packet. */
  prepare(read: Uint8Array): void {
    this.#arena.bytes.set(read, this.#template);
    this.#templateLength = read.length;
  }

  /** Reads one packet or super-packet from the TUN. */
  readTun(now: number): void {
    const { bytes } = this.#arena;
    bytes.copyWithin(this.#tunBuffer, this.#template, this.#template + this.#templateLength);
    this.pipeline.handleHostRead(this.#tunBuffer, this.#templateLength, now);
  }

  /** Merges the packets for the host and prepares their headers, as the writing to the TUN does. */
  writeTun(): void {
    const coalescer = this.#coalescer;
    coalescer.group(this.hostQueue);
    for (let group = 0; group < coalescer.count; group++) {
      if (coalescer.isMerged(group)) coalescer.prepare(group, this.#virtioHeader);
      for (let i = coalescer.firstPacket(group); i >= 0; i = coalescer.nextPacket(i)) {
        this.delivered++;
      }
    }
    this.hostQueue.clear();
  }
}

/** A server, two clients, sessions between them, and wires that merge datagrams as UDP_GRO does. */
export class Network {
  readonly server: End;
  readonly client: End;
  readonly neighbour: End;
  readonly #arena = new Arena(4 << 20);
  readonly #receiveBuffer = this.#arena.allocate(RECEIVE_BUFFER_SIZE);

  /** @param rateLimit of both clients at the server, bits a second; null for none */
  constructor(mtu: number, rateLimit: number | null = null) {
    const arena = this.#arena;
    const aead = openLibcrypto(arena) ?? createFastAead(arena);
    this.server = new End(arena, aead, SERVER, mtu);
    this.client = this.#connect(new End(arena, aead, CLIENT, mtu), rateLimit);
    this.neighbour = this.#connect(new End(arena, aead, NEIGHBOUR, mtu), rateLimit);
  }

  #connect(client: End, rateLimit: number | null): End {
    const { server } = this;
    const now = START;
    server.device.addPeer({
      publicKey: client.identity.public,
      allowedIps: [hostPrefix(client.place)],
      rateLimit,
    }, now);
    const peer = client.device.addPeer({
      publicKey: server.identity.public,
      allowedIps: [{ address: 0, prefixLength: 0 }],
      endpoint: { address: SERVER.outside, port: SERVER.port },
    }, now);
    client.device.initiate(peer, now);
    this.carry(client, server, now);
    this.carry(server, client, now);
    this.carry(client, server, now);
    server.device.events.length = client.device.events.length = 0;
    return client;
  }

  /** Carries what one end has sent to the other: neighbours of one size in one receive, the last perhaps shorter. */
  carry(from: End, to: End, now: number): void {
    const { lengths, offsets, tail } = from.sendQueue;
    let next = 0;
    while (next < tail) {
      const size = lengths[next]!;
      const limit = this.#receiveBuffer + RECEIVE_BUFFER_SIZE;
      let at = this.#receiveBuffer;
      let last = size;
      while (next < tail && last === size && lengths[next]! <= size && at + size <= limit) {
        last = lengths[next]!;
        this.#arena.bytes.copyWithin(at, offsets[next]!, offsets[next]! + last);
        at += last;
        next++;
      }
      to.pipeline.handleDatagrams(
        this.#receiveBuffer,
        at - this.#receiveBuffer,
        size,
        from.address[0]! | 0,
        from.place.port,
        to.address[0]! | 0,
        now,
      );
      to.writeTun();
    }
    from.sendQueue.sentUpTo(tail);
  }
}

/** A path: one turn of it, and how many packets a turn is. */
export interface Path {
  readonly packets: number;
  turn(now: number): void;
  /** Packets that came out so far; as many must come out as went in. */
  delivered(): number;
}

/** A path through a network: `reads` reads from the TUN of the first end in one turn, carried from end to end. */
function path(
  network: Network,
  ends: readonly [End, End, ...End[]],
  { read, reads, packets }: { read: Uint8Array; reads: number; packets: number },
): Path {
  const [first] = ends;
  const last = ends[ends.length - 1]!;
  return {
    packets,
    turn(now) {
      first.prepare(read);
      for (let i = 0; i < reads; i++) first.readTun(now);
      for (let i = 1; i < ends.length; i++) network.carry(ends[i - 1]!, ends[i]!, now);
    },
    delivered: () => last.delivered,
  };
}

/** A super-packet of TCP in `count` packets of `mtu` bytes, the last of which is one byte shorter. */
export function tcpRead(from: End, to: End, { mtu, count }: { mtu: number; count: number }): Bytes {
  return Uint8Array.from([
    ...virtioHeader({ flags: 1, type: 1, segmentSize: mtu - 52 }),
    ...buildTcp({
      ...between(from, to),
      // Timestamps, as usual.
      tcpOptions: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
      sequenceNumber: 0xffff_0000,
      identification: 0xfff0,
      payload: new Uint8Array((mtu - 52) * count - 1),
    }),
  ]);
}

/** A super-packet of UDP, or with no segment size a datagram whose checksum is to be completed. */
export function udpRead(from: End, to: End, payloadSize: number, segmentSize = 0): Bytes {
  const type = segmentSize > 0 ? 5 : 0;
  return Uint8Array.from([
    ...virtioHeader({ flags: 1, type, segmentSize, checksumStart: 20, checksumOffset: 6 }),
    ...buildUdp({ ...between(from, to), payload: new Uint8Array(payloadSize) }),
  ]);
}

function between(from: End, to: End): { source: string; destination: string } {
  return { source: from.place.inside, destination: to.place.inside };
}

function hostPrefix({ inside }: typeof SERVER): Ipv4Prefix {
  return { address: parseIpv4(inside)!, prefixLength: 32 };
}

/** Packets that the server has no route for: each is opened, judged and counted. */
function droppedPath(network: Network): Path {
  const { client, server } = network;
  const packet = buildUdp({ source: CLIENT.inside, destination: "198.51.100.1" });
  const read = Uint8Array.from([...virtioHeader({}), ...packet]);
  const pushed = path(network, [client, server], { read, reads: 32, packets: 32 });
  return { ...pushed, delivered: () => server.drops.total };
}

/** Datagrams from socket to socket over the loopback interface, with the waiting and the clock of each turn. */
function socketPath(resources: DisposableStack): Path {
  const libc = openLibc();
  const arena = new Arena(8 << 20);
  const options = { port: 0, mark: 0, offload: true, bufferSize: 4 << 20, batch: 4 };
  const sender = resources.use(UdpSocket.bind(libc, arena, options));
  const receiver = resources.use(UdpSocket.bind(libc, arena, options));
  const epoll = resources.use(new Epoll(libc, arena));
  const bootClock = new BootClock(libc, arena);
  epoll.add(receiver.fd, EPOLLIN);
  const slotSize = SendQueue.slotSize(1452);
  const queue = new SendQueue({ offset: arena.allocate(64 * slotSize), slots: 64, slotSize });
  const latest = new Float64Array(1);
  let delivered = 0;
  return {
    packets: 64,
    turn() {
      for (let i = 0; i < 64; i++) {
        queue.reserve();
        // Two sizes and so two messages, the second of single datagrams.
        queue.commit(i < 40 ? 1452 : 1000 + i, LOCALHOST, receiver.port, i < 32 ? 0 : LOCALHOST);
      }
      queue.sentUpTo(sender.send(queue, queue.head, queue.tail));
      while (epoll.wait(0) > 0) {
        latest[0] = bootClock.now();
        const count = receiver.receive();
        for (let i = 0; i < count; i++) {
          const size = receiver.receivedSegmentSizes[i]!;
          const length = receiver.receivedLengths[i]!;
          delivered += size > 0 ? Math.ceil(length / size) : 1;
        }
      }
    },
    delivered: () => delivered,
  };
}

/** All ways, by what takes them. What they hold open goes to `resources`. */
export function packetPaths(resources: DisposableStack): Record<string, Path> {
  // 1,401 bytes make datagrams of 1,433: in a merged receive, three of four stand where they must be moved.
  const [even, odd] = [1420, 1401];
  const network = new Network(even);
  const oddNetwork = new Network(odd);
  // The limit is never reached, for what is dropped proves nothing, but each packet is counted.
  const limited = new Network(even, 1_000_000_000_000);
  const { server, client, neighbour } = network;
  const up = [client, server] as const;
  const down = [server, client] as const;
  const through = [client, server, neighbour] as const;
  const oddUp = [oddNetwork.client, oddNetwork.server] as const;
  const tcp = (ends: readonly [End, End], mtu: number) => ({
    read: tcpRead(...ends, { mtu, count: 44 }),
    reads: 1,
    packets: 44,
  });
  const single = (from: End, to: End, payloadSize: number) => ({
    read: udpRead(from, to, payloadSize),
    reads: 64,
    packets: 64,
  });
  return {
    "TCP super-packets to the server": path(network, up, tcp(up, even)),
    "TCP super-packets to the client": path(network, down, tcp(down, even)),
    "TCP super-packets whose datagrams have an odd size": path(oddNetwork, oddUp, tcp(oddUp, odd)),
    "UDP super-packets": path(network, up, {
      read: udpRead(client, server, 40 * 1001 - 1, 1001),
      reads: 1,
      packets: 40,
    }),
    "single datagrams with a partial checksum": path(network, up, single(client, server, 64)),
    "single datagrams of an odd size": path(oddNetwork, oddUp, single(...oddUp, 1401 - 28)),
    "packets from client to client": path(network, through, single(client, neighbour, 500)),
    "packets from client to client, both with a limit": path(
      limited,
      [limited.client, limited.server, limited.neighbour],
      single(limited.client, limited.neighbour, 500),
    ),
    "packets without a route": droppedPath(network),
    "datagrams through sockets": socketPath(resources),
  };
}
