/** Tests of the requirements of RFC 5508, NAT behaviour for ICMP, each named by its number. */
import { ICMP_QUERY_TIMEOUT } from "../../../lib/core/nat/constants.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals, assertNotEquals } from "../../support/assert.ts";
import { buildIcmp, buildTcp, buildUdp, type Bytes } from "../../support/packets/packet_builder.ts";
import {
  assertSilent,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  GATEWAY,
  only,
  quotedBy,
  read,
  REMOTE,
  REMOTE_2,
  World,
} from "../../support/nat/world.ts";

const PAYLOAD = Uint8Array.of(5, 6, 7, 8, 9);

function echo(world: World, destination = REMOTE, source = CLIENT, identifier = 77): number {
  const request = buildIcmp({ source, destination, identifier, payload: PAYLOAD });
  const sent = read(only(world.outbound(request), "outside"));
  assertEquals([sent.source, sent.destination, sent.type], [EXTERNAL, destination, 8]);
  return sent.identifier;
}

function reply(identifier: number, source = REMOTE): Bytes {
  return buildIcmp({ source, destination: EXTERNAL, type: 0, identifier, payload: PAYLOAD });
}

/** A client's UDP mapping, and a datagram of it as it stands outside. */
function mapped(world: World, source = CLIENT, sourcePort = 40_000): { port: number; out: Bytes } {
  const packet = buildUdp({ source, destination: REMOTE, sourcePort, payload: PAYLOAD });
  const out = only(world.outbound(packet), "outside");
  return { port: read(out).sourcePort, out };
}

function errorFor(payload: Bytes, fields = {}): Bytes {
  return buildIcmp({
    source: REMOTE_2,
    destination: EXTERNAL,
    type: 3,
    code: 3,
    identifier: 0,
    sequenceNumber: 0,
    payload,
    ...fields,
  });
}

Deno.test("RFC 5508 REQ-1: echo requests leave and their replies come back, told apart by the id", () => {
  const world = new World();
  const first = echo(world, REMOTE, CLIENT, 77);
  const second = echo(world, REMOTE, CLIENT_2, 77);
  assertNotEquals(first, second);
  for (const [identifier, client] of [[first, CLIENT], [second, CLIENT_2]] as const) {
    const received = read(only(world.inbound(reply(identifier)), "inside"));
    assertEquals(
      [received.source, received.destination, received.identifier],
      [REMOTE, client, 77],
    );
    assertEquals(received.transport.slice(8), PAYLOAD);
  }
});

Deno.test("RFC 5508 REQ-1a: an id has one mapping, whatever the destination", () => {
  const world = new World();
  assertEquals(echo(world, REMOTE), echo(world, REMOTE_2));
  assertEquals(world.nat.mappingCount, 1);
});

Deno.test("RFC 5508 REQ-2: a query's mapping lasts a minute from the last request", () => {
  const world = new World();
  assert(ICMP_QUERY_TIMEOUT >= 60_000);
  const identifier = echo(world);
  world.advance(ICMP_QUERY_TIMEOUT - 1);
  assertEquals(echo(world), identifier);
  world.advance(ICMP_QUERY_TIMEOUT - 1);
  only(world.inbound(reply(identifier)), "inside");
  world.advance(1);
  assertSilent(world.inbound(reply(identifier)));
});

Deno.test("RFC 5508 REQ-3: an error with a wrong ICMP checksum is dropped", () => {
  const world = new World();
  assertSilent(world.inbound(errorFor(mapped(world).out, { checksum: 0x1234 })));
  assertEquals(world.dropped(DropReason.natBadIcmp), 1);
});

Deno.test("RFC 5508 REQ-3a: an error that quotes a wrong IP checksum is dropped", () => {
  const world = new World();
  const { out } = mapped(world);
  out[10] ^= 1;
  assertSilent(world.inbound(errorFor(out)));
  assertEquals(world.dropped(DropReason.natBadIcmp), 1);
});

Deno.test("RFC 5508 REQ-3b: options of the quoted packet are passed over", () => {
  const world = new World();
  const { port } = mapped(world);
  const out = buildUdp({
    source: EXTERNAL,
    destination: REMOTE,
    sourcePort: port,
    options: [7, 7, 4, 0, 0, 0, 0],
  });
  const quoted = read(quotedBy(only(world.inbound(errorFor(out)), "inside")), { checked: false });
  assertEquals([quoted.source, quoted.sourcePort], [CLIENT, 40_000]);
});

Deno.test("RFC 5508 REQ-3c: the quoted transport checksum is not checked", () => {
  const world = new World();
  const { out } = mapped(world);
  out[26] ^= 0x40;
  only(world.inbound(errorFor(out)), "inside");
});

Deno.test("RFC 5508 REQ-3d: what follows the quoted packet comes through unchanged", () => {
  const world = new World();
  const { out } = mapped(world);
  const extended = new Uint8Array(128 + 8);
  extended.set(out);
  extended.set([0x20, 0, 0, 0, 0, 4, 1, 1], 128);
  const received = only(world.inbound(errorFor(extended)), "inside");
  assertEquals(quotedBy(received).slice(out.length), extended.slice(out.length));
  read(received);
});

Deno.test("RFC 5508 REQ-4: an error from outside is silently dropped when nothing is mapped", () => {
  const world = new World();
  const { port } = mapped(world);
  const stray = buildUdp({ source: EXTERNAL, destination: REMOTE, sourcePort: 9 });
  assertSilent(world.inbound(errorFor(stray)));
  // Nor is anything of another host's mapped, though it has the port.
  const other = buildUdp({ source: REMOTE_2, destination: REMOTE, sourcePort: port });
  assertSilent(world.inbound(errorFor(other)));
});

for (const [size, what] of [[28, "cut off after 8 bytes"], [1000, "quoted as a whole"]] as const) {
  Deno.test(`RFC 5508 REQ-4: an error from outside quotes and reaches what the client knows, ${what}`, () => {
    for (const build of [buildUdp, buildTcp]) {
      const world = new World();
      const packet = build({ source: CLIENT, destination: REMOTE, flags: 2, payload: PAYLOAD });
      const out = only(world.outbound(packet), "outside");
      const error = errorFor(out.slice(0, size), { type: 3, code: 4, sequenceNumber: 1300 });
      const received = only(world.inbound(error), "inside");
      const outer = read(received);
      assertEquals(
        [outer.source, outer.destination, outer.type, outer.code, outer.mtu, outer.timeToLive],
        [REMOTE_2, CLIENT, 3, 4, 1300, 63],
      );
      // As the client sent it, but for what the way changes: the time to live, and the id without DF.
      const quoted = quotedBy(received);
      const inner = read(quoted, { checked: false });
      assertEquals([inner.source, inner.destination], [CLIENT, REMOTE]);
      assertEquals(quoted.slice(20), packet.slice(20, size));
    }
  });
}

Deno.test("RFC 5508 REQ-4: an error about an echo request reaches its sender with its id", () => {
  const world = new World();
  const request = buildIcmp({ source: CLIENT, destination: REMOTE, identifier: 77 });
  const out = only(world.outbound(request), "outside");
  const received = only(world.inbound(errorFor(out, { type: 11, code: 0 })), "inside");
  assertEquals(quotedBy(received).slice(20), request.slice(20));
  assertEquals(read(received).destination, CLIENT);
});

Deno.test("RFC 5508 REQ-5: a client's error leaves with the gateway's address, about what the server sent", () => {
  const world = new World();
  const { port } = mapped(world);
  const datagram = buildUdp({
    source: REMOTE,
    destination: EXTERNAL,
    sourcePort: 53,
    destinationPort: port,
    payload: PAYLOAD,
  });
  const received = only(world.inbound(datagram), "inside");
  const error = buildIcmp({
    source: CLIENT,
    destination: REMOTE,
    type: 3,
    code: 3,
    payload: received,
  });
  const sent = only(world.outbound(error), "outside");
  const outer = read(sent);
  assertEquals(
    [outer.source, outer.destination, outer.type, outer.code],
    [EXTERNAL, REMOTE, 3, 3],
  );
  assertEquals(read(quotedBy(sent), { checked: false }).destination, EXTERNAL);
  assertEquals(quotedBy(sent).slice(20), datagram.slice(20));
});

Deno.test("RFC 5508 REQ-5: a client's error is silently dropped when nothing is mapped", () => {
  const world = new World();
  const payload = buildUdp({ source: REMOTE, destination: CLIENT, destinationPort: 9 });
  const error = buildIcmp({ source: CLIENT, destination: REMOTE, type: 3, code: 3, payload });
  assertSilent(world.outbound(error));
  assertEquals(world.dropped(DropReason.natNoMapping), 1);
});

Deno.test("RFC 5508 REQ-5c: an error of a router behind the client leaves with the gateway's address too", () => {
  const world = new World({ clientOf: (address) => address >>> 8 });
  mapped(world);
  const payload = buildUdp({
    source: REMOTE,
    destination: CLIENT,
    sourcePort: 53,
    destinationPort: 40_000,
  });
  const error = (source: string) =>
    world.outbound(buildIcmp({ source, destination: REMOTE, type: 3, code: 4, payload }));
  assertEquals(read(only(error(CLIENT_2), "outside")).source, EXTERNAL);
  // One client's word about another's packets is not passed on.
  assertSilent(error("10.66.78.2"));
});

Deno.test("RFC 5508 REQ-6: an error neither refreshes nor removes a mapping", () => {
  const world = new World();
  const request = buildIcmp({ source: CLIENT, destination: REMOTE, identifier: 77 });
  const out = only(world.outbound(request), "outside");
  world.advance(ICMP_QUERY_TIMEOUT - 1);
  only(world.inbound(errorFor(out)), "inside");
  only(world.inbound(reply(read(out).identifier)), "inside");
  world.advance(1);
  assertSilent(world.inbound(reply(read(out).identifier)));
});

Deno.test("RFC 5508 REQ-7: a client's error about a hairpinned packet reaches the other client", () => {
  const world = new World();
  const { port } = mapped(world, CLIENT, 40_000);
  const packet = buildUdp({
    source: CLIENT_2,
    destination: EXTERNAL,
    sourcePort: 50_000,
    destinationPort: port,
    payload: PAYLOAD,
  });
  const received = only(world.outbound(packet), "inside");
  const error = buildIcmp({
    source: CLIENT,
    destination: EXTERNAL,
    type: 3,
    code: 3,
    payload: received,
  });
  assert(world.takeExternal(error));
  const sent = only(world.outbound(error), "inside");
  const outer = read(sent);
  // REQ-7a: addressed to the source of the packet that it now quotes.
  assertEquals([outer.source, outer.destination], [EXTERNAL, CLIENT_2]);
  const quoted = read(quotedBy(sent), { checked: false });
  assertEquals(
    [quoted.source, quoted.sourcePort, quoted.destination, quoted.destinationPort],
    [CLIENT_2, 50_000, EXTERNAL, port],
  );
  assertEquals(quotedBy(sent).slice(20), packet.slice(20));
});

Deno.test("RFC 5508 REQ-8: what the quota refuses is answered by ICMP 3/13", () => {
  const world = new World({ clientQuota: 0 });
  for (
    const packet of [
      buildUdp({ source: CLIENT, destination: REMOTE, sourcePort: 40_001 }),
      buildTcp({ source: CLIENT, destination: REMOTE, sourcePort: 40_001, flags: 2 }),
      buildIcmp({ source: CLIENT, destination: REMOTE, identifier: 5 }),
    ]
  ) {
    const error = only(world.outbound(packet), "inside");
    const outer = read(error);
    assertEquals(
      [outer.source, outer.destination, outer.type, outer.code],
      [GATEWAY, CLIENT, 3, 13],
    );
    assertEquals(quotedBy(error), packet);
  }
  assertEquals(world.dropped(DropReason.natQuota), 3);
});

Deno.test("RFC 5508 REQ-10: unreachable, time exceeded and parameter problem pass; redirect and source quench do not", () => {
  const world = new World();
  const { out } = mapped(world);
  for (const type of [3, 11, 12]) {
    assertEquals(read(only(world.inbound(errorFor(out, { type, code: 0 })), "inside")).type, type);
  }
  for (const type of [4, 5]) assertSilent(world.inbound(errorFor(out, { type, code: 0 })));
  assertEquals(world.dropped(DropReason.natUnsupportedProtocol), 2);
});

Deno.test("RFC 5508 REQ-11: ICMP messages that are neither echo nor error are dropped", () => {
  const world = new World();
  for (const type of [9, 10, 13, 15, 17, 42, 255]) {
    assertSilent(world.outbound(buildIcmp({ source: CLIENT, destination: REMOTE, type })));
    assertSilent(world.inbound(buildIcmp({ source: REMOTE, destination: EXTERNAL, type })));
  }
  assertEquals(world.nat.mappingCount, 0);
});
