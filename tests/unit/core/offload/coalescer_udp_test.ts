/** Tests that the coalescer merges datagrams of one UDP flow where the kernel takes such super-packets. */
import { assert, assertEquals } from "../../../support/assert.ts";
import {
  coalesce,
  grouped,
  membersOf,
  splitAgain,
  trainOfDatagrams,
} from "../../../support/offload/trains.ts";
import * as reference from "../../../support/offload/reference.ts";
import { buildTcp, buildUdp, type UdpFields } from "../../../support/packets/packet_builder.ts";
import { buildUdp6 } from "../../../support/packets/packet_builder6.ts";
import { Random } from "../../../support/random.ts";

Deno.test("group() merges a train of datagrams and prepare() makes the reference's super-packet of it", () => {
  const random = new Random(11);
  for (let round = 0; round < 500; round++) {
    const size = random.between(1, 1400);
    const packets = trainOfDatagrams({
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
    const written = coalesce(packets, { random });
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
    const packets = trainOfDatagrams({ count: 3, change: (index) => index === 2 ? fields : {} });
    assertEquals(grouped(packets), [[0, 1], [2]]);
  });
}

Deno.test("group() takes any ids of datagrams that may not be divided", () => {
  const change = (index: number) => ({ identification: 1000 - 3 * index });
  const packets = trainOfDatagrams({ fields: { dontFragment: true }, change });
  assertEquals(grouped(packets), [[0, 1, 2, 3]]);
});

Deno.test("group() never puts a segment and a datagram together, whatever their ports", () => {
  const packets = [
    buildUdp({ sourcePort: 5, destinationPort: 6, payload: new Uint8Array(50) }),
    buildTcp({ sourcePort: 5, destinationPort: 6, payload: new Uint8Array(38) }),
    buildUdp({ sourcePort: 5, destinationPort: 6, payload: new Uint8Array(50) }),
  ];
  assertEquals(membersOf(packets), [[0], [1], [2]]);
});

Deno.test("group() leaves datagrams alone when the kernel takes no super-packets of UDP", () => {
  const packets = trainOfDatagrams();
  assertEquals(membersOf(packets, { mergesUdp: false }), [[0], [1], [2], [3]]);
  assertEquals(membersOf(packets, { mergesUdp: true }), [[0, 1, 2, 3]]);
});

Deno.test("datagrams of IPv6 are merged as well, and have their lengths and checksum", () => {
  const packets = [1, 2, 3].map((value) =>
    buildUdp6({ payload: new Uint8Array(value === 3 ? 40 : 90).fill(value) })
  );
  assertEquals(membersOf(packets), [[0, 1, 2]]);
  const other = buildUdp6({ payload: new Uint8Array(90), sourcePort: 9 });
  assertEquals(membersOf([packets[0]!, other, packets[1]!]), [[0, 2], [1]]);
  assertEquals(membersOf([packets[0]!, buildUdp({ payload: new Uint8Array(90) })]), [[0], [1]]);
  const { header, packet } = coalesce(packets)[0]!;
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
