/**
 * Tests of what the NAT does with IPv6 alone: extension headers, fragments that no router makes, ICMPv6's checksums and
 * lengths, addresses that are known for a time. What it has in common with IPv4 is in families_test.ts.
 */
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals, assertNotEquals } from "../../../support/assert.ts";
import type { Bytes } from "../../../support/packets/packet_builder.ts";
import {
  buildIcmp6,
  buildIpv6,
  buildTcp6,
  buildUdp6,
} from "../../../support/packets/packet_builder6.ts";
import { ACK, assertSilent, only, SECOND, SYN } from "../../../support/nat/world.ts";
import {
  CLIENT6,
  CLIENT6_2,
  createWorld6,
  EXTERNAL6,
  fragment6,
  GATEWAY6,
  quotedBy6,
  read6,
  reassemble6,
  REMOTE6,
  REMOTE6_2,
  type World6,
} from "../../../support/nat/world6.ts";

const OUT = { source: CLIENT6, destination: REMOTE6 };
const BACK = { source: REMOTE6, destination: EXTERNAL6 };
const PAYLOAD = Uint8Array.from({ length: 3000 }, (_, i) => 5 * i);

/** The external port of a datagram of the client's. */
function portOf(world: World6): number {
  return read6(only(world.outbound(buildUdp6(OUT)), "outside")).sourcePort;
}

function echo(fields: { source: string; destination: string; type?: number }, id = 77): Bytes {
  const packet = buildIcmp6({ ...fields, payload: Uint8Array.of(1, 2, 3) });
  return withIdentifier(packet, id);
}

/** Writes the identifier, and keeps the checksum right: the field was zero. */
function withIdentifier(packet: Bytes, id: number): Bytes {
  const view = new DataView(packet.buffer);
  let sum = (0xffff - view.getUint16(42)) + id;
  sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(42, 0xffff - sum);
  view.setUint16(44, id);
  return packet;
}

// Fragments.

for (const order of ["in order", "the first one last"] as const) {
  Deno.test(`fragments of a client's datagram follow the first, ${order}, with an identification of the gateway's`, () => {
    const world = createWorld6();
    const whole = buildUdp6({ ...OUT, payload: PAYLOAD });
    const parts = fragment6(whole, 1280, 0xfedc_ba98);
    if (order !== "in order") parts.reverse();
    const sent = parts.flatMap((part) => world.outbound(part).outside);
    const arrived = read6(reassemble6(sent));
    assertEquals([arrived.source, arrived.destination], [EXTERNAL6, REMOTE6]);
    assertEquals(arrived.transport.slice(8), PAYLOAD);
    assertNotEquals(read6(sent[0]!).fragment!.identification, 0xfedc_ba98);

    // Those of two clients that number theirs alike are not mixed up.
    const theirs = buildUdp6({ ...OUT, source: CLIENT6_2, payload: PAYLOAD });
    const [other] = fragment6(theirs, 1280, 0xfedc_ba98);
    const { fragment } = read6(only(world.outbound(other!), "outside"));
    assertNotEquals(fragment!.identification, read6(sent[0]!).fragment!.identification);
  });

  Deno.test(`fragments from outside, even of a stranger's, follow the first, ${order}`, () => {
    const world = createWorld6();
    const destinationPort = portOf(world);
    for (const source of [REMOTE6, REMOTE6_2]) {
      const answer = buildUdp6({
        ...{ source, destination: EXTERNAL6, destinationPort },
        payload: PAYLOAD,
      });
      const parts = fragment6(answer, 1280, 5);
      if (order !== "in order") parts.reverse();
      const got = parts.flatMap((part) => world.inbound(part).inside);
      const { destination, source: from, transport } = read6(reassemble6(got));
      assertEquals([from, destination, transport.slice(8)], [source, CLIENT6, PAYLOAD]);
    }
  });
}

Deno.test("fragments of two strangers with one identification are not mixed up", () => {
  const world = createWorld6();
  const destinationPort = portOf(world);
  const of = (source: string) =>
    fragment6(
      buildUdp6({ source, destination: EXTERNAL6, destinationPort, payload: PAYLOAD }),
      1280,
      9,
    );
  const [first] = of(REMOTE6_2);
  const [, second] = of("2001:db8:99:0:0:0:0:9");
  only(world.inbound(first!), "inside");
  assertSilent(world.inbound(second!));
});

Deno.test("a fragment that waited is sent to whose address it was, though that client has gone meanwhile", () => {
  const world = createWorld6();
  const destinationPort = portOf(world);
  const [first, second] = fragment6(
    buildUdp6({ ...BACK, destinationPort, payload: PAYLOAD }),
    1280,
    9,
  );
  only(world.inbound(first!), "inside");
  world.nat.all[0]!.releaseClient(CLIENT6, world.clock.now);
  // Its number may be another's by now.
  world.outbound(buildUdp6({ ...OUT, source: CLIENT6_2 }));
  world.outbound(buildUdp6({ ...OUT, source: CLIENT6_2 }));
  assertEquals(read6(only(world.inbound(second!), "inside")).destination, CLIENT6);
});

Deno.test("an atomic fragment is a whole packet, whose header it keeps", () => {
  const world = createWorld6();
  const header = [44, [0, 0, 0, 0, 1, 2, 3, 4]] as const;
  const sent = only(world.outbound(buildUdp6({ ...OUT, extensions: [header] })), "outside");
  assertEquals([sent[6], ...sent.slice(40, 48)], [44, 17, 0, 0, 0, 1, 2, 3, 4]);
  assertEquals(world.nat.mappingCount, 1);
  assertEquals(new DataView(sent.buffer).getUint16(50), 53);
});

// Extension headers.

Deno.test("ports are found, and checksums kept right, behind destination options", () => {
  const world = createWorld6();
  const options = [60, [0, 0, 1, 4, 0, 0, 0, 0]] as const;
  const sent = only(
    world.outbound(buildTcp6({ ...OUT, flags: SYN, extensions: [options] })),
    "outside",
  );
  const plain = new Uint8Array([...sent.slice(0, 40), ...sent.slice(48)]);
  plain[6] = 6;
  new DataView(plain.buffer).setUint16(4, plain.length - 40);
  const { source, sourcePort } = read6(plain);
  assertEquals(source, EXTERNAL6);
  const answer = { ...BACK, sourcePort: 80, destinationPort: sourcePort, flags: SYN | ACK };
  only(world.inbound(buildTcp6({ ...answer, extensions: [options] })), "inside");
});

Deno.test("what authenticates its addresses, and what has no ports, is refused with an error", () => {
  const world = createWorld6();
  const authentication = [51, [0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]] as const;
  const options = [60, [0, 0, 1, 4, 0, 0, 0, 0]] as const;
  const atomic = [44, [0, 0, 0, 0, 0, 0, 0, 9]] as const;
  const chains = [[authentication], [options, authentication], [atomic, options, authentication]];
  const authenticated = chains.map((extensions) => buildUdp6({ ...OUT, extensions }));
  for (
    const packet of [
      ...authenticated,
      buildIpv6({ ...OUT, protocol: 50 }),
      buildIpv6({ ...OUT, protocol: 1 }),
    ]
  ) {
    const { type, code, source, destination } = read6(only(world.outbound(packet), "inside"));
    assertEquals([type, code, source, destination], [1, 1, GATEWAY6, CLIENT6]);
  }
  assertEquals(world.dropped(DropReason.natUnsupportedProtocol), 5);
  assertEquals(world.nat.mappingCount, 0);
});

Deno.test("a UDP checksum of 0 stays 0, as tunnels have it (RFC 6935), and a computed 0 is sent as 0xffff", () => {
  const world = createWorld6();
  const none = buildUdp6(OUT);
  none.set([0, 0], 46);
  const { transport } = read6(only(world.outbound(none), "outside"));
  assertEquals([transport[6], transport[7]], [0, 0]);
  const of = (word: number) =>
    only(
      world.outbound(buildUdp6({ ...OUT, payload: Uint8Array.of(word >> 8, word & 0xff) })),
      "outside",
    );
  // What a word of zeros comes to, complements itself.
  const checksum = new DataView(of(0).buffer).getUint16(46);
  const sent = of(checksum);
  read6(sent);
  assertEquals([sent[46], sent[47]], [0xff, 0xff]);
});

// ICMPv6.

Deno.test("echoes are told apart by the identifier, and their checksums cover the addresses", () => {
  const world = createWorld6();
  const ids = [CLIENT6, CLIENT6_2].map((source) =>
    read6(only(world.outbound(echo({ source, destination: REMOTE6 })), "outside")).identifier
  );
  assertNotEquals(ids[0], ids[1]);
  for (const [i, destination] of [CLIENT6, CLIENT6_2].entries()) {
    const got = read6(only(world.inbound(echo({ ...BACK, type: 129 }, ids[i])), "inside"));
    assertEquals([got.destination, got.identifier], [destination, 77]);
  }
});

Deno.test("a packet that is too big for the way outside is refused with its MTU, whatever it is", () => {
  const world = createWorld6({ externalMtu: 1400 });
  const long = buildUdp6({ ...OUT, payload: new Uint8Array(1360) });
  const error = only(world.outbound(long), "inside");
  const { type, code, mtu, source } = read6(error);
  assertEquals([type, code, mtu, source], [2, 0, 1400, GATEWAY6]);
  // As much of the packet as fits 1,280 bytes (RFC 4443 section 3.2).
  assertEquals(error.length, 1280);
  assertEquals(quotedBy6(error), long.slice(0, 1232));
});

Deno.test("a packet that is too big for the tunnel is refused with an error of the gateway's address outside", () => {
  const world = createWorld6({ innerMtu: 1300 });
  const destinationPort = portOf(world);
  const long = buildUdp6({ ...BACK, destinationPort, payload: new Uint8Array(1360) });
  const { type, mtu, source, destination } = read6(only(world.inbound(long), "outside"));
  assertEquals([type, mtu, source, destination], [2, 1300, EXTERNAL6, REMOTE6]);
});

Deno.test("a router's 'packet too big' about a fragment reaches the client with its own address and port", () => {
  const world = createWorld6();
  const [part] = fragment6(buildUdp6({ ...OUT, payload: PAYLOAD }), 1480, 7);
  const sent = only(world.outbound(part!), "outside");
  const router = "2001:db8:8:0:0:0:0:8";
  const error = buildIcmp6({
    ...{ source: router, destination: EXTERNAL6, type: 2 },
    payload: sent.slice(0, 1000),
  });
  const got = only(world.inbound(error), "inside");
  const quoted = read6(quotedBy6(got), { checked: false });
  assertEquals([read6(got).source, read6(got).destination], [router, CLIENT6]);
  assertEquals([quoted.source, quoted.sourcePort, quoted.destination], [CLIENT6, 40_000, REMOTE6]);
});

Deno.test("an error with a wrong checksum, or whose quotation is cut off, is dropped", () => {
  const world = createWorld6();
  const sent = only(world.outbound(buildUdp6(OUT)), "outside");
  const error = (size: number) =>
    buildIcmp6({ source: REMOTE6, destination: EXTERNAL6, type: 1, payload: sent.slice(0, size) });
  only(world.inbound(error(48)), "inside");
  for (const size of [0, 39, 40, 47]) assertSilent(world.inbound(error(size)));
  const wrong = error(48);
  wrong[43]! ^= 1;
  assertSilent(world.inbound(wrong));
  assertEquals(world.dropped(DropReason.natBadIcmp), 5);
});

Deno.test("MSS is clamped to what IPv6's longer header leaves", () => {
  const world = createWorld6({ innerMtu: 1400 });
  const tcpOptions = [2, 4, 5, 180];
  const out = only(world.outbound(buildTcp6({ ...OUT, flags: SYN, tcpOptions })), "outside");
  assertEquals(read6(out).transport.slice(20, 24), Uint8Array.of(2, 4, 1340 >> 8, 1340 & 0xff));
});

// Addresses.

Deno.test("a forwarded port leads to the client's address for good, also if nothing else is known of it", () => {
  const forwards = [{ protocol: "tcp", externalPort: 8080, address: CLIENT6, port: 80 }] as const;
  const world = createWorld6({ forwards });
  world.advance(100_000_000);
  for (let i = 0; i < 3; i++) world.outbound(buildUdp6({ ...OUT, source: CLIENT6_2 }));
  const syn = { ...BACK, sourcePort: 4000, destinationPort: 8080, flags: SYN };
  const got = only(world.inbound(buildTcp6(syn)), "inside");
  assertEquals([read6(got).destination, read6(got).destinationPort], [CLIENT6, 80]);
  assert(isForwarded(world, got));
  const answer = { source: CLIENT6, destination: REMOTE6, sourcePort: 80, destinationPort: 4000 };
  const sent = read6(only(world.outbound(buildTcp6({ ...answer, flags: SYN | ACK })), "outside"));
  assertEquals([sent.source, sent.sourcePort], [EXTERNAL6, 8080]);
});

function isForwarded({ memory, nat }: World6, packet: Bytes): boolean {
  memory.bytes.set(packet, 0);
  return nat.isForwarded(0);
}

Deno.test("mappings keep their ports when the external address changes, and the old address is forgotten", () => {
  const world = createWorld6();
  const port = portOf(world);
  const known = world.headers.holds.size;
  const other = "2001:db8:1:0:0:0:0:2";
  world.nat.all[0]!.externalAddress = other;
  const { source, sourcePort } = read6(only(world.outbound(buildUdp6(OUT)), "outside"));
  assertEquals([source, sourcePort], [other, port]);
  const answer = { source: REMOTE6, destinationPort: port };
  assertSilent(world.inbound(buildUdp6({ ...answer, destination: EXTERNAL6 })));
  only(world.inbound(buildUdp6({ ...answer, destination: other })), "inside");
  world.outbound(buildUdp6(OUT));
  assertEquals(world.headers.holds.size, known);
});

Deno.test("without an address outside nothing comes in, and nothing is taken for it", () => {
  const world = createWorld6({ externalAddress: null });
  assertEquals(world.outbound(buildUdp6(OUT)).inside, []);
  assertSilent(world.inbound(buildUdp6({ ...BACK, destinationPort: 40_000 })));
  world.memory.bytes.set(buildUdp6(OUT), 10);
  assertEquals(world.nat.all[0]!.isForExternal(10), false);
});

Deno.test("strangers take no memory: whatever they send, no address of theirs is entered", () => {
  const world = createWorld6();
  const destinationPort = portOf(world);
  const known = world.headers.holds.size;
  for (let i = 0; i < 5000; i++) {
    const source = `2001:db8:f00:0:0:0:${(i >> 8).toString(16)}:${(i + 1).toString(16)}`;
    world.inbound(buildUdp6({ source, destination: EXTERNAL6, destinationPort }));
    if (i % 100 === 0) world.advance(SECOND / 10);
  }
  assert(world.headers.holds.size <= known);
});

Deno.test("a client that writes to ever new addresses takes no more of them than it may have sessions", () => {
  const world = createWorld6({ clientQuota: 4, filtering: "address" });
  for (let i = 0; i < 3000; i++) {
    const destination = `2001:db8:f00:0:0:0:${(i >> 8).toString(16)}:${(i + 1).toString(16)}`;
    world.outbound(buildUdp6({ ...OUT, destination }));
  }
  assert(world.headers.holds.size <= 2 + 4 * 16 + 8, `${world.headers.holds.size}`);
  world.advance(10_000_000);
  assertEquals(world.headers.holds.size, 2);
});
