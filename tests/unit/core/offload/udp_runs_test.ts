/** Tests of the runs of UDP datagrams: what is segmented again, as the kernel does it, is what went in. */
import { UDP_HEADERS_SIZE, UdpRuns } from "../../../../lib/core/offload/udp_runs.ts";
import { assertEquals } from "../../../support/assert.ts";
import {
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
  type UdpFields,
} from "../../../support/packets/packet_builder.ts";
import { Random } from "../../../support/random.ts";

const SIZE = 100;
const HEADERS_AT = 0;
const PACKETS_AT = 128;
const LIMITS = { maxPackets: 64, maxBytes: 65_521 };

/** Packets in a memory of their own, and what finds runs in them. */
function queue(packets: readonly Uint8Array[], options: Partial<typeof LIMITS> = {}) {
  const bytes = new Uint8Array(PACKETS_AT + packets.length * 2048);
  const offsets = Int32Array.from(packets, (_, index) => PACKETS_AT + index * 2048);
  const lengths = Int32Array.from(packets, ({ length }) => length);
  packets.forEach((packet, index) => bytes.set(packet, offsets[index]));
  const runs = new UdpRuns({ bytes, view: new DataView(bytes.buffer) }, { ...LIMITS, ...options });
  const measure = (first = 0) => runs.measure({ offsets, lengths }, first, packets.length);
  return { runs, bytes, batch: { offsets, lengths }, measure };
}

/** Datagrams of one flow; `changed` gives one of them other fields. */
function flow(count: number, fields: UdpFields = {}, changed: Record<number, UdpFields> = {}) {
  return Array.from({ length: count }, (_, index) =>
    buildUdp({
      dontFragment: true,
      identification: (0xfffe + index) & 0xffff,
      payload: new Uint8Array(SIZE).fill(index + 1),
      ...fields,
      ...changed[index],
    }));
}

/** The super-packet of the first run. */
function merge({ runs, bytes, batch }: ReturnType<typeof queue>, count: number): Bytes {
  runs.writeHeaders(batch, 0, count, HEADERS_AT);
  const payloads = Array.from({ length: count }, (_, i) => {
    const start = batch.offsets[i]!;
    return bytes.slice(start + UDP_HEADERS_SIZE, start + batch.lengths[i]!);
  });
  const headers = bytes.slice(HEADERS_AT, HEADERS_AT + UDP_HEADERS_SIZE);
  return Uint8Array.from([headers, ...payloads].flatMap((part) => [...part]));
}

/** What `__udp_gso_segment()` and `inet_gso_segment()` make of a super-packet, checksums completed. */
function segmented(packet: Bytes, segmentSize: number): Bytes[] {
  const view = new DataView(packet.buffer);
  assertEquals(view.getUint16(2), packet.length);
  // The kernel works the new checksums out from the sum and the length that it finds.
  assertEquals(view.getUint16(24), packet.length - 20);
  assertEquals(view.getUint16(26), pseudoHeaderSum(packet));
  const payload = packet.slice(UDP_HEADERS_SIZE);
  return Array.from({ length: Math.ceil(payload.length / segmentSize) }, (_, index) =>
    buildUdp({
      source: packet.subarray(12, 16).join("."),
      destination: packet.subarray(16, 20).join("."),
      typeOfService: packet[1]!,
      identification: (view.getUint16(4) + index) & 0xffff,
      dontFragment: (packet[6]! & 0x40) !== 0,
      timeToLive: packet[8]!,
      sourcePort: view.getUint16(20),
      destinationPort: view.getUint16(22),
      payload: payload.subarray(index * segmentSize, (index + 1) * segmentSize),
    }));
}

function pseudoHeaderSum(packet: Bytes): number {
  const view = new DataView(packet.buffer);
  let sum = 17 + packet.length - 20;
  for (let at = 12; at < 20; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

Deno.test("a run of datagrams, merged and segmented by the kernel, is what it was", () => {
  const random = new Random(6);
  for (let round = 0; round < 200; round++) {
    const count = 2 + random.below(20);
    const fields = {
      sourcePort: random.below(65_536),
      destinationPort: random.below(65_536),
      typeOfService: random.below(256),
      timeToLive: 1 + random.below(255),
      dontFragment: random.below(2) === 0,
    };
    const last = { payload: random.bytes(1 + random.below(SIZE)) };
    const packets = flow(count, fields, { [count - 1]: last });
    const queued = queue(packets);
    assertEquals(queued.measure(), count);
    assertEquals(segmented(merge(queued, count), SIZE), packets);
  }
});

Deno.test("measure() takes nothing into a run of datagrams but plain ones with something in them", () => {
  const [first, second] = flow(2) as [Bytes, Bytes];
  const others: [string, Bytes][] = [
    ["TCP", buildTcp({ dontFragment: true, payload: new Uint8Array(SIZE - 12) })],
    ["an empty one", flow(1, { payload: new Uint8Array() })[0]!],
    ["a fragment", fragment(first, 68)[0]!],
    ["IP options", flow(1, { options: [1, 1, 1, 0] })[0]!],
    ["no whole header", first.slice(0, 26)],
    ["one that is shorter than its packet", flow(1, { length: SIZE + 7 })[0]!],
    ["one without a checksum", flow(1, { checksum: 0 })[0]!],
    ["one with a wrong checksum", flow(1, { checksum: 0x1234 })[0]!],
  ];
  for (const [what, packet] of others) {
    assertEquals(queue([packet, second]).measure(), 1, what);
    assertEquals(queue([first, packet]).measure(), 1, `behind a datagram: ${what}`);
  }
});

Deno.test("measure() ends a run of datagrams where a header says anything else", () => {
  const changes: UdpFields[] = [
    { source: "10.66.77.3" },
    { destination: "10.66.77.9" },
    { sourcePort: 1 },
    { destinationPort: 1 },
    { typeOfService: 1 },
    { timeToLive: 1 },
    { dontFragment: false },
    { payload: new Uint8Array(SIZE + 1) },
  ];
  for (const change of changes) {
    assertEquals(queue(flow(5, {}, { 2: change })).measure(), 2, JSON.stringify(change));
  }
});

Deno.test("measure() ends a run of datagrams behind a shorter one, and at its limits", () => {
  const queued = queue(flow(6, {}, { 3: { payload: new Uint8Array(SIZE - 1) } }));
  assertEquals([queued.measure(0), queued.measure(3), queued.measure(4)], [4, 1, 2]);
  assertEquals(queue(flow(6), { maxPackets: 4 }).measure(), 4);
  assertEquals(queue(flow(6), { maxBytes: 28 + 3 * SIZE }).measure(), 3);
  assertEquals(queue(flow(6), { maxBytes: 28 + 4 * SIZE - 1 }).measure(), 3);
});

Deno.test("measure() wants datagrams' ids that count up where they mean something", () => {
  assertEquals(queue(flow(4, { dontFragment: false })).measure(), 4);
  const fixed = { identification: 7 };
  assertEquals(queue(flow(4, { ...fixed, dontFragment: false })).measure(), 1);
  assertEquals(queue(flow(4, { ...fixed, dontFragment: true })).measure(), 4);
});
