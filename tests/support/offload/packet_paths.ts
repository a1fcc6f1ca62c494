/** Packet paths: a network in memory, whose ends are engines, and the paths of packets through it and through sockets, to be measured. */
import { Arena } from "../../../ffi/arena.ts";
import { BootClock } from "../../../ffi/clock.ts";
import { Epoll, EPOLLIN } from "../../../ffi/epoll.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { openLibcrypto } from "../../../ffi/crypto/libcrypto.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { RECEIVE_BUFFER_SIZE } from "../../../ffi/sockets/udp_buffers.ts";
import type { AeadProvider } from "../../../lib/core/noise/aead.ts";
import { type KeyPair, keyPair } from "../../../lib/core/noise/x25519.ts";
import { Engine, ENGINE_SCRATCH_SIZE } from "../../../lib/core/engine/engine.ts";
import type { DatagramPort, ReceivedMessages, TunPort } from "../../../lib/core/engine/ports.ts";
import { Pipeline, PIPELINE_SCRATCH_SIZE } from "../../../lib/core/engine/pipeline.ts";
import { Router } from "../../../lib/core/routing/router.ts";
import { Device } from "../../../lib/core/wireguard/device.ts";
import { Carrier } from "../../../lib/core/transport/endpoint.ts";
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
const MAX_PACKET_SIZE = 65_535;
/** Messages that one end has room for. */
const MESSAGES = 16;
const LOCALHOST = 0x7f000001;

// Addresses and indices of 2^31 and more do not fit the engine's small integers, so they would show.
const SERVER = { inside: "192.168.77.1", outside: 0xcb007101, port: 51820 };
const CLIENT = { inside: "192.168.77.2", outside: 0xcb007102, port: 51821 };
const NEIGHBOUR = { inside: "192.168.77.3", outside: 0xcb007103, port: 51822 };

/** Monotonic ms at which everything begins, with a fraction as the real clock has it. */
export const START = 1_000_000.25;

/** A TUN that hands out one packet again and again, and counts what is written; it allocates nothing. */
class TemplateTun implements TunPort {
  /** Packets that were handed to the host, those of a super-packet one by one. */
  delivered = 0;
  /** Reads that are left. */
  reads = 0;
  readonly #bytes: Uint8Array;
  readonly #template: number;
  #templateLength = 0;
  #pieces = 0;

  constructor(arena: Arena) {
    this.#bytes = arena.bytes;
    this.#template = arena.allocate(MAX_PACKET_SIZE + 100);
  }

  /** Hands out these bytes from now on: a virtio-net header and a packet. */
  prepare(read: Uint8Array): void {
    this.#bytes.set(read, this.#template);
    this.#templateLength = read.length;
  }

  read(offset: number): number {
    if (this.reads === 0) return 0;
    this.reads--;
    this.#bytes.copyWithin(offset, this.#template, this.#template + this.#templateLength);
    return this.#templateLength;
  }

  beginWrite(): void {
    this.#pieces = 0;
  }

  addPiece(): void {
    this.#pieces++;
  }

  endWrite(): number {
    // Behind the virtio-net header, each piece is a packet.
    this.delivered += this.#pieces - 1;
    return this.#pieces;
  }

  awaitPackets(): void {}
}

/** A wire's end: neighbours of one size that are sent arrive in one message, as UDP_GRO merges them. It allocates nothing. */
class WireEnd implements DatagramPort {
  readonly carrier = Carrier.udp;
  readonly batch = MESSAGES;
  readonly messages: ReceivedMessages;
  /** The other ends. */
  readonly others: WireEnd[] = [];
  readonly #bytes: Uint8Array;
  /** Its address outside, int32, and port. */
  readonly #address: number;
  readonly #port: number;
  #waiting = 0;

  constructor(arena: Arena, place: typeof SERVER) {
    this.#bytes = arena.bytes;
    this.#address = place.outside | 0;
    this.#port = place.port;
    const buffers = arena.allocate(MESSAGES * RECEIVE_BUFFER_SIZE);
    this.messages = {
      offsets: Int32Array.from({ length: MESSAGES }, (_, i) => buffers + i * RECEIVE_BUFFER_SIZE),
      lengths: new Int32Array(MESSAGES),
      segmentSizes: new Int32Array(MESSAGES),
      addresses: new Int32Array(MESSAGES),
      ports: new Uint16Array(MESSAGES),
      sources: new Int32Array(MESSAGES).fill(this.#address),
      ecns: new Uint8Array(MESSAGES),
    };
  }

  receive(): number {
    const count = this.#waiting;
    this.#waiting = 0;
    return count;
  }

  take(): boolean {
    return true;
  }

  authenticated(): void {}

  send(queue: SendQueue, from: number, to: number): number {
    let next = from;
    while (next < to) {
      const address = queue.addresses[next]! | 0;
      for (let i = 0; i < this.others.length; i++) {
        const other = this.others[i]!;
        if (other.#address === address) next = other.#arrive(this, queue, next, to);
      }
    }
    return next;
  }

  /** Takes what makes one message. Returns the index behind it. */
  #arrive(sender: WireEnd, { addresses, lengths, offsets }: SendQueue, from: number, to: number) {
    const { messages } = this;
    const i = this.#waiting++;
    const size = lengths[from]!;
    const start = messages.offsets[i]!;
    const limit = start + RECEIVE_BUFFER_SIZE;
    const address = addresses[from]!;
    let at = start;
    let next = from;
    let last = size;
    while (
      next < to && last === size && lengths[next]! <= size && at + size <= limit &&
      addresses[next] === address
    ) {
      last = lengths[next]!;
      this.#bytes.copyWithin(at, offsets[next]!, offsets[next]! + last);
      at += last;
      next++;
    }
    messages.lengths[i] = at - start;
    messages.segmentSizes[i] = size;
    messages.addresses[i] = sender.#address;
    messages.ports[i] = sender.#port;
    return next;
  }

  probe(): boolean {
    return false;
  }

  flush(): boolean {
    return true;
  }

  awaitRoom(): void {}
}

/** One end of a tunnel: the engine on ports of memory. */
class End {
  readonly place: typeof SERVER;
  readonly identity: KeyPair;
  readonly drops = new DropCounters();
  readonly device: Device;
  readonly engine: Engine;
  readonly tun: TemplateTun;
  readonly wire: WireEnd;

  constructor(arena: Arena, aead: AeadProvider, place: typeof SERVER, mtu: number) {
    const random = new Random(place.port);
    const slotSize = SendQueue.slotSize(mtu + 32);
    const { drops } = this;
    this.place = place;
    this.identity = keyPair(new Uint8Array(32).fill(place.port));
    this.tun = new TemplateTun(arena);
    this.wire = new WireEnd(arena, place);
    const sendQueue = new SendQueue({
      offset: arena.allocate(SLOTS * slotSize),
      slots: SLOTS,
      slotSize,
    });
    const hostQueue = new PacketQueue(QUEUE_CAPACITY);
    this.device = new Device({
      memory: arena,
      sendQueue,
      identity: this.identity,
      aead,
      drops,
      mtu,
      random: (length) => random.bytes(length),
      wallClock: Date.now,
    });
    const { device } = this;
    const pipeline = new Pipeline({
      memory: arena,
      device,
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
    this.engine = new Engine({
      memory: arena,
      scratch: arena.allocate(ENGINE_SCRATCH_SIZE),
      device,
      pipeline,
      sendQueue,
      hostQueue,
      drops,
      outside: null,
      offload: true,
    });
    this.engine.attachTun(this.tun);
    this.engine.attach(this.wire);
  }

  /** Takes what has come by the wire, and sends what follows. */
  receive(now: number): void {
    this.engine.receive(this.wire, now);
    this.engine.flush(now);
  }
}

/** A server, two clients, sessions between them, and wires. */
class Network {
  readonly server: End;
  readonly client: End;
  readonly neighbour: End;
  readonly #arena = new Arena(10 << 20);

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
    client.wire.others.push(server.wire);
    server.wire.others.push(client.wire);
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
    client.engine.flush(now);
    for (const end of [server, client, server]) end.receive(now);
    server.device.events.length = client.device.events.length = 0;
    return client;
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
  ends: readonly [End, End, ...End[]],
  { read, reads, packets }: { read: Uint8Array; reads: number; packets: number },
): Path {
  const [first] = ends;
  const last = ends[ends.length - 1]!;
  return {
    packets,
    turn(now) {
      first.tun.prepare(read);
      first.tun.reads = reads;
      first.engine.readTun(now);
      for (let i = 1; i < ends.length; i++) ends[i]!.receive(now);
    },
    delivered: () => last.tun.delivered,
  };
}

/** A super-packet of TCP in `count` packets of `mtu` bytes, the last of which is one byte shorter. */
function tcpRead(from: End, to: End, { mtu, count }: { mtu: number; count: number }): Bytes {
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
function udpRead(from: End, to: End, payloadSize: number, segmentSize = 0): Bytes {
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
  const pushed = path([client, server], { read, reads: 32, packets: 32 });
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
    "TCP super-packets to the server": path(up, tcp(up, even)),
    "TCP super-packets to the client": path(down, tcp(down, even)),
    "TCP super-packets whose datagrams have an odd size": path(oddUp, tcp(oddUp, odd)),
    "UDP super-packets": path(up, {
      read: udpRead(client, server, 40 * 1001 - 1, 1001),
      reads: 1,
      packets: 40,
    }),
    "single datagrams with a partial checksum": path(up, single(client, server, 64)),
    "single datagrams of an odd size": path(oddUp, single(...oddUp, 1401 - 28)),
    "packets from client to client": path(through, single(client, neighbour, 500)),
    "packets from client to client, both with a limit": path(
      [limited.client, limited.server, limited.neighbour],
      single(limited.client, limited.neighbour, 500),
    ),
    "packets without a route": droppedPath(network),
    "datagrams through sockets": socketPath(resources),
  };
}
