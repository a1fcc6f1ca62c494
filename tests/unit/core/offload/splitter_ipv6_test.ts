/** Tests that the splitter makes of a super-packet of IPv6 the packets that a sender would have made one by one. */
import { Splitter, SPLITTER_SCRATCH_SIZE } from "../../../../lib/core/offload/splitter.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { buildTcp, type Bytes } from "../../../support/packets/packet_builder.ts";
import { buildTcp6, buildUdp6, type Ipv6Fields } from "../../../support/packets/packet_builder6.ts";
import { Random } from "../../../support/random.ts";
import * as reference from "../../../support/offload/reference.ts";

const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_UDP_L4 = 5;
const AT = SPLITTER_SCRATCH_SIZE + 10;

function begin(header: reference.VirtioHeader, packet: Bytes) {
  const memory = createMemory(AT + packet.length + 15);
  memory.bytes.set(reference.virtioHeader(header), AT - 10);
  memory.bytes.set(packet, AT);
  const splitter = new Splitter(memory, 0);
  return { memory, splitter, reason: splitter.begin(AT - 10, AT, packet.length) };
}

/** All packets of a super-packet, each followed by what sealing does: overwriting 15 bytes behind it, and itself. */
function splitAll(header: reference.VirtioHeader, packet: Bytes): Bytes[] {
  const { memory, splitter, reason } = begin(header, packet);
  assertEquals(reason, DropReason.none);
  const packets: Bytes[] = [];
  while (splitter.next()) {
    const { offset, length } = splitter;
    packets.push(memory.bytes.slice(offset, offset + length));
    memory.bytes.fill(packets.length, offset, offset + length + 15);
  }
  return packets;
}

const OPTIONS: NonNullable<Ipv6Fields["extensions"]> = [[60, [0, 0, 1, 4, 0, 0, 0, 0]]];

function randomFields(random: Random) {
  return {
    source: `2001:db8::${random.below(65_536).toString(16)}`,
    destination: `fd00::${random.below(65_536).toString(16)}`,
    trafficClass: random.below(256),
    flowLabel: random.below(2 ** 20),
    hopLimit: random.below(256),
    sourcePort: random.below(65_536),
    extensions: random.chance(0.2) ? OPTIONS : [],
  };
}

Deno.test("next() makes the TCP packets that a sender makes, with sequence numbers that count on", () => {
  const random = new Random(1);
  for (let round = 0; round < 200; round++) {
    const fields = {
      ...randomFields(random),
      acknowledgmentNumber: random.uint32(),
      tcpOptions: random.bytes(4 * random.below(11)),
    };
    const sequenceNumber = random.chance(0.3) ? 2 ** 32 - random.below(3000) - 1 : random.uint32();
    const flags = random.below(256);
    const segmentSize = random.between(1, 1400);
    const payload = random.bytes(random.between(1, segmentSize * random.between(1, 20)));
    const count = Math.ceil(payload.length / segmentSize);
    const expected = Array.from({ length: count }, (_, i) =>
      buildTcp6({
        ...fields,
        sequenceNumber: (sequenceNumber + i * segmentSize) % 2 ** 32,
        flags: flags & (i < count - 1 ? ~(reference.FIN | reference.PSH) : 0xff) &
          (i > 0 ? ~reference.CWR : 0xff),
        payload: payload.subarray(i * segmentSize, (i + 1) * segmentSize),
      }));
    const whole = buildTcp6({ ...fields, sequenceNumber, flags, payload });
    assertEquals(splitAll({ type: GSO_TCPV6, segmentSize }, whole), expected);
  }
});

Deno.test("next() makes the UDP packets that a sender makes", () => {
  const random = new Random(2);
  for (let round = 0; round < 200; round++) {
    const fields = randomFields(random);
    const segmentSize = random.between(1, 1400);
    const payload = random.bytes(random.between(1, segmentSize * random.between(1, 20)));
    const expected = Array.from(
      { length: Math.ceil(payload.length / segmentSize) },
      (_, i) =>
        buildUdp6({ ...fields, payload: payload.subarray(i * segmentSize, (i + 1) * segmentSize) }),
    );
    const whole = buildUdp6({ ...fields, payload });
    assertEquals(splitAll({ type: GSO_UDP_L4, segmentSize }, whole), expected);
  }
});

Deno.test("begin() refuses a super-packet whose type is not that of the packet, and one that is a fragment", () => {
  const payload = new Uint8Array(100);
  const refused = (type: number, packet: Bytes) =>
    assertEquals(begin({ type, segmentSize: 10 }, packet).reason, DropReason.badTunRead);
  refused(GSO_TCPV4, buildTcp6({ payload }));
  refused(GSO_TCPV6, buildTcp({ payload }));
  refused(GSO_TCPV6, buildUdp6({ payload }));
  refused(GSO_UDP_L4, buildTcp6({ payload }));
  const first = [[44, [0, 0, 0, 1, 0, 0, 0, 1]]] as const;
  refused(GSO_TCPV6, buildTcp6({ payload: payload.subarray(0, 96), extensions: first }));
});

Deno.test("begin() refuses headers that are longer than what they are kept in", () => {
  const long = Array.from({ length: 5 }, () => OPTIONS[0]!);
  const packet = buildTcp6({
    extensions: long,
    tcpOptions: new Uint8Array(40),
    payload: new Uint8Array(100),
  });
  const { reason, splitter } = begin({ type: GSO_TCPV6, segmentSize: 10 }, packet);
  assertEquals(reason, DropReason.badTunRead);
  assert(!splitter.hasMore);
});
