/**
 * Tests of workers that have the external address together, under attack and in between: what they hand over is not
 * passed to and fro, nothing of it is lost without being counted, and errors make nothing.
 */
import { FRAGMENT_TIMEOUT, MAX_SESSIONS } from "../../../lib/core/nat/constants.ts";
import { Origin } from "../../../lib/core/nat/slices/hand_over.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { buildIcmp, buildUdp, type Bytes, fragment } from "../../support/packets/packet_builder.ts";
import {
  address,
  assertSilent,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  only,
  read,
  REMOTE,
  World,
} from "../../support/nat/world.ts";

const PACKET_AT = 10;
const PORT = 40_000;
const SERVICE = {
  protocol: "udp",
  externalPort: 8080,
  address: address(CLIENT_2),
  port: 80,
} as const;

/** The two clients are at different workers, where there are two. */
function stage(workers: number, options: ConstructorParameters<typeof World>[0] = {}) {
  const world = new World({ workers, ...options });
  const ask = (source: string) =>
    read(
      only(world.outbound(buildUdp({ source, sourcePort: PORT, destination: REMOTE })), "outside"),
    );
  return { world, ports: [CLIENT, CLIENT_2].map((source) => ask(source).sourcePort) };
}

const hairpin = (source: string, destinationPort: number, size = 100): Bytes =>
  buildUdp({
    source,
    sourcePort: PORT,
    destination: EXTERNAL,
    destinationPort,
    identification: 7,
    dontFragment: false,
    payload: new Uint8Array(size),
  });

/** Has a worker take what is handed over next, and nobody what comes of it. */
function takeHandedOver(world: World): { offered: number } {
  let offered = 0;
  for (let next = world.nat.nextHandedOver(); next !== null; next = world.nat.nextHandedOver()) {
    world.memory.bytes.set(next.packet, PACKET_AT);
    next.nat.inbound(PACKET_AT, world.clock.now, next.origin as Origin);
    offered++;
  }
  return { offered };
}

Deno.test("what has been handed over stays where it is, whosever it is: workers that differ pass nothing to and fro", () => {
  const { world, ports } = stage(2);
  for (const [number, nat] of world.nat.all.entries()) {
    const destinationPort = ports[1 - number];
    const quoted = buildUdp({ source: EXTERNAL, sourcePort: destinationPort, destination: REMOTE });
    const packets = [
      buildUdp({ source: REMOTE, destination: EXTERNAL, destinationPort }),
      buildIcmp({ source: REMOTE, destination: EXTERNAL, type: 0, identifier: destinationPort }),
      buildIcmp({ source: REMOTE, destination: EXTERNAL, type: 11, payload: quoted }),
    ];
    for (const origin of [Origin.captured, Origin.hairpin]) {
      for (const packet of packets) {
        world.memory.bytes.set(packet, PACKET_AT);
        nat.inbound(PACKET_AT, world.clock.now, origin);
        assertEquals(world.nat.nextHandedOver(), null);
        assertSilent(world.drain());
      }
    }
  }
  assertEquals(world.dropped(DropReason.natNoMapping), 4);
});

Deno.test("what comes for a port or an id that is in nobody's slice is no worker's to hand over", () => {
  const { world } = stage(3);
  for (let port = 480; port < 512; port++) {
    assertSilent(
      world.inbound(buildUdp({ source: REMOTE, destination: EXTERNAL, destinationPort: port })),
    );
    // An answer to the gateway's own, whose kernel sees it as well.
    assertSilent(
      world.inbound(
        buildIcmp({ source: REMOTE, destination: EXTERNAL, type: 0, identifier: port }),
      ),
    );
  }
  assertEquals(world.dropped(DropReason.natNoMapping), 32);
  assertEquals(world.dropped(DropReason.sendQueueFull), 0);
});

Deno.test("what clients send each other while the address outside changes is dropped, and counted, fragments too", () => {
  const { world, ports } = stage(2);
  const [nat] = world.nat.all;
  const packets = [hairpin(CLIENT, ports[1]), ...fragment(hairpin(CLIENT, ports[1], 2000), 1000)];
  for (const packet of packets) {
    world.memory.bytes.set(packet, PACKET_AT);
    nat.outbound(PACKET_AT, world.clock.now);
  }
  assert(packets.length > 2);
  world.nat.externalAddress = address("203.0.113.2");
  assertEquals(takeHandedOver(world).offered, packets.length);
  assertSilent(world.drain());
  assertEquals(world.dropped(DropReason.natNoMapping), packets.length);
});

for (const workers of [1, 2]) {
  Deno.test(`fragments that a client sends to nobody by the address outside are counted, ${workers} workers`, () => {
    const { world, ports } = stage(workers);
    const parts = fragment(hairpin(CLIENT, ports[1] ^ 1, 3000), 1000);
    for (const part of parts) assertSilent(world.outbound(part));
    assertEquals(world.dropped(DropReason.natNoMapping), 1);
    world.advance(FRAGMENT_TIMEOUT);
    world.advance(FRAGMENT_TIMEOUT);
    assertEquals(world.dropped(DropReason.natFragment), 1);
  });

  Deno.test(`an error reaches only a client that has written to the service it is said to come from, ${workers} workers`, () => {
    const { world, ports } = stage(workers, { clientToClient: false, forwards: [SERVICE] });
    const quoted = buildUdp({
      source: EXTERNAL,
      sourcePort: ports[0],
      destination: CLIENT_2,
      destinationPort: 80,
    });
    const error = buildIcmp({
      source: CLIENT_2,
      destination: EXTERNAL,
      type: 3,
      code: 3,
      payload: quoted,
    });
    assertSilent(world.outbound(error));
    assertEquals(world.dropped(DropReason.clientToClientOff), 1);
    only(world.outbound(hairpin(CLIENT, 8080)), "inside");
    assertEquals(read(only(world.outbound(error), "inside")).destination, CLIENT);
  });

  Deno.test(`an error about a packet of another client's service permits it nothing, ${workers} workers`, () => {
    const { world } = stage(workers, { clientToClient: false, forwards: [SERVICE] });
    const before = world.nat.sessionCount;
    const quoted = buildUdp({
      source: EXTERNAL,
      sourcePort: 8080,
      destination: CLIENT,
      destinationPort: PORT,
    });
    const ends = { source: CLIENT, destination: EXTERNAL, type: 3, code: 3 };
    const sent = world.outbound(buildIcmp({ ...ends, payload: quoted }));
    assertEquals(read(only(sent, "inside")).destination, CLIENT_2);
    assertEquals(world.nat.sessionCount, before);
  });
}

Deno.test("each too long packet to another worker's client is answered by one error, of its own", () => {
  const narrow = address(CLIENT) | 0;
  const { world, ports } = stage(2, { mtuOf: (inner) => inner === narrow ? 1220 : 1420 });
  for (let sourcePort = 50_000; sourcePort < 50_004; sourcePort++) {
    const packet = buildUdp({
      source: CLIENT_2,
      sourcePort,
      destination: EXTERNAL,
      destinationPort: ports[0],
      dontFragment: true,
      payload: new Uint8Array(1300),
    });
    const error = only(world.outbound(packet), "inside");
    const quotedPort = error[20 + 8 + 20] << 8 | error[20 + 8 + 21];
    assertEquals([read(error).destination, quotedPort], [CLIENT_2, sourcePort]);
    world.advance(1000);
  }
});

Deno.test("workers together keep no more sessions than one would: a client has half of its worker's part at most", () => {
  const workers = 15;
  const world = new World({ workers, filtering: "address" });
  const half = MAX_SESSIONS / workers / 2;
  for (let i = 0; i < 2 * half; i++) {
    const destination = `198.51.${i >> 8}.${i & 0xff}`;
    world.outbound(buildUdp({ source: CLIENT, sourcePort: 1024 + i % 4000, destination }));
  }
  const { sessions } = world.nat.usageOf(address(CLIENT) | 0);
  assert(sessions > half - 1 && sessions <= half + 1, `${sessions}`);
});
