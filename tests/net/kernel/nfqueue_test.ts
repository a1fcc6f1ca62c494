/** Tests of `ffi/netlink/nftables/nfqueue.ts` with the rules that `installQueue()` makes. */
import { Arena } from "../../../ffi/arena.ts";
import { EAGAIN, EPERM } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { NfQueue } from "../../../ffi/netlink/nftables/nfqueue.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import { heapGrowth } from "../../support/heap_growth.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { buildIcmp, buildTcp, buildUdp, fragment } from "../../support/packets/packet_builder.ts";
import {
  addressOf,
  type Captured,
  DEVICE,
  drain,
  GATEWAY,
  hasGoodTransportChecksum,
  Injector,
  isReset,
  isUnreachable,
  layOutskirts,
  OUTSIDE,
  partialTcp,
  sendUdp,
  sendWithVnetHeader,
  Tap,
  u16,
  VNET_HEADER_SIZE,
} from "../support/outside.ts";
import { installQueue } from "../../../lib/host/firewall/gateway_tables.ts";

const WITH_PING = { programs: ["ping"] };
const QUEUE = 0x5650;
const PORT = 40_000;
const RANGE = { first: PORT, last: 60_000 };
/** As many as the engine takes to optimise all of the path, also on a busy machine. */
const CALLS = 30_000;
const PORTS = { tcp: [RANGE], udp: [RANGE] };

/** A gateway that queues, and the reader of its queues. */
class Reader implements Disposable {
  readonly queue: NfQueue;
  readonly #namespace: TestNamespace;
  readonly #arena = new Arena(4 * 1024 * 1024);
  readonly #nftables: Nftables;
  readonly #seen: Captured[] = [];

  constructor(namespace: TestNamespace, { length = 1000, batch = 8 } = {}) {
    const libc = openLibc();
    this.#namespace = namespace;
    this.#nftables = namespace.inside(() => Nftables.open(libc));
    installQueue(this.#nftables, {
      table: "vpn_wg0",
      device: DEVICE,
      address: addressOf(GATEWAY),
      ports: PORTS,
      queue: QUEUE,
    });
    const options = { queue: QUEUE, length, batch, bufferSize: 8 * 1024 * 1024 };
    this.queue = namespace.inside(() => NfQueue.open(libc, this.#arena, options));
  }

  /** All that has come since this was opened. */
  seen(): readonly Captured[] {
    this.#seen.push(...drain(this.queue, this.#arena));
    return this.#seen;
  }

  /** The packets of one protocol, of which there are to be `count`, perhaps soon. */
  waitFor(protocol: number, count: number): Promise<Captured[]> {
    return eventually(() => {
      const found = this.seen().filter(({ packet }) => packet[9] === protocol);
      return found.length >= count ? found : null;
    });
  }

  drops(): number {
    return this.#namespace.inside(() => this.queue.drops());
  }

  [Symbol.dispose](): void {
    this.queue[Symbol.dispose]();
    this.#nftables[Symbol.dispose]();
  }
}

/** Pings the gateway and waits for the answer, which comes after whatever else the gateway has sent. */
async function afterPing(reader: Reader, injector: Injector, tap: Tap): Promise<void> {
  const identifier = crypto.getRandomValues(new Uint16Array(1))[0]!;
  injector.send(buildIcmp({ source: OUTSIDE, destination: GATEWAY, identifier }));
  await eventually(() => {
    reader.seen();
    const answered = tap.seen().some(({ packet }) =>
      packet[9] === 1 && packet[20] === 0 && u16(packet, 24) === identifier
    );
    return answered ? true : null;
  });
}

const segment = (port: number, identification = 0x1234) =>
  buildTcp({
    source: OUTSIDE,
    destination: GATEWAY,
    sourcePort: 80,
    destinationPort: port,
    flags: 0x12,
    identification,
  });
const datagram = (port: number, payload = new Uint8Array(8)) =>
  buildUdp({ source: OUTSIDE, destination: GATEWAY, destinationPort: port, payload });

netTest(
  "NfQueue takes the NAT's packets whole, and the gateway answers none of them",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using reader = new Reader(gateway);
    using tap = new Tap(outside);
    using injector = new Injector(outside);
    const packets = [segment(PORT), datagram(PORT), segment(60_000), datagram(50_000)];
    injector.send(...packets);
    await afterPing(reader, injector, tap);
    const taken = reader.seen().filter(({ packet }) => packet[9] !== 1);
    assertEquals(taken.map(({ packet }) => packet), packets);
    assertEquals(taken[0]!.header, new Uint8Array(VNET_HEADER_SIZE));
    const answers = tap.seen().map(({ packet }) => packet);
    assertEquals(answers.filter((packet) => isReset(packet) || isUnreachable(packet)), []);

    // Other ports are the host's.
    injector.send(segment(PORT - 1), datagram(60_001));
    await afterPing(reader, injector, tap);
    assertEquals(reader.seen().filter(({ packet }) => packet[9] !== 1).length, packets.length);
    assertEquals(tap.seen().filter(({ packet }) => isReset(packet)).length, 1);
    assertEquals(tap.seen().filter(({ packet }) => isUnreachable(packet)).length, 1);
  },
  WITH_PING,
);

netTest("NfQueue has a copy of ICMP, which reaches the host all the same", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using reader = new Reader(gateway);
  using tap = new Tap(outside);
  using injector = new Injector(outside);
  await afterPing(reader, injector, tap);
  const [request] = await reader.waitFor(1, 1);
  assertEquals([request!.packet[20], request!.packet.length], [8, 28]);
}, WITH_PING);

netTest(
  "NfQueue has all fragments of a packet for the NAT, the host's own are assembled",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using reader = new Reader(gateway);
    using tap = new Tap(outside);
    using injector = new Injector(outside);
    const taken = fragment(datagram(PORT, new Uint8Array(3000)), 1500);
    injector.send(...taken);
    const found = await reader.waitFor(17, taken.length);
    assertEquals(found.map(({ packet }) => packet), taken);
    // A closed port of the host's: it can say so only once the datagram is assembled.
    injector.send(...fragment(datagram(PORT - 1, new Uint8Array(3000)), 1500));
    await afterPing(reader, injector, tap);
    assertEquals(tap.seen().filter(({ packet }) => isUnreachable(packet)).length, 1);
  },
  WITH_PING,
);

netTest(
  "NfQueue.receive() keeps order over many batches, and settles what it has taken",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using reader = new Reader(gateway, { length: 300 });
    using injector = new Injector(outside);
    // More in all than the queue holds: unsettled packets would fill it.
    for (let round = 0; round < 5; round++) {
      const numbers = Array.from({ length: 200 }, (_, i) => round * 200 + i + 1);
      injector.send(...numbers.map((number) => segment(PORT, number)));
      const taken = await reader.waitFor(6, (round + 1) * 200);
      assertEquals(taken.slice(-200).map(({ packet }) => u16(packet, 4)), numbers);
    }
    assertEquals(reader.drops(), 0);
  },
  WITH_PING,
);

netTest("NfQueue drops what does not fit its queue, and counts it", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using reader = new Reader(gateway, { length: 10 });
  using tap = new Tap(outside);
  using injector = new Injector(outside);
  injector.send(...new Array<Uint8Array>(50).fill(segment(PORT)));
  await eventually(() => reader.drops() === 40 ? true : null);
  await afterPing(reader, injector, tap);
  assertEquals((await reader.waitFor(6, 10)).length, 10);
  assertEquals(tap.seen().filter(({ packet }) => isReset(packet)), []);
  injector.send(segment(PORT));
  assertEquals((await reader.waitFor(6, 11)).length, 11);
}, WITH_PING);

netTest("NfQueue splits merged segments, and completes their checksums", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using reader = new Reader(gateway);
  const merged = partialTcp({ destinationPort: PORT, payloadSize: 40_000, segmentSize: 1448 });
  sendWithVnetHeader({ from: outside, to: gateway }, merged.header, merged.packet);
  const count = Math.ceil(40_000 / 1448);
  const segments = await reader.waitFor(6, count);
  assertEquals(segments.length, count);
  assertEquals(
    segments.map(({ packet }) => packet.length - 40),
    [...new Array<number>(count - 1).fill(1448), 40_000 % 1448],
  );
  for (const { packet } of segments) assert(hasGoodTransportChecksum(packet));
  const payload = segments.flatMap(({ packet }) => [...packet.subarray(40)]);
  assertEquals(Uint8Array.from(payload), merged.packet.slice(40));
}, WITH_PING);

netTest(
  "NfQueue completes the partial checksum of a packet from the same machine",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using reader = new Reader(gateway);
    sendUdp(outside, { address: GATEWAY, port: PORT }, new Uint8Array(1200).fill(7));
    const [taken] = await reader.waitFor(17, 1);
    assertEquals(taken!.packet.length, 1228);
    assert(hasGoodTransportChecksum(taken!.packet));
  },
  WITH_PING,
);

netTest("nothing gets past a queue that nobody reads", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using reader = new Reader(gateway);
  reader.queue[Symbol.dispose]();
  using tap = new Tap(outside);
  using injector = new Injector(outside);
  using other = new Injector(gateway);
  injector.send(segment(PORT), datagram(PORT));
  // The gateway's pings do not come back either, so something of its own has to mark the end.
  other.send(buildUdp({ source: GATEWAY, destination: OUTSIDE, destinationPort: 9 }));
  await tap.waitFor((packet) => packet[9] === 17);
  assertEquals(tap.seen().length, 1);
}, WITH_PING);

netTest("NfQueue.open() throws EPERM when somebody else reads the queue", (topology) => {
  const namespace = topology.namespace("taken");
  const libc = openLibc();
  const options = { queue: 5, length: 10, batch: 1, bufferSize: 65536 };
  const open = (queue: number) =>
    namespace.inside(() => NfQueue.open(libc, new Arena(1024 * 1024), { ...options, queue }));
  {
    using _queue = open(5);
    for (const number of [4, 5, 6]) {
      const error = assertThrows(() => open(number), NetlinkError);
      const taken = number === 4 ? 5 : number;
      assertEquals(error.errno, EPERM);
      assertEquals(
        error.message,
        `Cannot read netfilter queue ${taken}: operation not permitted (EPERM): ` +
          "another process may be reading it; it requires CAP_NET_ADMIN (root has it)",
      );
    }
  }
  using again = open(5);
  assertEquals(again.receive(), -EAGAIN);
});

netTest("NfQueue.receive() allocates nothing", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using reader = new Reader(gateway, { batch: 4 });
  using injector = new Injector(outside);
  injector.send(segment(PORT), datagram(PORT), segment(PORT));
  let taken = 0;
  const grown = heapGrowth(CALLS, () => {
    injector.sendAgain();
    const count = reader.queue.receive();
    if (count > 0) taken += count;
  });
  assert(taken > 5 * CALLS, `${taken} packets`);
  assert(grown < CALLS * 8, `${grown} bytes`);
}, WITH_PING);
