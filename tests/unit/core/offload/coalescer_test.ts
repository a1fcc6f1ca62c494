/**
 * Tests of `lib/core/offload/coalescer.ts`: it merges what the kernel's GRO would, nothing else, and keeps the order
 * within a flow.
 */
import { Coalescer } from "../../../../lib/core/offload/coalescer.ts";
import { PacketQueue } from "../../../../lib/core/wire/packet_queue.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import {
  buildIcmp,
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
  type TcpFields,
} from "../../../support/packets/packet_builder.ts";
import { Random } from "../../../support/random.ts";
import * as reference from "../../../support/offload/reference.ts";
import {
  CAPACITY,
  coalesce,
  grouped,
  membersOf,
  splitAgain,
  train,
} from "../../../support/offload/trains.ts";

const { FIN, PSH, ACK, CWR } = reference;
const RST = 0x04;

Deno.test("group() merges a train and prepare() makes the reference's super-packet of it", () => {
  const random = new Random(1);
  for (let round = 0; round < 500; round++) {
    const size = random.between(1, 1460);
    const packets = train({
      count: random.between(2, 20),
      size,
      lastSize: random.between(1, size),
      fields: {
        source: `10.66.${random.below(256)}.2`,
        destination: `192.168.${random.below(256)}.1`,
        typeOfService: random.below(256),
        timeToLive: random.below(256),
        dontFragment: random.chance(0.5),
        identification: random.below(2 ** 16),
        sourcePort: random.below(2 ** 16),
        destinationPort: random.below(2 ** 16),
        sequenceNumber: random.uint32(),
        acknowledgmentNumber: random.uint32(),
        window: random.below(2 ** 16),
        tcpOptions: random.bytes(4 * random.below(11)),
      },
    });
    const written = coalesce(packets, { random });
    assertEquals(written.length, 1);
    const { header, packet } = written[0]!;
    assertEquals({ header, packet }, reference.merge(packets));
    assertEquals(splitAgain(written[0]!), packets);
  }
});

/** A disorderly mixture of flows: what real ones do, and what they should not. */
function mixture(random: Random): Bytes[] {
  const sequenceNumbers = [0, 1, 2].map(() => random.uint32());
  const ids = sequenceNumbers.map(() => random.below(2 ** 16));
  return Array.from({ length: random.between(1, 60) }, () => {
    const flow = random.below(3);
    const size = random.chance(0.8) ? 50 : random.below(60);
    const sequenceNumber = (sequenceNumbers[flow]! + (random.chance(0.05) ? 1 : 0)) % 2 ** 32;
    sequenceNumbers[flow] = (sequenceNumber + size) % 2 ** 32;
    ids[flow] = (ids[flow]! + (random.chance(0.95) ? 1 : random.below(2))) % 2 ** 16;
    const packet = buildTcp({
      sourcePort: 1000 + flow,
      sequenceNumber,
      identification: ids[flow]!,
      dontFragment: random.chance(0.98),
      window: random.chance(0.97) ? 500 : 501,
      flags: random.chance(0.9) ? ACK : random.pick([ACK | PSH, ACK | FIN, RST, ACK | CWR, 0]),
      tcpOptions: random.chance(0.97) ? [1, 1, 1, 1] : [1, 1, 1, 0],
      options: random.chance(0.98) ? [] : [1, 1, 1, 1],
      payload: random.bytes(size),
    });
    if (random.chance(0.02)) packet[packet.length - 1]! ^= 1;
    if (random.chance(0.96)) return packet;
    const [part] = fragment(buildTcp({ sourcePort: 1000 + flow, payload: packet }), 60);
    return random.pick([buildUdp({ payload: packet }), buildIcmp(), part!]);
  });
}

Deno.test("group() forms the reference's groups when flows are mixed and disorderly", () => {
  const random = new Random(2);
  let merged = 0;
  for (let round = 0; round < 1500; round++) {
    const packets = mixture(random);
    const written = coalesce(packets, { random });
    assertEquals(written.map(({ members }) => [...members]), reference.groups(packets));
    for (const each of written) {
      const members = each.members.map((index) => packets[index]!);
      if (each.header === null) assertEquals(each.packet, members[0]);
      else assertEquals({ header: each.header, packet: each.packet }, reference.merge(members));
      merged += members.length - 1;
    }
  }
  assert(merged > 5000, `${merged} packets were merged`);
});

Deno.test("group() loses and reorders nothing when flows share a place", () => {
  // Far more flows than places: most share theirs with others.
  const random = new Random(3);
  for (let round = 0; round < 50; round++) {
    const flows = Array.from({ length: 40 }, (_, flow) =>
      train({
        count: 6,
        size: 20,
        fields: {
          sourcePort: 1000 + flow * random.between(1, 200),
          destination: `10.66.${random.below(4)}.${random.between(1, 250)}`,
        },
      }));
    const packets = interleave(random, flows);
    const written = coalesce(packets, { random });
    const members = written.flatMap((group) => [...group.members]);
    assertEquals(members.toSorted((a, b) => a - b), packets.map((_, index) => index));
    const again = written.flatMap(splitAgain);
    for (const flow of flows) {
      const key = flow[0]!.subarray(12, 24).join();
      assertEquals(again.filter((each) => each.subarray(12, 24).join() === key), flow);
    }
  }
});

/** Mixes trains, each in its order. */
function interleave(random: Random, trains: readonly Bytes[][]): Bytes[] {
  const left = trains.map((packets) => [...packets]);
  const mixed: Bytes[] = [];
  while (left.some((packets) => packets.length > 0)) {
    const next = random.pick(left.filter((packets) => packets.length > 0)).shift();
    if (next !== undefined) mixed.push(next);
  }
  return mixed;
}

Deno.test("group() keeps two flows apart when their packets alternate", () => {
  const one = train({ count: 3 });
  for (const fields of [{ sourcePort: 5 }, { destinationPort: 5 }, { source: "10.66.77.9" }]) {
    const other = train({ count: 3, fields });
    const packets = [one[0]!, other[0]!, one[1]!, other[1]!, one[2]!, other[2]!];
    assertEquals(grouped(packets), [[0, 2, 4], [1, 3, 5]]);
  }
});

/** What exchanges places in the exclusive or by which a flow's place is chosen: the place stays the same. */
const COLLISIONS: readonly (readonly [TcpFields, TcpFields])[] = [
  [{ source: "10.66.77.2", destination: "10.66.77.1" }, {
    source: "10.66.77.1",
    destination: "10.66.77.2",
  }],
  [{ sourcePort: 1, destinationPort: 2 }, { sourcePort: 2, destinationPort: 1 }],
];

Deno.test("group() keeps two flows apart when they share a place, at the price of merging", () => {
  for (const [fields, otherFields] of COLLISIONS) {
    const one = train({ fields });
    // But for addresses and ports, each packet is the continuation of the one before it.
    const other = train({ fields: otherFields });
    assertEquals(membersOf([one[0]!, other[1]!, one[2]!, other[3]!]), [[0], [1], [2], [3]]);
  }
});

Deno.test("group() leaves packets alone when their checksum is wrong", () => {
  for (const wrong of [0, 1, 2, 3]) {
    const packets = train();
    packets[wrong]![60]! ^= 1;
    const written = coalesce(packets);
    assertEquals(written.map(({ members }) => [...members]), reference.groups(packets));
    // It stays wrong, so that the host can see it.
    const alone = written.find(({ members }) => members.includes(wrong));
    assertEquals(alone, { members: [wrong], header: null, packet: packets[wrong]! });
  }
});

Deno.test("group() goes on when IP ids pass 2^16 and sequence numbers 2^32", () => {
  const fields = { identification: 0xfffe, sequenceNumber: 2 ** 32 - 250 };
  const packets = train({ fields });
  assertEquals(grouped(packets), [[0, 1, 2, 3]]);
  assertEquals(splitAgain(coalesce(packets)[0]!), packets);
});

Deno.test("group() begins a new group when one has 64 packets", () => {
  const groups = grouped(train({ count: 130, size: 10 }));
  assertEquals(groups.map(({ length }) => length), [64, 64, 2]);
});

Deno.test("group() begins a new group when the next packet would make it longer than 65,535 bytes", () => {
  // 40 bytes of headers and 5 * 13,099 of payload are 65,535.
  assertEquals(grouped(train({ count: 7, size: 13_099 })), [[0, 1, 2, 3, 4], [5, 6]]);
  assertEquals(grouped(train({ count: 7, size: 13_100 })), [[0, 1, 2, 3], [4, 5, 6]]);
  // One byte too many: 40 and 4 * 16,374.
  assertEquals(grouped(train({ count: 4, size: 16_374 })), [[0, 1, 2], [3]]);
});

Deno.test("group() lets nothing overtake a fragment", () => {
  const packets = train({ count: 4 });
  const parts = fragment(buildTcp({ sourcePort: 9, payload: new Uint8Array(100) }), 60);
  for (const part of parts) {
    const mixed = [packets[0]!, packets[1]!, part, packets[2]!, packets[3]!];
    assertEquals(grouped(mixed), [[0, 1], [2], [3, 4]]);
  }
});

Deno.test("group() leaves ICMP, and UDP that is no train, alone, and merges TCP around them", () => {
  const packets = train({ count: 2 });
  const udp = buildUdp({ payload: new Uint8Array(100) });
  const mixed = [packets[0]!, udp, buildIcmp(), packets[1]!, udp];
  assertEquals(grouped(mixed), [[0, 3], [1], [2], [4]]);
});

Deno.test("group() starts from an empty state when it is called again, whatever was open", () => {
  const [first, second] = train({ count: 2 });
  const memory = createMemory(1000);
  const queue = new PacketQueue(CAPACITY);
  const coalescer = new Coalescer(memory, CAPACITY);
  [buildIcmp(), first!, second!].forEach((packet, index) => {
    memory.bytes.set(packet, 200 * index);
    if (index < 2) queue.push(200 * index, packet.length);
  });
  coalescer.group(queue, true);
  assertEquals(coalescer.count, 2);
  queue.clear();
  queue.push(400, second!.length);
  coalescer.group(queue, true);
  assertEquals([coalescer.count, coalescer.firstPacket(0), coalescer.nextPacket(0)], [1, 0, -1]);
});

Deno.test("group() makes no groups of no packets", () => {
  assertEquals(coalesce([]), []);
});
