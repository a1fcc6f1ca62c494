/** Tests that the coalescer merges packets of IPv6 as it does those of IPv4, and never one with the other. */
import { assertEquals } from "../../../support/assert.ts";
import {
  buildTcp6,
  buildUdp6,
  type TcpFields6,
  transportChecksum6,
} from "../../../support/packets/packet_builder6.ts";
import * as reference from "../../../support/offload/reference.ts";
import {
  coalesce,
  membersOf,
  train,
  train6,
  TRAIN_PAYLOAD,
} from "../../../support/offload/trains.ts";

Deno.test("a train is merged to the packet that a sender would have made, for the kernel to complete", () => {
  const fields = { tcpOptions: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], trafficClass: 2 };
  const packets = train6({ count: 5, fields });
  const [merged, ...more] = coalesce(packets);
  assertEquals(more, []);
  assertEquals(
    merged!.header,
    reference.virtioHeader({
      flags: 1,
      type: 4,
      headerLength: 72,
      segmentSize: TRAIN_PAYLOAD,
      checksumStart: 40,
      checksumOffset: 16,
    }),
  );
  const payload = reference.concatenate(...packets.map((packet) => packet.subarray(72)));
  const expected = buildTcp6({
    ...fields,
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
  const [first, second] = train6({ count: 2 });
  const other = (fields: TcpFields6) =>
    buildTcp6({
      sequenceNumber: 1 + TRAIN_PAYLOAD,
      payload: new Uint8Array(TRAIN_PAYLOAD),
      ...fields,
    });
  assertEquals(membersOf([first!, second!]), [[0, 1]]);
  const differences: TcpFields6[] = [
    { source: "fd00:77::3" },
    { destination: "fd00:78::1" },
    { sourcePort: 1 },
    { sequenceNumber: 2 + TRAIN_PAYLOAD },
    { trafficClass: 1 },
    { flowLabel: 1 },
    { hopLimit: 63 },
    { window: 1 },
    { flags: 0x12 },
    { checksum: 1 },
    { extensions: [[60, [0, 0, 1, 4, 0, 0, 0, 0]]] },
  ];
  for (const fields of differences) {
    assertEquals(membersOf([first!, other(fields)]), [[0], [1]], JSON.stringify(fields));
  }
});

Deno.test("flows of both families that are mixed are merged apart", () => {
  const [six, four] = [
    train6({ count: 3 }),
    train({ count: 3, fields: { sourcePort: 41_000, sequenceNumber: 1 } }),
  ];
  const mixed = [six[0]!, four[0]!, six[1]!, four[1]!, four[2]!, six[2]!];
  assertEquals(membersOf(mixed), [[0, 2, 5], [1, 3, 4]]);
});

Deno.test("a packet of one family never joins the other's, where both have one place", () => {
  const [six, four] = [
    train6({ count: 2 }),
    train({ count: 2, fields: { sourcePort: 40_000, sequenceNumber: 1 } }),
  ];
  assertEquals(membersOf([six[0]!, four[1]!]), [[0], [1]]);
  assertEquals(membersOf([four[0]!, six[1]!]), [[0], [1]]);
});

Deno.test("nothing overtakes a fragment, and UDP is left alone", () => {
  const packets = train6({ count: 4 });
  const part = buildUdp6({
    extensions: [[44, [0, 0, 0, 1, 0, 0, 0, 1]]],
    payload: new Uint8Array(16),
  });
  const around = [...packets.slice(0, 2), part, ...packets.slice(2)];
  assertEquals(membersOf(around), [[0, 1], [2], [3, 4]]);
  assertEquals(membersOf([packets[0]!, buildUdp6(), packets[1]!]), [[0, 2], [1]]);
});
