/** Tests of what RFC 4443 asks of the NAT of IPv6, of errors that pass and of its own, each named by the section. */
import { checkIpv6 } from "../../../../lib/core/wire/ipv6.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { assertEquals, assertNotEquals } from "../../../support/assert.ts";
import { assertSilent, only, SECOND } from "../../../support/nat/world.ts";
import type { Bytes } from "../../../support/packets/packet_builder.ts";
import { buildIcmp6, buildIpv6, buildUdp6 } from "../../../support/packets/packet_builder6.ts";
import {
  CLIENT6,
  CLIENT6_2,
  createWorld6,
  EXTERNAL6,
  GATEWAY6,
  quotedBy6,
  read6,
  REMOTE6,
  type World6,
} from "../../../support/nat/world6.ts";

const OUT = { source: CLIENT6, destination: REMOTE6 };
const ROUTER = "2001:db8:8:0:0:0:0:8";

/** A router's error about a datagram of the client's. */
function errorTo(world: World6, type: number, code = 0): Bytes {
  const sent = only(world.outbound(buildUdp6(OUT)), "outside");
  return buildIcmp6({ source: ROUTER, destination: EXTERNAL6, type, code, payload: sent });
}

/** The type and code of the error that a client's packet is answered with; null for none. */
function answerTo(world: World6, packet: Bytes): [number, number] | null {
  const { inside } = world.outbound(packet);
  if (inside.length === 0) return null;
  const { type, code } = read6(inside[0]!);
  return [type, code];
}

/** What the checks in front of the NAT say of a packet: such are dropped in silence. */
function checked(packet: Bytes): DropReason {
  const memory = createMemory(packet.length + 64);
  memory.bytes.set(packet, 0);
  return checkIpv6(memory.view, 0, packet.length);
}

Deno.test("RFC 4443 section 2.2: an error is from the gateway's address on the side that it goes to", () => {
  const world = createWorld6({ innerMtu: 1300 });
  const inside = only(world.outbound(buildUdp6({ ...OUT, hopLimit: 1 })), "inside");
  assertEquals([read6(inside).source, read6(inside).destination], [GATEWAY6, CLIENT6]);
  const destinationPort = read6(only(world.outbound(buildUdp6(OUT)), "outside")).sourcePort;
  const back = { source: REMOTE6, destination: EXTERNAL6, destinationPort };
  const outside = only(world.inbound(buildUdp6({ ...back, hopLimit: 1 })), "outside");
  assertEquals([read6(outside).source, read6(outside).destination], [EXTERNAL6, REMOTE6]);
});

Deno.test("RFC 4443 section 2.3: a message whose checksum is wrong goes no further, and all that go on have the right one", () => {
  const world = createWorld6();
  const error = errorTo(world, 1, 4);
  const wrong = error.slice();
  wrong[43]! ^= 1;
  assertSilent(world.inbound(wrong));
  // `read6()` works it out in full.
  read6(only(world.inbound(error), "inside"));
});

Deno.test("RFC 4443 section 2.4a: errors of types that nobody knows reach whom they are for", () => {
  for (const type of [5, 100, 126]) {
    const world = createWorld6();
    const got = read6(only(world.inbound(errorTo(world, type, 9)), "inside"));
    assertEquals([got.type, got.code, got.destination], [type, 9, CLIENT6]);
  }
});

Deno.test("RFC 4443 section 2.4b: other messages of types that nobody knows are dropped, without an error", () => {
  const world = createWorld6();
  for (const type of [127 + 27, 200, 255]) {
    assertEquals(answerTo(world, buildIcmp6({ ...OUT, type })), null);
    assertSilent(world.inbound(buildIcmp6({ source: REMOTE6, destination: EXTERNAL6, type })));
  }
});

Deno.test("RFC 4443 section 2.4c: an error quotes as much as fits 1,280 bytes, as it came", () => {
  const world = createWorld6();
  for (const size of [0, 40, 1184, 1185, 1400]) {
    const packet = buildUdp6({ ...OUT, hopLimit: 1, payload: new Uint8Array(size) });
    const error = only(world.outbound(packet), "inside");
    assertEquals(quotedBy6(error), packet.slice(0, 1232));
    world.advance(SECOND);
  }
});

Deno.test("RFC 4443 section 2.4d: an error goes to whom the quoted packet is of, with its own address and port put back", () => {
  const world = createWorld6();
  const sent = [CLIENT6, CLIENT6_2].map((source) =>
    only(world.outbound(buildUdp6({ ...OUT, source })), "outside")
  );
  for (const [i, client] of [CLIENT6, CLIENT6_2].entries()) {
    const error = { source: ROUTER, destination: EXTERNAL6, type: 1, payload: sent[i]! };
    const got = only(world.inbound(buildIcmp6(error)), "inside");
    const quoted = read6(quotedBy6(got), { checked: false });
    assertEquals([read6(got).destination, quoted.source, quoted.sourcePort], [
      ...[client, client],
      40_000,
    ]);
  }
});

Deno.test("RFC 4443 section 2.4e: nothing is answered about errors, redirects, multicast, and senders that are not one host", () => {
  const world = createWorld6();
  for (const type of [1, 2, 3, 4, 100]) {
    const about = buildIcmp6({ ...OUT, type, hopLimit: 1, payload: buildUdp6(OUT) });
    assertEquals(answerTo(world, about), null, `${type}`);
  }
  assertEquals(checked(buildIcmp6({ ...OUT, type: 137 })), DropReason.linkOnly);
  assertEquals(checked(buildUdp6({ ...OUT, destination: "ff0e::1" })), DropReason.badDestination);
  for (const source of ["::", "ff02::1"]) {
    assertEquals(checked(buildUdp6({ ...OUT, source })), DropReason.badSource);
  }
});

Deno.test("RFC 4443 section 2.4f: errors are limited, and one who is sent many leaves the others theirs", () => {
  const world = createWorld6();
  const expired = (source: string) => buildUdp6({ ...OUT, source, hopLimit: 1 });
  const answered = (source: string) =>
    Array.from({ length: 1000 }, () => answerTo(world, expired(source)))
      .filter((answer) => answer !== null).length;
  assertEquals([answered(CLIENT6), answered(CLIENT6_2)], [10, 10]);
  world.advance(SECOND);
  assertEquals(answered(CLIENT6), 10);
});

Deno.test("RFC 4443 section 3.1: what policy does not carry is administratively prohibited", () => {
  const world = createWorld6();
  assertEquals(answerTo(world, buildIpv6({ ...OUT, protocol: 132 })), [1, 1]);
  assertEquals(world.dropped(DropReason.natUnsupportedProtocol), 1);
});

Deno.test("RFC 4443 section 3.2: 'packet too big' says what fits, and one from outside reaches the client as it is", () => {
  const world = createWorld6({ externalMtu: 1300 });
  const long = buildUdp6({ ...OUT, payload: new Uint8Array(1300) });
  assertEquals(read6(only(world.outbound(long), "inside")).mtu, 1300);
  const error = errorTo(world, 2);
  const got = read6(only(world.inbound(error), "inside"));
  assertEquals([got.type, got.mtu], [2, read6(error).mtu]);
});

Deno.test("RFC 4443 section 3.3: where the hop limit comes to its end, it is 'time exceeded' with code 0", () => {
  assertEquals(answerTo(createWorld6(), buildUdp6({ ...OUT, hopLimit: 1 })), [3, 0]);
});

Deno.test("RFC 4443 section 4.1: an echo leaves with an identifier that is nobody else's, and with its data", () => {
  const world = createWorld6();
  const payload = Uint8Array.of(1, 2, 3, 4, 5);
  const sent = [CLIENT6, CLIENT6_2].map((source) =>
    read6(only(world.outbound(buildIcmp6({ ...OUT, source, payload })), "outside"))
  );
  assertNotEquals(sent[0]!.identifier, sent[1]!.identifier);
  for (const { type, transport } of sent) {
    assertEquals([type, transport.slice(8)], [128, payload]);
  }
});

Deno.test("RFC 4443 section 4.2: a reply comes back with the asker's identifier and data; to nobody's there is none", () => {
  const world = createWorld6();
  const payload = Uint8Array.of(9, 8, 7);
  const { transport } = read6(only(world.outbound(buildIcmp6({ ...OUT, payload })), "outside"));
  const back = { source: REMOTE6, destination: EXTERNAL6, type: 129 };
  const reply = buildIcmp6({ ...back, payload });
  // The identifier that was asked with, which the checksum covers.
  const view = new DataView(reply.buffer);
  const identifier = transport[4]! << 8 | transport[5]!;
  const sum = (0xffff - view.getUint16(42)) + identifier;
  view.setUint16(42, 0xffff - ((sum & 0xffff) + (sum >>> 16)));
  view.setUint16(44, identifier);
  const got = read6(only(world.inbound(reply), "inside"));
  assertEquals([got.destination, got.identifier, got.transport.slice(8)], [CLIENT6, 0, payload]);
  assertSilent(world.inbound(buildIcmp6({ ...back, payload })));
});

Deno.test("RFC 4443 section 5.2: no error, forged or not, ends a flow, or keeps one alive", () => {
  const world = createWorld6();
  const { sourcePort } = read6(only(world.outbound(buildUdp6(OUT)), "outside"));
  for (const type of [1, 2, 3, 4]) only(world.inbound(errorTo(world, type)), "inside");
  const back = { source: REMOTE6, destination: EXTERNAL6, destinationPort: sourcePort };
  only(world.inbound(buildUdp6(back)), "inside");
  const error = errorTo(world, 1);
  for (let i = 0; i < 10; i++) {
    world.advance(60 * SECOND);
    world.inbound(error);
  }
  assertSilent(world.inbound(buildUdp6(back)));
});
