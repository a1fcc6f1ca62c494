/** Tests of lib/core/nat/fragments/division.ts against a slow and obvious reassembly, written from RFC 791. */
import { fragmentStep, writeFragment } from "../../../../../lib/core/nat/fragments/division.ts";
import { DropReason } from "../../../../../lib/core/wire/drop_reason.ts";
import { checkIpv4 } from "../../../../../lib/core/wire/ipv4.ts";
import { createMemory } from "../../../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import {
  buildIpv4,
  buildUdp,
  type Bytes,
  referenceChecksum,
  repairHeaderChecksum,
} from "../../../../support/packets/packet_builder.ts";
import fc from "../../../../support/property.ts";

const PACKET_AT = 0;
const FRAGMENT_AT = 0x1_0000;
const UNTOUCHED = 0xee;

/** The fragments of a packet, of at most `mtu` bytes. */
function divide(packet: Bytes, mtu: number): Bytes[] {
  const memory = createMemory(2 * 0x1_0000);
  const { bytes, view } = memory;
  bytes.set(packet, PACKET_AT);
  assertEquals(checkIpv4(memory, PACKET_AT, packet.length), DropReason.none);
  const step = fragmentStep(view, PACKET_AT, mtu);
  const fragments: Bytes[] = [];
  const payloadSize = packet.length - headerSize(packet);
  for (let from = 0; step > 0 && from < payloadSize; from += step) {
    bytes.fill(UNTOUCHED, FRAGMENT_AT);
    const length = writeFragment(memory, FRAGMENT_AT, PACKET_AT, from, step);
    fragments.push(bytes.slice(FRAGMENT_AT, FRAGMENT_AT + length));
    const room = FRAGMENT_AT + headerSize(packet) + step;
    assert(bytes.subarray(room).every((byte) => byte === UNTOUCHED), "written behind the room");
  }
  assertEquals(bytes.slice(PACKET_AT, PACKET_AT + packet.length), packet, "the packet has changed");
  return fragments;
}

const headerSize = (packet: Bytes) => (packet[0]! & 15) * 4;
const u16 = (packet: Bytes, at: number) => packet[at]! * 256 + packet[at + 1]!;

/** The options of a header, each as its bytes, without fillers. */
function optionsOf(packet: Bytes): number[][] {
  const options: number[][] = [];
  for (let at = 20; at < headerSize(packet) && packet[at] !== 0;) {
    if (packet[at] === 1) at++;
    else {
      options.push([...packet.subarray(at, at + packet[at + 1]!)]);
      at += packet[at + 1]!;
    }
  }
  return options;
}

/** Puts together what fragments of one packet hold, which may itself be a fragment that begins at unit `first`. */
function putTogether(fragments: readonly Bytes[], first: number): Bytes {
  let payload: number[] = [];
  for (const part of fragments) {
    assertEquals((u16(part, 6) & 0x1fff) * 8, first * 8 + payload.length, "a fragment is missing");
    payload = [...payload, ...part.subarray(headerSize(part))];
  }
  const last = fragments.at(-1)!;
  const packet = Uint8Array.from([
    ...fragments[0]!.subarray(0, headerSize(fragments[0]!)),
    ...payload,
  ]);
  const view = new DataView(packet.buffer);
  view.setUint16(2, packet.length);
  view.setUint16(6, u16(last, 6) & 0x2000 | first);
  repairHeaderChecksum(packet);
  return packet;
}

/** Options: fillers, and others of any type but those of source routing, which nobody lets pass. */
const option = fc.oneof(
  fc.constant([1]),
  fc.tuple(fc.integer({ min: 2, max: 255 }), fc.array(fc.nat(255), { maxLength: 9 }))
    .filter(([type]) => type !== 131 && type !== 137)
    .map(([type, data]) => [type, data.length + 2, ...data]),
);
const options = fc.array(option, { maxLength: 6 }).map((list) => list.flat())
  .filter((bytes) => bytes.length <= 40);

Deno.test("fragments put together are the packet, whatever it is: whole or a fragment, with options or without", () => {
  const packets = fc.record({
    mtu: fc.integer({ min: 68, max: 1600 }),
    size: fc.integer({ min: 8, max: 3000 }),
    before: fc.oneof(fc.constant(0), fc.integer({ min: 2, max: 7000 })),
    moreFragments: fc.boolean(),
    options,
    identification: fc.nat(0xffff),
    typeOfService: fc.nat(255),
  });
  fc.assert(fc.property(packets, ({ mtu, size, before, ...fields }) => {
    const payload = Uint8Array.from({ length: size }, (_, i) => i * 7 + (i >>> 8));
    const packet = buildIpv4({ ...fields, payload, fragmentOffset: before });
    const fragments = divide(packet, mtu);
    assertEquals(putTogether(fragments, before), packet);
    const copied = optionsOf(packet).filter(([type]) => type! >= 128);
    fragments.forEach((part, index) => {
      const isLast = index === fragments.length - 1;
      assert(part.length <= mtu, `${part.length} bytes`);
      assertEquals([u16(part, 2), referenceChecksum(part.subarray(0, headerSize(part)))], [
        part.length,
        0,
      ]);
      assertEquals((u16(part, 6) & 0x2000) !== 0, !isLast || fields.moreFragments);
      assert(isLast || (part.length - headerSize(part)) % 8 === 0, "not in units of eight");
      // Version, type of service and id; time to live, protocol and addresses.
      assertEquals([...part.subarray(1, 2), ...part.subarray(4, 6), ...part.subarray(8, 10)], [
        ...packet.subarray(1, 2),
        ...packet.subarray(4, 6),
        ...packet.subarray(8, 10),
      ]);
      assertEquals([part[0]! >> 4, part.slice(12, 20)], [4, packet.slice(12, 20)]);
      assertEquals(optionsOf(part), index === 0 ? optionsOf(packet) : copied);
    });
    // No fewer would do, but for the first one's options, which the others may lack.
    const room = (mtu - headerSize(packet)) & ~7;
    assertEquals(fragments.length, Math.ceil(size / room));
  }));
});

Deno.test("what would end behind the longest packet is not divided, nor what there is no room for", () => {
  const memory = createMemory(4096);
  const step = (packet: Bytes, mtu = 600) => {
    memory.bytes.set(packet);
    return fragmentStep(memory.view, 0, mtu);
  };
  const payload = new Uint8Array(1000);
  // "Ping of death": 8,191 units and 1,000 bytes.
  assertEquals(step(buildIpv4({ payload, fragmentOffset: 0x1fff })), 0);
  const last = Math.floor((0xffff - 20 - payload.length) / 8);
  assertEquals(step(buildIpv4({ payload, fragmentOffset: last })), 576);
  assertEquals(step(buildIpv4({ payload, fragmentOffset: last + 1 })), 0);
  assertEquals([27, 28].map((mtu) => step(buildUdp({ payload }), mtu)), [0, 8]);
});
