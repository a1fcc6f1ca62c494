/** Tests that the coalescer merges datagrams of one UDP flow where the kernel takes such super-packets. */
import { Coalescer } from "../../../../lib/core/offload/coalescer.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { PacketQueue } from "../../../../lib/core/wire/packet_queue.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { coalesce, grouped, splitAgain } from "../../../support/offload/trains.ts";
import * as reference from "../../../support/offload/reference.ts";
import { buildTcp, buildUdp, type Bytes } from "../../../support/packets/packet_builder.ts";
import { buildUdp6 } from "../../../support/packets/packet_builder6.ts";
import { Random } from "../../../support/random.ts";

type UdpFields = NonNullable<Parameters<typeof buildUdp>[0]>;

interface TrainOptions {
  readonly count?: number;
  readonly size?: number;
  readonly lastSize?: number;
  readonly fields?: UdpFields;
  /** Further fields of single datagrams. */
  readonly change?: (index: number) => UdpFields;
}

/** Datagrams as one sender makes them one after the other. */
function train(
  { count = 4, size = 100, lastSize = size, fields = {}, change = () => ({}) }: TrainOptions = {},
): Bytes[] {
  return Array.from({ length: count }, (_, index) =>
    buildUdp({
      dontFragment: false,
      ...fields,
      identification: ((fields.identification ?? 7) + index) % 2 ** 16,
      payload: new Uint8Array(index === count - 1 ? lastSize : size).fill(index + 1),
      ...change(index),
    }));
}

Deno.test("group() merges a train of datagrams and prepare() makes the reference's super-packet of it", () => {
  const random = new Random(11);
  for (let round = 0; round < 500; round++) {
    const size = random.between(1, 1400);
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
      },
    });
    const written = coalesce(packets, random);
    assertEquals(written.length, 1);
    const { header, packet } = written[0]!;
    assertEquals({ header, packet }, reference.merge(packets));
    assertEquals(splitAgain(written[0]!), packets);
  }
});

Deno.test("group() forms the reference's groups when datagrams, segments and flows are mixed", () => {
  const random = new Random(12);
  let merged = 0;
  for (let round = 0; round < 1000; round++) {
    const ids = [0, 1, 2].map(() => random.below(2 ** 16));
    const packets = Array.from({ length: random.between(1, 60) }, () => {
      const flow = random.below(3);
      ids[flow] = (ids[flow]! + (random.chance(0.95) ? 1 : random.below(2))) % 2 ** 16;
      const fields = {
        sourcePort: 1000 + flow,
        destinationPort: 53,
        identification: ids[flow]!,
        dontFragment: random.chance(0.5),
        payload: random.bytes(random.chance(0.8) ? 50 : random.below(60)),
        options: random.chance(0.98) ? [] : [1, 1, 1, 1],
      };
      if (random.chance(0.02)) return buildUdp({ ...fields, checksum: random.pick([0, 1]) });
      // Another port: TCP of the same flow would share the place, and only lose merging.
      return random.chance(0.97) ? buildUdp(fields) : buildTcp({ ...fields, destinationPort: 80 });
    });
    const written = coalesce(packets, random);
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

const LAST: readonly (readonly [string, UdpFields])[] = [
  ["has no checksum", { checksum: 0 }],
  ["has a wrong checksum", { checksum: 1 }],
  ["has bytes behind it", { length: 80 }],
  ["is longer", { payload: new Uint8Array(101) }],
  ["has nothing in it", { payload: new Uint8Array(0) }],
  ["has another time to live", { timeToLive: 3 }],
  ["has another type of service", { typeOfService: 3 }],
  ["has another source port", { sourcePort: 3 }],
  ["has another destination", { destination: "10.9.9.9" }],
  ["has an id that is not the next", { identification: 99 }],
  ["has options", { options: [1, 1, 1, 1] }],
  ["has DF", { dontFragment: true }],
];

for (const [what, fields] of LAST) {
  Deno.test(`group() begins a new group when a datagram ${what}`, () => {
    const packets = train({ count: 3, change: (index) => index === 2 ? fields : {} });
    assertEquals(grouped(packets), [[0, 1], [2]]);
  });
}

Deno.test("group() takes any ids of datagrams that may not be divided", () => {
  const change = (index: number) => ({ identification: 1000 - 3 * index });
  assertEquals(grouped(train({ fields: { dontFragment: true }, change })), [[0, 1, 2, 3]]);
});

Deno.test("group() never puts a segment and a datagram together, whatever their ports", () => {
  const packets = [
    buildUdp({ sourcePort: 5, destinationPort: 6, payload: new Uint8Array(50) }),
    buildTcp({ sourcePort: 5, destinationPort: 6, payload: new Uint8Array(38) }),
    buildUdp({ sourcePort: 5, destinationPort: 6, payload: new Uint8Array(50) }),
  ];
  assertEquals(coalesce(packets).map(({ members }) => members), [[0], [1], [2]]);
});

Deno.test("group() leaves datagrams alone when the kernel takes no super-packets of UDP", () => {
  assertEquals(groupsIn(train(), false), [1, 1, 1, 1]);
  assertEquals(groupsIn(train(), true), [4]);
});

Deno.test("datagrams of IPv6 are merged as well, and have their lengths and checksum", () => {
  const packets = [1, 2, 3].map((value) =>
    buildUdp6({ payload: new Uint8Array(value === 3 ? 40 : 90).fill(value) })
  );
  assertEquals(groupsIn(packets, true), [3]);
  const other = buildUdp6({ payload: new Uint8Array(90), sourcePort: 9 });
  assertEquals(groupsIn([packets[0]!, other, packets[1]!], true), [2, 1]);
  assertEquals(groupsIn([packets[0]!, buildUdp({ payload: new Uint8Array(90) })], true), [1, 1]);
  const { header, packet } = mergedOf(packets);
  const whole = buildUdp6({
    payload: reference.concatenate(...packets.map((each) => each.subarray(48))),
  });
  assertEquals(
    header,
    reference.virtioHeader({
      flags: 1,
      type: 5,
      headerLength: 48,
      segmentSize: 90,
      checksumStart: 40,
      checksumOffset: 6,
    }),
  );
  // The kernel completes the checksum; all else is as one datagram of that length has it.
  const completed = reference.complete(packet, {
    flags: 1,
    type: 5,
    headerLength: 48,
    segmentSize: 90,
    checksumStart: 40,
    checksumOffset: 6,
  });
  assertEquals(completed, whole);
});

/** Packets of each group. */
function groupsIn(packets: readonly Bytes[], mergesUdp: boolean): number[] {
  const { coalescer } = group(packets, mergesUdp);
  return Array.from({ length: coalescer.count }, (_, index) => {
    let members = 1;
    const first = coalescer.firstPacket(index);
    for (let i = coalescer.nextPacket(first); i >= 0; i = coalescer.nextPacket(i)) members++;
    return members;
  });
}

/** The super-packet that all packets become. */
function mergedOf(packets: readonly Bytes[]): { header: Bytes; packet: Bytes } {
  const { coalescer, memory, queue } = group(packets, true);
  assertEquals([coalescer.count, coalescer.isUdp(0)], [1, true]);
  const headers = coalescer.prepare(0, 0);
  const pieces = packets.map((packet, index) => {
    const at = queue.offsets[index]!;
    return memory.bytes.slice(index === 0 ? at : at + headers, at + packet.length);
  });
  return { header: memory.bytes.slice(0, 10), packet: reference.concatenate(...pieces) };
}

function group(packets: readonly Bytes[], mergesUdp: boolean) {
  const memory = createMemory(64 + 2048 * packets.length);
  const queue = new PacketQueue(packets.length);
  packets.forEach((packet, index) => {
    memory.bytes.set(packet, 64 + 2048 * index);
    queue.push(64 + 2048 * index, packet.length);
  });
  const coalescer = new Coalescer(memory, packets.length);
  coalescer.group(queue, mergesUdp);
  return { coalescer, memory, queue };
}
