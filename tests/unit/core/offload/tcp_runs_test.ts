/** Tests of the runs of TCP segments: what is segmented again, as the kernel does it, is what went in. */
import { MAX_HEADERS_SIZE, TcpRuns } from "../../../../lib/core/offload/tcp_runs.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import {
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
  type TcpFields,
} from "../../../support/packets/packet_builder.ts";
import { buildTcp6 } from "../../../support/packets/packet_builder6.ts";
import { Random } from "../../../support/random.ts";

const ACK = 0x10;
const PSH = 0x08;
const SIZE = 100;
const HEADERS_AT = 0;
const PACKETS_AT = 128;
const LIMITS = { maxPackets: 64, maxBytes: 65_521 };

/** Packets in a memory of their own, and what finds runs in them. */
function queue(packets: readonly Uint8Array[], options: Partial<typeof LIMITS & { own: boolean }>) {
  const bytes = new Uint8Array(PACKETS_AT + packets.length * 2048);
  const offsets = Int32Array.from(packets, (_, index) => PACKETS_AT + index * 2048);
  const lengths = Int32Array.from(packets, ({ length }) => length);
  packets.forEach((packet, index) => bytes.set(packet, offsets[index]));
  const memory = { bytes, view: new DataView(bytes.buffer) };
  const runs = new TcpRuns(memory, { ...LIMITS, own: false, ...options });
  const measure = (first = 0) => runs.measure({ offsets, lengths }, first, packets.length);
  return { runs, bytes, batch: { offsets, lengths }, measure };
}

/** Consecutive segments of one flow; `changed` gives one of them other fields. */
function flow(
  count: number,
  { sequenceNumber = 5000, ...fields }: TcpFields = {},
  changed: Record<number, TcpFields> = {},
): Bytes[] {
  return Array.from({ length: count }, (_, index) =>
    buildTcp({
      dontFragment: true,
      sequenceNumber: (sequenceNumber + index * SIZE) >>> 0,
      identification: (0xfffe + index) & 0xffff,
      payload: new Uint8Array(SIZE).fill(index + 1),
      ...fields,
      ...changed[index],
    }));
}

/** What `tcp_gso_segment()` and `inet_gso_segment()` make of a super-packet, checksums completed. */
function segmented(packet: Bytes, segmentSize: number): Bytes[] {
  const view = new DataView(packet.buffer);
  const headersSize = 20 + (packet[32]! >> 4) * 4;
  const payload = packet.slice(headersSize);
  const count = Math.ceil(payload.length / segmentSize);
  return Array.from({ length: count }, (_, index) =>
    buildTcp({
      source: packet.subarray(12, 16).join("."),
      destination: packet.subarray(16, 20).join("."),
      typeOfService: packet[1]!,
      identification: (view.getUint16(4) + index) & 0xffff,
      dontFragment: (packet[6]! & 0x40) !== 0,
      timeToLive: packet[8]!,
      sourcePort: view.getUint16(20),
      destinationPort: view.getUint16(22),
      sequenceNumber: (view.getUint32(24) + index * segmentSize) >>> 0,
      acknowledgmentNumber: view.getUint32(28),
      flags: index < count - 1 ? packet[33]! & ~PSH : packet[33]!,
      window: view.getUint16(34),
      tcpOptions: packet.subarray(40, headersSize),
      payload: payload.subarray(index * segmentSize, (index + 1) * segmentSize),
    }));
}

/** The super-packet of the first run. */
function merge({ runs, bytes, batch }: ReturnType<typeof queue>, count: number): Bytes {
  const length = runs.writeHeaders(batch, 0, count, HEADERS_AT);
  const packet = new Uint8Array(length);
  packet.set(bytes.subarray(HEADERS_AT, HEADERS_AT + runs.headersSize));
  let at = runs.headersSize;
  for (let i = 0; i < count; i++) {
    const start = batch.offsets[i]! + runs.headersSize;
    const payload = bytes.subarray(start, batch.offsets[i]! + batch.lengths[i]!);
    packet.set(payload, at);
    at += payload.length;
  }
  assertEquals(at, length);
  return packet;
}

Deno.test("a run, merged and segmented by the kernel, is what it was", () => {
  const random = new Random(6);
  for (let round = 0; round < 200; round++) {
    const count = 2 + random.below(20);
    const last = { payload: random.bytes(1 + random.below(SIZE)) };
    const tcpOptions = random.below(2) === 0 ? [] : [1, 1, 8, 10, ...random.bytes(8)];
    const fields = {
      sequenceNumber: random.below(2) === 0 ? 0xffff_ff00 : random.uint32(),
      acknowledgmentNumber: random.uint32(),
      window: random.below(65_536),
      typeOfService: random.below(256),
      timeToLive: 1 + random.below(255),
      tcpOptions,
    };
    const ends = { [count - 1]: { ...last, flags: random.below(2) === 0 ? ACK : ACK | PSH } };
    const packets = flow(count, fields, ends);
    const queued = queue(packets, {});
    assertEquals(queued.measure(), count);
    assertEquals(queued.runs.payloadSize, SIZE);
    assert(queued.runs.headersSize <= MAX_HEADERS_SIZE);
    assertEquals(segmented(merge(queued, count), SIZE), packets);
  }
});

Deno.test("measure() begins no run with what is no plain data segment", () => {
  const [first, second] = flow(2) as [Bytes, Bytes];
  const others: [string, Bytes][] = [
    ["UDP", buildUdp()],
    ["a pure ACK", flow(1, { payload: new Uint8Array() })[0]!],
    ["a fragment", fragment(first, 48)[0]!],
    ["IP options", flow(1, { options: [1, 1, 1, 0] })[0]!],
    ["no whole header", first.slice(0, 30)],
    ["a data offset beyond the end", flow(1, { dataOffset: 15, payload: new Uint8Array(8) })[0]!],
    ...[0x02, 0x12, 0x11, 0x14, 0x30, 0x50, 0x90, 0x00].map((flags): [string, Bytes] => [
      `flags ${flags}`,
      flow(1, { flags })[0]!,
    ]),
  ];
  for (const [what, packet] of others) {
    assertEquals(queue([packet, second], {}).measure(), 1, what);
    assertEquals(queue([first, packet], {}).measure(), 1, `behind a segment: ${what}`);
  }
});

Deno.test("measure() ends a run where a header says anything else", () => {
  const changes: TcpFields[] = [
    { source: "10.66.77.3" },
    { destination: "10.66.77.9" },
    { sourcePort: 1 },
    { destinationPort: 1 },
    { sequenceNumber: 5000 + 2 * SIZE + 1 },
    { sequenceNumber: 5000 + SIZE },
    { acknowledgmentNumber: 1 },
    { window: 1 },
    { typeOfService: 1 },
    { timeToLive: 1 },
    { dontFragment: false },
    { urgentPointer: 1 },
    { tcpOptions: [1, 1, 1, 0] },
    { payload: new Uint8Array(SIZE + 1) },
    { flags: ACK | 1 },
  ];
  for (const change of changes) {
    const packets = flow(5, {}, { 2: change });
    assertEquals(queue(packets, {}).measure(), 2, JSON.stringify(change));
  }
  const withOptions = flow(5, { tcpOptions: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2] }, {
    2: { tcpOptions: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 3] },
  });
  assertEquals(queue(withOptions, {}).measure(), 2, "another time stamp");
});

Deno.test("measure() ends a run behind a shorter segment, and at its limits", () => {
  const short = { payload: new Uint8Array(SIZE - 1) };
  const queued = queue(flow(6, {}, { 3: short }), {});
  assertEquals([queued.measure(0), queued.measure(3), queued.measure(4)], [4, 1, 2]);
  assertEquals(queue(flow(6), { maxPackets: 4 }).measure(), 4);
  assertEquals(queue(flow(6), { maxBytes: 40 + 3 * SIZE }).measure(), 3);
  assertEquals(queue(flow(6), { maxBytes: 40 + 4 * SIZE - 1 }).measure(), 3);
});

Deno.test("measure() leaves somebody else's PSH where it is, and our own mean nothing", () => {
  const packets = flow(4, {}, { 1: { flags: ACK | PSH } });
  assertEquals(queue(packets, {}).measure(), 2);
  const ours = queue(flow(4, { flags: ACK | PSH }), { own: true });
  assertEquals(ours.measure(), 4);
  assertEquals(segmented(merge(ours, 4), SIZE).map((packet) => packet[33]), [
    ...[ACK, ACK, ACK, ACK | PSH],
  ]);
});

Deno.test("measure() never gives a segment with a wrong checksum a right one", () => {
  for (const [wrong, expected] of [[0, [1, 3]], [1, [1, 1]], [3, [3, 1]]] as const) {
    const queued = queue(flow(4, {}, { [wrong]: { checksum: 0x1234 } }), {});
    assertEquals([queued.measure(0), queued.measure(expected[0])], [...expected]);
  }
  const ours = queue(flow(4, { checksum: 0 }), { own: true });
  assertEquals(ours.measure(), 4, "ours are still to be written");
});

Deno.test("measure() wants ids that count up where they mean something", () => {
  const counting = flow(4, { dontFragment: false });
  assertEquals(queue(counting, {}).measure(), 4);
  const fixed = { identification: 7 };
  assertEquals(queue(flow(4, { ...fixed, dontFragment: false }), {}).measure(), 1);
  assertEquals(queue(flow(4, { ...fixed, dontFragment: true }), {}).measure(), 4);
});

/** The same of IPv6: consecutive segments of one flow. */
function flow6(count: number, changed: Record<number, Parameters<typeof buildTcp6>[0]> = {}) {
  return Array.from({ length: count }, (_, index) =>
    buildTcp6({
      sequenceNumber: (0xffff_ff00 + index * SIZE) >>> 0,
      trafficClass: 0xa5,
      flowLabel: 0x12345,
      hopLimit: 9,
      payload: new Uint8Array(SIZE).fill(index + 1),
      ...changed[index],
    }));
}

Deno.test("a run of IPv6, merged and segmented by the kernel, is what it was", () => {
  const last = { payload: new Uint8Array(7).fill(99), flags: ACK | PSH };
  const packets = flow6(5, { 4: last });
  const queued = queue(packets, {});
  assertEquals(queued.measure(), 5);
  const merged = merge(queued, 5);
  assertEquals([queued.runs.headersSize, queued.runs.payloadSize], [60, SIZE]);
  const view = new DataView(merged.buffer);
  assertEquals([merged.length, view.getUint16(4)], [60 + 4 * SIZE + 7, 20 + 4 * SIZE + 7]);
  assertEquals(merged[53], ACK | PSH);
  // As `tcp6_gso_segment()` does it: the header of each, with its own number, length and checksum.
  const segments = Array.from({ length: 5 }, (_, index) =>
    buildTcp6({
      sequenceNumber: (view.getUint32(44) + index * SIZE) >>> 0,
      trafficClass: view.getUint16(0) >>> 4 & 0xff,
      flowLabel: view.getUint32(0) & 0xfffff,
      hopLimit: merged[7]!,
      flags: index < 4 ? ACK : merged[53]!,
      payload: merged.slice(60 + index * SIZE, 60 + (index + 1) * SIZE),
    }));
  assertEquals(segments, packets);
});

Deno.test("measure() ends a run of IPv6 where a header says anything else, and of the other family", () => {
  const changes: Parameters<typeof buildTcp6>[0][] = [
    { source: "fd00:78::2" },
    { source: "fd00:77::3" },
    { destination: "fd00:77::4" },
    { trafficClass: 0xa4 },
    { flowLabel: 0x12346 },
    { hopLimit: 8 },
    { destinationPort: 1 },
    { sequenceNumber: 1 },
    { extensions: [[60, [0, 0, 1, 4, 0, 0, 0, 0]]] },
    { checksum: 0x1234 },
  ];
  for (const change of changes) {
    assertEquals(queue(flow6(5, { 2: change }), {}).measure(), 2, JSON.stringify(change));
  }
  const [ipv4] = flow(1) as [Bytes];
  assertEquals(queue([...flow6(2), ipv4], {}).measure(), 2);
  assertEquals(queue([ipv4, ...flow6(2)], {}).measure(), 1);
});
