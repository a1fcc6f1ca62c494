/** Tests that the coalescer merges packets of IPv6 as it does those of IPv4, and never one with the other. */
import { Coalescer } from "../../../../lib/core/offload/coalescer.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { PacketQueue } from "../../../../lib/core/wire/packet_queue.ts";
import { assertEquals } from "../../../support/assert.ts";
import { buildTcp, type Bytes } from "../../../support/packets/packet_builder.ts";
import {
  buildTcp6,
  buildUdp6,
  transportChecksum6,
} from "../../../support/packets/packet_builder6.ts";
import * as reference from "../../../support/offload/reference.ts";

const SIZE = 100;
type TcpFields = NonNullable<Parameters<typeof buildTcp6>[0]>;

/** Segments of one flow, one behind the other. */
function train(count: number, fields: TcpFields = {}): Bytes[] {
  return Array.from({ length: count }, (_, i) =>
    buildTcp6({
      ...fields,
      sequenceNumber: (fields.sequenceNumber ?? 1) + i * SIZE,
      payload: new Uint8Array(SIZE).fill(i + 1),
    }));
}

interface Written {
  readonly members: number[];
  readonly header: Bytes;
  readonly packet: Bytes;
}

function coalesce(packets: readonly Bytes[]): Written[] {
  const memory = createMemory(64 + packets.reduce((sum, { length }) => sum + length, 0));
  const queue = new PacketQueue(packets.length);
  let at = 64;
  for (const packet of packets) {
    memory.bytes.set(packet, at);
    queue.push(at, packet.length);
    at += packet.length;
  }
  const coalescer = new Coalescer(memory, packets.length);
  coalescer.group(queue, true);
  return Array.from({ length: coalescer.count }, (_, group) => {
    const first = coalescer.firstPacket(group);
    const headers = coalescer.isMerged(group) ? coalescer.prepare(group, 0) : 0;
    const members = [first];
    for (let i = coalescer.nextPacket(first); i >= 0; i = coalescer.nextPacket(i)) members.push(i);
    const pieces = members.map((member, i) => {
      const offset = queue.offsets[member]!;
      const from = i === 0 ? offset : offset + headers;
      return memory.bytes.slice(from, offset + queue.lengths[member]!);
    });
    return { members, header: memory.bytes.slice(0, 10), packet: reference.concatenate(...pieces) };
  });
}

function grouped(packets: readonly Bytes[]): number[][] {
  return coalesce(packets).map(({ members }) => members);
}

Deno.test("a train is merged to the packet that a sender would have made, for the kernel to complete", () => {
  const packets = train(5, { tcpOptions: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], trafficClass: 2 });
  const [merged, ...more] = coalesce(packets);
  assertEquals(more, []);
  assertEquals(
    merged!.header,
    reference.virtioHeader({
      flags: 1,
      type: 4,
      headerLength: 72,
      segmentSize: SIZE,
      checksumStart: 40,
      checksumOffset: 16,
    }),
  );
  const payload = reference.concatenate(...packets.map((packet) => packet.subarray(72)));
  const expected = buildTcp6({
    tcpOptions: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
    trafficClass: 2,
    payload,
    // Of the pseudo-header alone, whose length is the segment's.
    checksum: partialChecksum(32 + payload.length),
  });
  assertEquals(merged!.packet, expected);
});

/** The sum of the pseudo-header: that over a segment of zeros. */
function partialChecksum(length: number): number {
  return 0xffff - transportChecksum6({}, 6, new Uint8Array(length));
}

Deno.test("a packet that is no continuation begins a group of its own", () => {
  const [first, second] = train(2);
  const other = (fields: TcpFields) =>
    buildTcp6({ sequenceNumber: 1 + SIZE, payload: new Uint8Array(SIZE), ...fields });
  assertEquals(grouped([first!, second!]), [[0, 1]]);
  const differences: TcpFields[] = [
    { source: "fd00:77::3" },
    { destination: "fd00:78::1" },
    { sourcePort: 1 },
    { sequenceNumber: 2 + SIZE },
    { trafficClass: 1 },
    { flowLabel: 1 },
    { hopLimit: 63 },
    { window: 1 },
    { flags: 0x12 },
    { checksum: 1 },
    { extensions: [[60, [0, 0, 1, 4, 0, 0, 0, 0]]] },
  ];
  for (const fields of differences) {
    assertEquals(grouped([first!, other(fields)]), [[0], [1]], JSON.stringify(fields));
  }
});

/** Segments of IPv4, one behind the other. */
function train4(count: number, sourcePort: number): Bytes[] {
  return Array.from({ length: count }, (_, i) =>
    buildTcp({
      sourcePort,
      sequenceNumber: 1 + i * SIZE,
      identification: i,
      payload: new Uint8Array(SIZE),
    }));
}

Deno.test("flows of both families that are mixed are merged apart", () => {
  const [six, four] = [train(3), train4(3, 41_000)];
  const mixed = [six[0]!, four[0]!, six[1]!, four[1]!, four[2]!, six[2]!];
  assertEquals(grouped(mixed), [[0, 2, 5], [1, 3, 4]]);
});

Deno.test("a packet of one family never joins the other's, where both have one place", () => {
  const [six, four] = [train(2), train4(2, 40_000)];
  assertEquals(grouped([six[0]!, four[1]!]), [[0], [1]]);
  assertEquals(grouped([four[0]!, six[1]!]), [[0], [1]]);
});

Deno.test("nothing overtakes a fragment, and UDP is left alone", () => {
  const packets = train(4);
  const part = buildUdp6({
    extensions: [[44, [0, 0, 0, 1, 0, 0, 0, 1]]],
    payload: new Uint8Array(16),
  });
  assertEquals(grouped([...packets.slice(0, 2), part, ...packets.slice(2)]), [[0, 1], [2], [3, 4]]);
  assertEquals(grouped([packets[0]!, buildUdp6(), packets[1]!]), [[0, 2], [1]]);
});
