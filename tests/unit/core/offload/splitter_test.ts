/** Tests that the splitter makes of a super-packet what the slow reference makes of it. */
import {
  completeChecksum,
  Splitter,
  SPLITTER_SCRATCH_SIZE,
} from "../../../../lib/core/offload/splitter.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { createMemory, type Memory } from "../../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import {
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
  referenceChecksum,
  type TcpFields,
  type UdpFields,
} from "../../../support/packets/packet_builder.ts";
import { Random } from "../../../support/random.ts";
import * as reference from "../../../support/offload/reference.ts";

const GSO_TCPV4 = 1;
const GSO_UDP_L4 = 5;
const GSO_ECN = 0x80;

/** Bytes in front of the packet: virtio-net header and a strip that nobody may touch. */
const STRIP = 64;
/** What a packet's sealing may overwrite behind it; the memory goes on no further than this behind the super-packet. */
const PADDING = 15;
const UNTOUCHED = 0xa5;

/** A super-packet in a memory that ends right behind it, so that a read beyond what is allowed throws. */
function place(
  header: reference.VirtioHeader,
  packet: Bytes,
  shift = 0,
): { memory: Memory; at: number; splitter: Splitter } {
  const at = SPLITTER_SCRATCH_SIZE + STRIP + shift;
  const memory = createMemory(at + packet.length + PADDING);
  memory.bytes.fill(UNTOUCHED, SPLITTER_SCRATCH_SIZE);
  memory.bytes.set(reference.virtioHeader(header), at - 10);
  memory.bytes.set(packet, at);
  return { memory, at, splitter: new Splitter(memory, 0) };
}

/** All packets of a super-packet, each followed by what sealing does: overwriting 15 bytes behind it, and itself. */
function splitAll(header: reference.VirtioHeader, packet: Bytes, shift = 0): Bytes[] {
  const { memory, at, splitter } = place(header, packet, shift);
  assert(Splitter.isSuperPacket(memory.view, at - 10));
  assertEquals(splitter.begin(at - 10, at, packet.length), DropReason.none);
  const packets: Bytes[] = [];
  while (splitter.hasMore) {
    assert(splitter.next());
    const { offset, length } = splitter;
    assert(offset >= at && offset + length <= at + packet.length);
    packets.push(memory.bytes.slice(offset, offset + length));
    memory.bytes.fill(packets.length, offset, offset + length + PADDING);
  }
  assert(!splitter.next());
  const strip = memory.bytes.subarray(SPLITTER_SCRATCH_SIZE, at - 10);
  assert(strip.every((byte) => byte === UNTOUCHED), "something in front was overwritten");
  return packets;
}

function assertSplitsLikeReference(
  header: reference.VirtioHeader & { readonly segmentSize: number },
  packet: Bytes,
  shift = 0,
): Bytes[] {
  const packets = splitAll(header, packet, shift);
  assertEquals(packets, reference.split(packet, header.segmentSize));
  return packets;
}

function assertRefused(header: reference.VirtioHeader, packet: Bytes, length?: number): void {
  const { memory, at, splitter } = place(header, packet);
  const before = memory.bytes.slice(at);
  assertEquals(splitter.begin(at - 10, at, length ?? packet.length), DropReason.badTunRead);
  assert(!splitter.hasMore && !splitter.next());
  assertEquals(memory.bytes.slice(at), before);
}

/** Options that fill a header up to `size` bytes. */
function options(random: Random, size: number): Bytes {
  return random.bytes(size - 20);
}

function randomIpFields(random: Random): TcpFields & UdpFields {
  return {
    source: random.bytes(4).join("."),
    destination: random.bytes(4).join("."),
    typeOfService: random.below(256),
    identification: random.chance(0.3) ? 0xffff - random.below(4) : random.below(2 ** 16),
    dontFragment: random.chance(0.5),
    timeToLive: random.below(256),
    options: random.chance(0.3) ? options(random, 20 + 4 * random.between(1, 10)) : [],
    sourcePort: random.below(2 ** 16),
    destinationPort: random.below(2 ** 16),
  };
}

function randomTcpFields(random: Random): TcpFields {
  return {
    ...randomIpFields(random),
    sequenceNumber: random.chance(0.3) ? 2 ** 32 - 1 - random.below(3000) : random.uint32(),
    acknowledgmentNumber: random.uint32(),
    flags: random.below(256),
    window: random.below(2 ** 16),
    urgentPointer: random.below(2 ** 16),
    tcpOptions: options(random, 20 + 4 * random.below(11)),
  };
}

/** A payload size and a segment size that together make some packets, seldom more than 70. */
function randomSizes(random: Random): { payloadSize: number; segmentSize: number } {
  const segmentSize = random.chance(0.3) ? random.between(1, 40) : random.between(1, 1460);
  const most = Math.min(65_000, segmentSize * 70);
  return { segmentSize, payloadSize: random.between(1, random.chance(0.1) ? most : most / 10 + 1) };
}

Deno.test("next() makes the reference's TCP packets when everything is random", () => {
  const random = new Random(1);
  for (let round = 0; round < 600; round++) {
    const { payloadSize, segmentSize } = randomSizes(random);
    const packet = buildTcp({ ...randomTcpFields(random), payload: random.bytes(payloadSize) });
    const type = GSO_TCPV4 | (random.chance(0.5) ? GSO_ECN : 0);
    assertSplitsLikeReference({ type, segmentSize }, packet, random.below(8));
  }
});

Deno.test("next() makes the reference's UDP packets when everything is random", () => {
  const random = new Random(2);
  for (let round = 0; round < 400; round++) {
    const { payloadSize, segmentSize } = randomSizes(random);
    const packet = buildUdp({ ...randomIpFields(random), payload: random.bytes(payloadSize) });
    assertSplitsLikeReference({ type: GSO_UDP_L4, segmentSize }, packet, random.below(8));
  }
});

Deno.test("next() keeps every TCP header length and every combination of flags", () => {
  const random = new Random(3);
  for (let size = 20; size <= 60; size += 4) {
    for (let flags = 0; flags < 256; flags++) {
      const packet = buildTcp({
        flags,
        tcpOptions: options(random, size),
        payload: random.bytes(25),
      });
      const packets = assertSplitsLikeReference({ type: GSO_TCPV4, segmentSize: 10 }, packet);
      const kept = [~(reference.FIN | reference.PSH), ~0x89, ~reference.CWR].map((bits) =>
        flags & bits
      );
      assertEquals(packets.map((each) => each[33]!), kept);
    }
  }
});

Deno.test("next() keeps IP options of every length", () => {
  const random = new Random(4);
  for (let size = 20; size <= 60; size += 4) {
    const fields = { options: options(random, size), payload: random.bytes(100) };
    assertSplitsLikeReference({ type: GSO_TCPV4, segmentSize: 33 }, buildTcp(fields));
    assertSplitsLikeReference({ type: GSO_UDP_L4, segmentSize: 33 }, buildUdp(fields));
  }
});

Deno.test("next() makes packets of every segment size from 1 to 1460", () => {
  const random = new Random(5);
  for (let segmentSize = 1; segmentSize <= 1460; segmentSize++) {
    const payload = random.bytes(segmentSize * 2 + random.between(1, segmentSize));
    const packet = buildTcp({ sequenceNumber: random.uint32(), payload });
    assertEquals(assertSplitsLikeReference({ type: GSO_TCPV4, segmentSize }, packet).length, 3);
  }
});

Deno.test("next() makes 65,535 bytes into packets when the payload ends on a segment's end or not", () => {
  const random = new Random(6);
  const payload = random.bytes(65_535 - 40);
  for (const segmentSize of [1380, 1400, 65_495, 65_535, 5]) {
    assertSplitsLikeReference({ type: GSO_TCPV4, segmentSize }, buildTcp({ payload }), 2);
  }
});

Deno.test("next() wraps sequence numbers at 2^32 and IP ids at 2^16", () => {
  const packet = buildTcp({
    sequenceNumber: 2 ** 32 - 150,
    identification: 0xfffe,
    payload: new Uint8Array(400),
  });
  const packets = assertSplitsLikeReference({ type: GSO_TCPV4, segmentSize: 100 }, packet);
  const views = packets.map((each) => new DataView(each.buffer));
  assertEquals(views.map((view) => view.getUint32(24)), [2 ** 32 - 150, 2 ** 32 - 50, 50, 150]);
  assertEquals(views.map((view) => view.getUint16(4)), [0xfffe, 0xffff, 0, 1]);
});

Deno.test("next() sends a UDP checksum of 0 as 0xffff", () => {
  // What is missing from the sum over the rest, as payload, makes the sum 0xffff and the checksum 0.
  const [rest] = reference.split(buildUdp({ payload: new Uint8Array(3) }), 2);
  const packet = buildUdp({ payload: Uint8Array.of(rest![26]!, rest![27]!, 1) });
  const [first] = assertSplitsLikeReference({ type: GSO_UDP_L4, segmentSize: 2 }, packet);
  assertEquals([first![26], first![27]], [0xff, 0xff]);
});

Deno.test("isSuperPacket() says no when the packet is single, ECN or not", () => {
  for (const type of [0, GSO_ECN]) {
    const { memory, at } = place({ type }, buildTcp());
    assert(!Splitter.isSuperPacket(memory.view, at - 10));
  }
});

Deno.test("begin() refuses a super-packet when its type is not that of the packet", () => {
  const payload = new Uint8Array(100);
  for (let type = 0; type < 256; type++) {
    const gso = type & ~GSO_ECN;
    if (gso !== GSO_TCPV4) assertRefused({ type, segmentSize: 10 }, buildTcp({ payload }));
    if (gso !== GSO_UDP_L4) assertRefused({ type, segmentSize: 10 }, buildUdp({ payload }));
  }
});

Deno.test("begin() refuses a super-packet when its segment size is 0 or it has no payload", () => {
  for (const [type, build] of [[GSO_TCPV4, buildTcp], [GSO_UDP_L4, buildUdp]] as const) {
    assertRefused({ type, segmentSize: 0 }, build({ payload: new Uint8Array(100) }));
    assertRefused({ type, segmentSize: 10 }, build());
  }
});

Deno.test("begin() refuses a super-packet when it is a fragment", () => {
  const payload = new Uint8Array(100);
  for (const [type, build] of [[GSO_TCPV4, buildTcp], [GSO_UDP_L4, buildUdp]] as const) {
    for (const each of fragment(build({ payload }), 60)) {
      assertRefused({ type, segmentSize: 10 }, each);
    }
  }
});

Deno.test("begin() and next() read nothing outside when the virtio-net header is random", () => {
  const random = new Random(7);
  let taken = 0;
  for (let round = 0; round < 3000; round++) {
    const payload = random.bytes(random.below(200));
    const build = random.chance(0.5) ? buildTcp : buildUdp;
    const packet = build({ ...randomIpFields(random), payload });
    const header = random.bytes(10);
    if (random.chance(0.7)) header[1] = random.pick([GSO_TCPV4, GSO_UDP_L4]);
    const { memory, at, splitter } = place({}, packet);
    memory.bytes.set(header, at - 10);
    if (splitter.begin(at - 10, at, packet.length) !== DropReason.none) continue;
    taken++;
    while (splitter.next()) {
      assert(splitter.offset >= at && splitter.offset + splitter.length <= at + packet.length);
    }
  }
  assert(taken > 500, `${taken} were taken`);
});

/** The kernel's side of a partial checksum: the field holds the folded sum of the pseudo-header. */
function withPartialChecksum(packet: Bytes, transport: number, offset: number): Bytes {
  const partial = packet.slice();
  const pseudo = reference.pseudoHeader(packet, packet.length - transport);
  const sum = 0xffff - referenceChecksum(pseudo);
  new DataView(partial.buffer).setUint16(transport + offset, sum);
  return partial;
}

function completed(header: reference.VirtioHeader, packet: Bytes): Bytes | DropReason {
  const memory = createMemory(10 + packet.length);
  memory.bytes.set(reference.virtioHeader(header));
  memory.bytes.set(packet, 10);
  const reason = completeChecksum(memory.view, 0, 10, packet.length);
  if (reason !== DropReason.none) assertEquals(memory.bytes.slice(10), packet);
  return reason === DropReason.none ? memory.bytes.slice(10) : reason;
}

Deno.test("completeChecksum() makes the checksum that the sender would have made", () => {
  const random = new Random(8);
  for (let round = 0; round < 1000; round++) {
    const payload = random.bytes(random.below(300));
    const isTcp = random.chance(0.5);
    const packet = isTcp
      ? buildTcp({ ...randomTcpFields(random), payload })
      : buildUdp({ ...randomIpFields(random), payload });
    const checksumStart = (packet[0]! & 15) * 4;
    const checksumOffset = isTcp ? 16 : 6;
    const partial = withPartialChecksum(packet, checksumStart, checksumOffset);
    const result = completed({ flags: 1, checksumStart, checksumOffset }, partial);
    // For TCP, 0 and 0xffff are one checksum; the kernel, too, only ever sends the latter.
    const at = checksumStart + checksumOffset;
    if (isTcp && packet[at] === 0 && packet[at + 1] === 0) packet.fill(0xff, at, at + 2);
    assertEquals(result, packet);
    const header = { flags: 1, type: 0, headerLength: 0, segmentSize: 0 };
    assertEquals(result, reference.complete(partial, { ...header, checksumStart, checksumOffset }));
  }
});

Deno.test("completeChecksum() makes a UDP checksum of 0 one of 0xffff", () => {
  const plain = buildUdp({ payload: new Uint8Array(2) });
  const packet = buildUdp({ payload: plain.slice(26, 28) });
  assertEquals([...packet.slice(26, 28)], [0xff, 0xff]);
  const partial = withPartialChecksum(packet, 20, 6);
  assertEquals(completed({ flags: 1, checksumStart: 20, checksumOffset: 6 }, partial), packet);
});

Deno.test("completeChecksum() leaves a packet alone when its checksum is whole", () => {
  const packet = buildUdp({ payload: Uint8Array.of(1, 2, 3), checksum: 0 });
  assertEquals(completed({ flags: 2, checksumStart: 20, checksumOffset: 6 }, packet), packet);
});

Deno.test("completeChecksum() refuses a packet when the checksum would lie outside of it", () => {
  const packet = buildUdp({ payload: new Uint8Array(5) });
  for (
    const [checksumStart, checksumOffset] of [
      [20, 12],
      [31, 1],
      [32, 0],
      [33, 0],
      [0, 32],
      [
        65_535,
        65_535,
      ],
      [65_535, 0],
      [0, 65_535],
    ] as const
  ) {
    const header = { flags: 1, checksumStart, checksumOffset };
    assertEquals(completed(header, packet), DropReason.badTunRead);
  }
  // The last two bytes are still inside.
  assert(
    completed({ flags: 1, checksumStart: 20, checksumOffset: 11 }, packet) instanceof Uint8Array,
  );
});

Deno.test("completeChecksum() does what the reference does when the virtio-net header is random", () => {
  const random = new Random(9);
  for (let round = 0; round < 2000; round++) {
    const packet = random.bytes(random.below(100));
    const header = {
      flags: 1,
      type: 0,
      headerLength: random.below(2 ** 16),
      segmentSize: random.below(2 ** 16),
      checksumStart: random.below(random.chance(0.9) ? 110 : 2 ** 16),
      checksumOffset: random.below(random.chance(0.9) ? 60 : 2 ** 16),
    };
    assertEquals(
      completed(header, packet),
      reference.complete(packet, header) ?? DropReason.badTunRead,
    );
  }
});
