/** Packet paths: the paths of packets through a network in memory, and through sockets, to be measured and tested. */
import { Arena } from "../../../ffi/arena.ts";
import { BootClock } from "../../../ffi/clock.ts";
import { Epoll, EPOLLIN } from "../../../ffi/epoll.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { TargetKind } from "../../../lib/core/access/access_items.ts";
import { SendQueue } from "../../../lib/core/transport/send_queue.ts";
import { Transport } from "../../../lib/core/transport/transport.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { buildTcp, buildUdp, type Bytes } from "../packets/packet_builder.ts";
import { buildTcp6, buildUdp6 } from "../packets/packet_builder6.ts";
import { accessItems } from "../access/items.ts";
import { type End, Network, START } from "./memory_network.ts";
import { virtioHeader } from "./reference.ts";

const LOCALHOST = 0x7f000001;

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
      first.endTurn(now);
      for (let i = 1; i < ends.length; i++) ends[i]!.receive(now);
    },
    delivered: () => last.tun.delivered,
  };
}

/** Datagrams from client to client that are over the limits of both: they wait, and are let go in the time after. */
function waitingPath(mtu: number): Path {
  // In 10 ms, half of a turn's packets, of 1,029 bytes; a session is good for more turns than there are.
  const { client, server, neighbour } = new Network({ mtu, rateLimit: 80 * 1_029 * 8 * 100 });
  const pushed = path([client, server, neighbour], {
    read: udpRead(client, neighbour, 40 * 1_001, 1_001),
    reads: 4,
    packets: 160,
  });
  const time = Float64Array.of(START);
  return {
    ...pushed,
    turn() {
      pushed.turn(time[0]!);
      for (let i = 0; i < 5; i++) {
        time[0]! += 4;
        server.endTurn(time[0]!);
        neighbour.receive(time[0]!);
      }
    },
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

/** The same of IPv6. */
function tcpRead6(from: End, to: End, { mtu, count }: { mtu: number; count: number }): Bytes {
  return Uint8Array.from([
    ...virtioHeader({ flags: 1, type: 4, segmentSize: mtu - 72 }),
    ...buildTcp6({
      ...between6(from, to),
      tcpOptions: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
      sequenceNumber: 0xffff_0000,
      payload: new Uint8Array((mtu - 72) * count - 1),
    }),
  ]);
}

/** A datagram of IPv6 whose checksum is to be completed. */
function udpRead6(from: End, to: End, payloadSize: number): Bytes {
  return Uint8Array.from([
    ...virtioHeader({ flags: 1, checksumStart: 40, checksumOffset: 6 }),
    ...buildUdp6({ ...between6(from, to), payload: new Uint8Array(payloadSize) }),
  ]);
}

function between6(from: End, to: End): { source: string; destination: string } {
  return { source: from.place.inside6, destination: to.place.inside6 };
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

/** Packets that the server has no route for: each is opened, judged and counted. */
function droppedPath(network: Network): Path {
  const { client, server } = network;
  const packet = buildUdp({ source: client.place.inside, destination: "198.51.100.1" });
  const read = Uint8Array.from([...virtioHeader({}), ...packet]);
  const pushed = path([client, server], { read, reads: 32, packets: 32 });
  return { ...pushed, delivered: () => server.drops.total };
}

/** Packets that access rules deny: each is opened, judged, counted, and some of them are answered. */
function deniedPath({ client, server, neighbour }: Network): Path {
  const read = udpRead(client, neighbour, 500);
  const pushed = path([client, server], { read, reads: 32, packets: 32 });
  return { ...pushed, delivered: () => server.drops.counts[DropReason.accessDenied]! };
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
        const source = i < 32 ? 0 : LOCALHOST;
        const path = queue.paths.intern(LOCALHOST, receiver.port, source, Transport.udp);
        queue.commit(i < 40 ? 1452 : 1000 + i, path);
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
  const network = new Network({ mtu: even });
  const oddNetwork = new Network({ mtu: odd });
  // The limit is never reached, for what is dropped proves nothing, but each packet is counted.
  const limited = new Network({ mtu: even, rateLimit: 1_000_000_000_000 });
  const shared = new Network({ mtu: even, rateLimit: 1_000_000_000_000, hasWorker: true });
  const ruled = new Network({
    mtu: even,
    access: accessItems(1000, TargetKind.any),
    isMetered: true,
  });
  const forbidden = new Network({ mtu: even, access: accessItems(1000, TargetKind.lan) });
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
    "packets from client to client by a packet worker, both with a limit": path(
      [shared.client, shared.server, shared.neighbour],
      single(shared.client, shared.neighbour, 500),
    ),
    "packets from client to client that wait, both with a limit": waitingPath(even),
    "packets from client to client, both with access rules, counted by flow": path(
      [ruled.client, ruled.server, ruled.neighbour],
      single(ruled.client, ruled.neighbour, 500),
    ),
    "TCP super-packets to a client with access rules, counted by flow": path(
      [ruled.server, ruled.client],
      tcp([ruled.server, ruled.client], even),
    ),
    "packets that access rules deny": deniedPath(forbidden),
    "TCP super-packets from a packet worker": path(
      [shared.server, shared.client],
      tcp([shared.server, shared.client], even),
    ),
    "TCP super-packets of IPv6": path(up, {
      read: tcpRead6(client, server, { mtu: even, count: 44 }),
      reads: 1,
      packets: 44,
    }),
    "packets of IPv6 from client to client, both with access rules, counted by flow": path(
      [ruled.client, ruled.server, ruled.neighbour],
      { read: udpRead6(ruled.client, ruled.neighbour, 500), reads: 64, packets: 64 },
    ),
    "packets of IPv6 from client to client": path(through, {
      read: udpRead6(client, neighbour, 500),
      reads: 64,
      packets: 64,
    }),
    "packets without a route": droppedPath(network),
    "datagrams through sockets": socketPath(resources),
  };
}
