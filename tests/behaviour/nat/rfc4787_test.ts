/** Tests of the requirements of RFC 4787, NAT behaviour for UDP, each named by its number. */
import { UDP_TIMEOUT } from "../../../lib/core/nat/constants.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals, assertNotEquals } from "../../support/assert.ts";
import { buildIcmp, buildUdp, type Bytes, fragment } from "../../support/packets/packet_builder.ts";
import {
  assertSilent,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  GATEWAY,
  only,
  read,
  reassemble,
  REMOTE,
  REMOTE_2,
  SECOND,
  World,
} from "../../support/nat/world.ts";

const PAYLOAD = Uint8Array.of(1, 2, 3);

/** No well-known service's, whose mappings end sooner. */
const REMOTE_PORT = 5000;

/** The external port of a client's inner port. */
function portOf(
  world: World,
  sourcePort: number,
  source = CLIENT,
  destination = REMOTE,
  destinationPort = REMOTE_PORT,
): number {
  const fields = { source, destination, sourcePort, destinationPort, payload: PAYLOAD };
  const sent = world.outbound(buildUdp(fields));
  return read(only(sent, "outside")).sourcePort;
}

function answer(destinationPort: number, source = REMOTE, sourcePort = REMOTE_PORT): Bytes {
  return buildUdp({ source, destination: EXTERNAL, sourcePort, destinationPort, payload: PAYLOAD });
}

Deno.test("RFC 4787 REQ-1: a client's port has one mapping, whatever the destination", () => {
  const world = new World();
  const port = portOf(world, 40_000, CLIENT, REMOTE);
  assertEquals(portOf(world, 40_000, CLIENT, REMOTE_2), port);
  assertEquals(world.nat.mappingCount, 1);
  assertNotEquals(portOf(world, 40_002), port);
});

Deno.test("RFC 4787 REQ-3: no two endpoints have an external port and a remote end in common, however many there are", () => {
  const world = new World({ ports: { first: 30_000, last: 30_015 } });
  const external = new Map<number, string>();
  for (const client of [CLIENT, CLIENT_2]) {
    for (let i = 0; i < 8; i++) external.set(portOf(world, 40_000 + i, client), `${client}/${i}`);
  }
  for (const [port, owner] of external) {
    const { destination, destinationPort } = read(only(world.inbound(answer(port)), "inside"));
    assertEquals(`${destination}/${destinationPort - 40_000}`, owner);
  }
});

Deno.test("RFC 4787 REQ-3a: ports below 1,024 stay below, the others above", () => {
  const world = new World({ ports: { first: 600, last: 2000 } });
  for (let port = 0; port < 200; port++) {
    const low = portOf(world, port);
    const high = portOf(world, 1024 + port);
    assert(low >= 600 && low < 1024, `${low} for ${port}`);
    assert(high >= 1024 && high <= 2000, `${high} for ${1024 + port}`);
  }
});

Deno.test("RFC 4787 REQ-3a: a low port gets a high one where the range has no other", () => {
  const world = new World({ ports: { first: 20_000, last: 20_999 } });
  assert(portOf(world, 123) >= 20_000);
});

Deno.test("RFC 4787 REQ-4: even ports stay even, and odd ones odd", () => {
  const world = new World();
  for (let port = 40_000; port < 40_200; port++) assertEquals(portOf(world, port) & 1, port & 1);
});

Deno.test("RFC 4787 REQ-5: a UDP mapping lasts five minutes", () => {
  const world = new World();
  assert(UDP_TIMEOUT >= 300 * SECOND);
  const port = portOf(world, 40_000);
  world.advance(UDP_TIMEOUT - 1);
  only(world.inbound(answer(port)), "inside");
  world.advance(1);
  assertSilent(world.inbound(answer(port)));
  assertEquals(world.dropped(DropReason.natNoMapping), 1);
});

Deno.test("RFC 4787 REQ-5a: a mapping that talks to well-known ports alone lasts a minute", () => {
  for (
    const [ports, timeout] of [[[443], 60], [[123, 443], 60], [[443, 5000, 443], 300]] as const
  ) {
    const world = new World();
    let port = 0;
    for (const remotePort of ports) port = portOf(world, 40_000, CLIENT, REMOTE, remotePort);
    world.advance(timeout * SECOND - 1);
    only(world.inbound(answer(port, REMOTE, 443)), "inside");
    world.advance(1);
    assertSilent(world.inbound(answer(port, REMOTE, 443)));
  }
});

Deno.test("RFC 4787 REQ-5a: a DNS question's mapping ends 20 s behind the last answer", () => {
  const world = new World();
  const dns = (port: number) => answer(port, REMOTE, 53);
  const port = portOf(world, 40_000, CLIENT, REMOTE, 53);
  assertEquals(portOf(world, 40_000, CLIENT, REMOTE_2, 53), port);
  world.advance(5 * SECOND);
  only(world.inbound(dns(port)), "inside");
  // One is still to come.
  world.advance(30 * SECOND);
  only(world.inbound(dns(port)), "inside");
  world.advance(20 * SECOND - 1);
  only(world.inbound(dns(port)), "inside");
  world.advance(1);
  assertSilent(world.inbound(dns(port)));
  assertEquals(world.nat.mappingCount, 0);
});

Deno.test("RFC 4787 REQ-5a: what comes from port 53 shortens no mapping that talks to other ports", () => {
  const world = new World();
  const port = portOf(world, 40_000);
  portOf(world, 40_000, CLIENT, REMOTE, 53);
  only(world.inbound(answer(port, REMOTE, 53)), "inside");
  world.advance(UDP_TIMEOUT - 1);
  only(world.inbound(answer(port)), "inside");
});

Deno.test("RFC 4787 REQ-6: outbound packets refresh a mapping, inbound ones do not", () => {
  const world = new World();
  const port = portOf(world, 40_000);
  world.advance(200 * SECOND);
  assertEquals(portOf(world, 40_000), port);
  world.advance(200 * SECOND);
  only(world.inbound(answer(port)), "inside");
  world.advance(99 * SECOND);
  only(world.inbound(answer(port)), "inside");
  world.advance(1 * SECOND);
  assertSilent(world.inbound(answer(port)));
});

Deno.test("RFC 4787 REQ-8: by default anybody may send to a mapping", () => {
  const world = new World();
  const port = portOf(world, 40_000, CLIENT, REMOTE);
  const received = read(only(world.inbound(answer(port, REMOTE_2, 9)), "inside"));
  assertEquals(
    [received.source, received.sourcePort, received.destination, received.destinationPort],
    [REMOTE_2, 9, CLIENT, 40_000],
  );
});

Deno.test("RFC 4787 REQ-8: with address filtering only those written to may, from any port", () => {
  const world = new World({ filtering: "address" });
  const port = portOf(world, 40_000, CLIENT, REMOTE);
  only(world.inbound(answer(port, REMOTE, 9)), "inside");
  assertSilent(world.inbound(answer(port, REMOTE_2, 53)));
  assertEquals(world.dropped(DropReason.natFiltered), 1);
  portOf(world, 40_000, CLIENT, REMOTE_2);
  only(world.inbound(answer(port, REMOTE_2, 53)), "inside");
  // The permission of one is not refreshed by what the other gets.
  world.advance(UDP_TIMEOUT / 2);
  portOf(world, 40_000, CLIENT, REMOTE_2);
  world.advance(UDP_TIMEOUT / 2 - 1);
  only(world.inbound(answer(port, REMOTE)), "inside");
  world.advance(1);
  assertSilent(world.inbound(answer(port, REMOTE)));
  only(world.inbound(answer(port, REMOTE_2)), "inside");
});

Deno.test("RFC 4787 REQ-9: a client reaches another by its external endpoint, seen with its own", () => {
  const world = new World();
  const port = portOf(world, 40_000, CLIENT);
  const otherPort = portOf(world, 50_000, CLIENT_2);
  const sent = world.outbound(buildUdp({
    source: CLIENT_2,
    destination: EXTERNAL,
    sourcePort: 50_000,
    destinationPort: port,
    payload: PAYLOAD,
  }));
  const received = read(only(sent, "inside"));
  assertEquals(
    [received.source, received.sourcePort, received.destination, received.destinationPort],
    [EXTERNAL, otherPort, CLIENT, 40_000],
  );
  assertEquals(received.timeToLive, 63);
  assertSilent(
    world.outbound(
      buildUdp({ source: CLIENT_2, destination: EXTERNAL, destinationPort: port ^ 1 }),
    ),
  );
});

Deno.test("RFC 4787 REQ-9: hairpinned packets are filtered like others", () => {
  const world = new World({ filtering: "address" });
  const port = portOf(world, 40_000, CLIENT);
  const hairpin = (source: string, sourcePort: number, destinationPort: number) =>
    world.outbound(buildUdp({ source, destination: EXTERNAL, sourcePort, destinationPort }));
  const otherPort = portOf(world, 50_000, CLIENT_2);
  assertSilent(hairpin(CLIENT_2, 50_000, port));
  // Now the first client writes to the external address too; the other one has by then.
  only(hairpin(CLIENT, 40_000, otherPort), "inside");
  only(hairpin(CLIENT_2, 50_000, port), "inside");
});

Deno.test("RFC 4787 REQ-11: the same packets get the same treatment, however full the tables", () => {
  const world = new World({ ports: { first: 30_000, last: 30_099 } });
  const port = portOf(world, 40_000);
  for (let i = 1; i < 100; i++) portOf(world, 41_000 + i, CLIENT_2);
  assertEquals(portOf(world, 40_000), port);
  only(world.inbound(answer(port, REMOTE_2)), "inside");
});

Deno.test("RFC 4787 REQ-12: no ICMP message ends a mapping, whatever its sender", () => {
  const world = new World();
  const port = portOf(world, 40_000);
  const quoted = buildUdp({ source: EXTERNAL, destination: REMOTE, sourcePort: port });
  for (const [type, code] of [[3, 0], [3, 1], [3, 3], [3, 13], [11, 0], [12, 0], [4, 0], [5, 1]]) {
    world.inbound(
      buildIcmp({ source: REMOTE_2, destination: EXTERNAL, type, code, payload: quoted }),
    );
  }
  only(world.inbound(answer(port)), "inside");
  assertEquals(portOf(world, 40_000), port);
});

Deno.test("RFC 4787 REQ-13: a packet with DF that is too long is answered by ICMP 3/4 and the MTU", () => {
  const world = new World({ externalMtu: 1400 });
  const packet = buildUdp({
    source: CLIENT,
    destination: REMOTE,
    dontFragment: true,
    payload: new Uint8Array(1373),
  });
  const error = read(only(world.outbound(packet), "inside"));
  assertEquals(
    [error.source, error.destination, error.type, error.code, error.mtu],
    [GATEWAY, CLIENT, 3, 4, 1400],
  );
  const quoted = error.transport.slice(8);
  assertEquals(quoted, packet.slice(0, 576 - 28));
  // One byte less fits.
  only(
    world.outbound(buildUdp({
      source: CLIENT,
      destination: REMOTE,
      dontFragment: true,
      payload: new Uint8Array(1372),
    })),
    "outside",
  );
});

Deno.test("RFC 4787 REQ-13a: without DF it is fragmented, and the fragments leave in order", () => {
  const world = new World({ externalMtu: 600 });
  const payload = world.random.bytes(1390);
  const sent = world.outbound(buildUdp({ source: CLIENT, destination: REMOTE, payload }));
  assertEquals(sent.inside.length, 0);
  assertEquals(sent.outside.map((packet) => packet.length), [596, 596, 266]);
  assertEquals(sent.outside.map((packet) => read(packet).fragmentOffset), [0, 72, 144]);
  const whole = read(reassemble(sent.outside));
  assertEquals([whole.source, whole.destination], [EXTERNAL, REMOTE]);
  assertEquals(whole.transport.slice(8), payload);
});

for (
  const [order, arrange] of Object.entries({
    "in order": (fragments: Bytes[]) => fragments,
    "backwards": (fragments: Bytes[]) => fragments.reverse(),
    "with the first in the middle": (
      [first, ...rest]: Bytes[],
    ) => [rest[0], first, ...rest.slice(1)],
  })
) {
  Deno.test(`RFC 4787 REQ-14: fragments are translated ${order}, both ways`, () => {
    const world = new World();
    const payload = world.random.bytes(5000);
    const outwards = buildUdp({ source: CLIENT, destination: REMOTE, payload });
    const sent = arrange(fragment(outwards, 1420)).map((packet) => world.outbound(packet));
    assertEquals(sent.flatMap(({ inside }) => inside), []);
    const out = read(reassemble(sent.flatMap(({ outside }) => outside)));
    assertEquals([out.source, out.destination, out.timeToLive], [EXTERNAL, REMOTE, 63]);
    assertEquals(out.transport.slice(8), payload);

    const inwards = buildUdp({
      source: REMOTE,
      destination: EXTERNAL,
      destinationPort: out.sourcePort,
      payload,
    });
    const received = arrange(fragment(inwards, 1420)).map((packet) => world.inbound(packet));
    const back = read(reassemble(received.flatMap(({ inside }) => inside)));
    assertEquals([back.destination, back.destinationPort], [CLIENT, 40_000]);
    assertEquals(back.transport.slice(8), payload);
  });
}

Deno.test("RFC 4787 REQ-14a: fragments whose first never comes stop neither others nor whole packets", () => {
  const world = new World();
  const port = portOf(world, 40_000);
  const payload = world.random.bytes(300);
  const parts = (source: string, identification: number) =>
    fragment(
      buildUdp({ source, destination: EXTERNAL, destinationPort: port, identification, payload }),
      180,
    );
  for (let identification = 0; identification < 5000; identification++) {
    assertSilent(world.inbound(parts(REMOTE_2, identification)[1]));
    if (identification % 1000 === 0) {
      const received = parts(REMOTE, identification).flatMap((part) => world.inbound(part).inside);
      assertEquals(read(reassemble(received)).transport.slice(8), payload);
      only(world.inbound(answer(port)), "inside");
    }
  }
  assert(world.dropped(DropReason.natFragment) > 3000);
});
