/** Tests of what RFC 8200 asks of the NAT of IPv6, each named by the section. */
import { checkIpv6 } from "../../../../lib/core/wire/ipv6.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { assert, assertEquals, assertNotEquals } from "../../../support/assert.ts";
import { ACK, only, SYN } from "../../../support/nat/world.ts";
import type { Bytes } from "../../../support/packets/packet_builder.ts";
import { buildIpv6, buildTcp6, buildUdp6 } from "../../../support/packets/packet_builder6.ts";
import {
  CLIENT6,
  CLIENT6_2,
  createWorld6,
  EXTERNAL6,
  fragment6,
  GATEWAY6,
  read6,
  reassemble6,
  REMOTE6,
} from "../../../support/nat/world6.ts";

const OUT = { source: CLIENT6, destination: REMOTE6 };
const PAYLOAD = Uint8Array.from({ length: 3000 }, (_, i) => 7 * i);
const OPTIONS = [60, [0, 0, 1, 4, 0, 0, 0, 0]] as const;
const routing = (type: number, left: number) => [43, [0, 0, type, left, 0, 0, 0, 0]] as const;

/** What the checks in front of the NAT say of a packet. */
function checked(packet: Bytes): DropReason {
  const memory = createMemory(packet.length + 64);
  memory.bytes.set(packet, 0);
  return checkIpv6(memory.view, 0, packet.length);
}

Deno.test("RFC 8200 section 3: the hop limit goes down by one, and who has none left learns of it", () => {
  const world = createWorld6();
  const sent = read6(only(world.outbound(buildUdp6({ ...OUT, hopLimit: 2 })), "outside"));
  assertEquals(sent.hopLimit, 1);
  const answer = { source: REMOTE6, destination: EXTERNAL6, destinationPort: sent.sourcePort };
  const got = only(world.inbound(buildUdp6({ ...answer, hopLimit: 255 })), "inside");
  assertEquals(read6(got).hopLimit, 254);
  for (const hopLimit of [0, 1]) {
    const { type, code, source } = read6(
      only(world.outbound(buildUdp6({ ...OUT, hopLimit })), "inside"),
    );
    assertEquals([type, code, source], [3, 0, GATEWAY6]);
  }
});

Deno.test("RFC 8200 section 4: extension headers pass in their order, as they are", () => {
  const world = createWorld6();
  const packet = buildUdp6({ ...OUT, extensions: [OPTIONS, routing(2, 0), OPTIONS] });
  const sent = only(world.outbound(packet), "outside");
  assertEquals(sent.slice(40, 64), packet.slice(40, 64));
  assertEquals(sent[6], 60);
});

Deno.test("RFC 8200 section 4.4: a packet with stops left goes no further, whatever the type, and one of type 0 never does", () => {
  for (const [type, left] of [[0, 0], [0, 1], [2, 1], [4, 1], [253, 255]] as const) {
    const packet = buildUdp6({ ...OUT, extensions: [routing(type, left)] });
    assertEquals(checked(packet), DropReason.sourceRoute, `${type}, ${left}`);
  }
});

Deno.test("RFC 8200 section 4.5: fragments of one packet stay such, and no two packets to one place have one identification", () => {
  const world = createWorld6();
  const identifications = [CLIENT6, CLIENT6_2, CLIENT6].map((source) => {
    const parts = fragment6(buildUdp6({ ...OUT, source, payload: PAYLOAD }), 1280, 1);
    const sent = parts.flatMap((part) => world.outbound(part).outside);
    assertEquals(read6(reassemble6(sent)).transport.slice(8), PAYLOAD);
    return read6(sent[0]!).fragment!.identification;
  });
  assertEquals(new Set(identifications).size, identifications.length);
  assertNotEquals(identifications[0], 1);
});

Deno.test("RFC 8200 section 4.5: fragments that cannot be of a packet, or whose first leaves out headers (RFC 7112), are dropped", () => {
  const fragment = (field: number, protocol = 17, size = 16) =>
    buildIpv6({
      ...OUT,
      extensions: [[44, [0, 0, field >> 8, field & 0xff, 0, 0, 0, 1]]],
      protocol,
      payload: new Uint8Array(size),
    });
  assertEquals(checked(fragment(8 | 1, 17, 15)), DropReason.badExtensionHeader);
  assertEquals(checked(fragment(0xfff8, 17, 16)), DropReason.badExtensionHeader);
  assertEquals(checked(fragment(1, 6, 8)), DropReason.tinyFragment);
  assertEquals(checked(fragment(1, 60, 0)), DropReason.tinyFragment);
  assertEquals(checked(fragment(8, 6)), DropReason.tcpFragmentOffset);
  assertEquals(checked(fragment(8)), DropReason.none);
});

Deno.test("RFC 8200 section 4.7: what has no next header is of no protocol that is translated, and its sender learns of it", () => {
  const world = createWorld6();
  const { type, code } = read6(
    only(world.outbound(buildIpv6({ ...OUT, protocol: 59 })), "inside"),
  );
  assertEquals([type, code], [1, 1]);
});

Deno.test("RFC 8200 section 5: what a link does not take is refused, never divided, and each takes 1,280 bytes", () => {
  const world = createWorld6({ externalMtu: 1280 });
  const of = (size: number) => buildUdp6({ ...OUT, payload: new Uint8Array(size - 48) });
  assertEquals(only(world.outbound(of(1280)), "outside").length, 1280);
  const { type, mtu } = read6(only(world.outbound(of(1281)), "inside"));
  assertEquals([type, mtu], [2, 1280]);
  // Where the path to a client takes less, that is in fragments outside the tunnel.
  const narrow = createWorld6({ mtuOf: () => 1000 });
  const destinationPort = read6(only(narrow.outbound(buildUdp6(OUT)), "outside")).sourcePort;
  const answer = { source: REMOTE6, destination: EXTERNAL6, destinationPort };
  const got = narrow.inbound(buildUdp6({ ...answer, payload: new Uint8Array(1232) }));
  assertEquals(only(got, "inside").length, 1280);
  // TCP's segments are kept from that.
  const tcpOptions = [2, 4, 1220 >> 8, 1220 & 0xff];
  const syn = only(narrow.outbound(buildTcp6({ ...OUT, flags: SYN, tcpOptions })), "outside");
  assertEquals(new DataView(syn.buffer).getUint16(62), 940);
});

Deno.test("RFC 8200 section 6: the flow label passes as it is", () => {
  const world = createWorld6();
  const sent = only(world.outbound(buildUdp6({ ...OUT, flowLabel: 0xabcde })), "outside");
  assertEquals(new DataView(sent.buffer).getUint32(0) & 0xfffff, 0xabcde);
});

Deno.test("RFC 8200 section 7: the traffic class passes as it is", () => {
  const world = createWorld6();
  const sent = only(world.outbound(buildUdp6({ ...OUT, trafficClass: 0xb9 })), "outside");
  assertEquals(new DataView(sent.buffer).getUint32(0) >>> 20 & 0xff, 0xb9);
});

Deno.test("RFC 8200 section 8.1: transport checksums cover the addresses, UDP's is never sent as 0 where there is one", () => {
  const world = createWorld6();
  for (let word = 0; word < 2000; word++) {
    const payload = Uint8Array.of(word >> 3, 31 * word & 0xff);
    // `read6()` works the checksum out in full.
    const { transport } = read6(
      only(world.outbound(buildUdp6({ ...OUT, payload })), "outside"),
    );
    assert((transport[6]! | transport[7]!) !== 0);
    read6(only(world.outbound(buildTcp6({ ...OUT, flags: SYN, payload })), "outside"));
  }
});

Deno.test("RFC 8200 section 8.3: no end is asked for longer segments than the packets take, less 60 bytes", () => {
  const world = createWorld6({ innerMtu: 1380 });
  const tcpOptions = [2, 4, 0xff, 0xff];
  const syn = only(world.outbound(buildTcp6({ ...OUT, flags: SYN, tcpOptions })), "outside");
  const { sourcePort: destinationPort, transport } = read6(syn);
  const answer = { source: REMOTE6, destination: EXTERNAL6, sourcePort: 80, destinationPort };
  const back = only(
    world.inbound(buildTcp6({ ...answer, flags: SYN | ACK, tcpOptions })),
    "inside",
  );
  for (const segment of [transport, read6(back).transport]) {
    assertEquals(segment.slice(20, 24), Uint8Array.of(2, 4, 1320 >> 8, 1320 & 0xff));
  }
});
