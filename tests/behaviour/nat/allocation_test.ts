/** Tests that translating the packets of an established flow allocates nothing, once the engine has optimised it. */
import { HandedOverPort } from "../../../lib/core/engine/handed_over_port.ts";
import { MergedTo } from "../../../lib/core/nat/inbound.ts";
import { VNET_HEADER_SIZE } from "../../../lib/core/offload/virtio_net_header.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { buildIcmp, buildTcp, buildUdp, type Bytes } from "../../support/packets/packet_builder.ts";
import { buildTcp6, buildUdp6 } from "../../support/packets/packet_builder6.ts";
import { heapGrowth } from "../../support/heap_growth.ts";
import {
  CLIENT6,
  CLIENT6_2,
  createWorld6,
  EXTERNAL6,
  read6,
  REMOTE6,
  REMOTE6_2,
} from "../../support/nat/world6.ts";
import { backEnd, service, toService, VIRTUAL } from "../../support/nat/services.ts";
import {
  ACK,
  address,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  only,
  read,
  REMOTE,
  SYN,
  World,
} from "../../support/nat/world.ts";

/** Calls for which a single 16-byte object each would show as 1.6 MB. */
const CALLS = 100_000;
const TEMPLATE_AT = 16_384;
const PACKET_AT = 128;
const HANDED_OVER_AT = 2048;

type Direction = "outbound" | "inbound" | "merged" | "hairpin";

/**
 * Offers one packet over and over, at a time that is no whole number. It is the same for all: as the data plane's,
 * which takes it once for a batch, it is made outside of what is measured.
 */
function growth(world: World, packet: Bytes, direction: Direction): number {
  const { nat: { all: [nat] }, memory } = world;
  memory.bytes.set(packet, TEMPLATE_AT);
  const now = world.clock.now + 0.25;
  let offered = 0;
  let sent = 0;
  const end = TEMPLATE_AT + packet.length;
  const grown = heapGrowth(CALLS, () => {
    offered++;
    memory.bytes.copyWithin(PACKET_AT, TEMPLATE_AT, end);
    if (direction === "inbound") nat.inbound(PACKET_AT, now);
    else if (direction === "merged") {
      if (nat.inboundMerged(PACKET_AT, 1420, now) === MergedTo.inside) sent++;
    } else nat.outbound(PACKET_AT, now);
    nat.poll(now);
    sent += nat.outside.length + nat.inside.length;
    nat.outside.clear();
    nat.inside.clear();
  });
  assert(sent === offered, `${sent} of ${offered} packets were sent`);
  return grown;
}

function assertFlat(world: World, packet: Bytes, direction: Direction): void {
  const grown = growth(world, packet, direction);
  assert(grown < CALLS, `${grown} bytes in ${CALLS} calls`);
}

/** Both addresses outside are 2^31 and above, which V8 keeps on the heap as unsigned numbers. */
const OUT = { source: CLIENT, destination: REMOTE };

for (const filtering of ["endpoint", "address"] as const) {
  for (const dontFragment of [true, false]) {
    const name = `filtering by ${filtering}, ${dontFragment ? "with" : "without"} DF`;
    const back = { source: REMOTE, destination: EXTERNAL, dontFragment };

    Deno.test(`TCP is translated without allocation, ${name}`, () => {
      const world = new World({ filtering });
      const out = { ...OUT, dontFragment, sourcePort: 40_000, destinationPort: 80 };
      const syn = world.outbound(buildTcp({ ...out, flags: SYN }));
      const destinationPort = read(only(syn, "outside")).sourcePort;
      const answer = { ...back, sourcePort: 80, destinationPort };
      world.inbound(buildTcp({ ...answer, flags: SYN | ACK }));
      assertFlat(world, buildTcp({ ...out, payload: new Uint8Array(500) }), "outbound");
      assertFlat(world, buildTcp({ ...answer, payload: new Uint8Array(500) }), "inbound");
      assertFlat(world, buildTcp({ ...answer, payload: new Uint8Array(5000) }), "merged");
    });

    Deno.test(`UDP is translated without allocation, ${name}`, () => {
      const world = new World({ filtering });
      const packet = buildUdp({ ...OUT, dontFragment });
      const destinationPort = read(only(world.outbound(packet), "outside")).sourcePort;
      assertFlat(world, packet, "outbound");
      const answer = { ...back, sourcePort: 53, destinationPort };
      assertFlat(world, buildUdp({ ...answer, payload: new Uint8Array(500) }), "inbound");
    });
  }
}

Deno.test("flows on shared ports are translated without allocation", () => {
  // The second of every protocol is beyond the quota.
  const world = new World({ clientQuota: 1 });
  for (const sourcePort of [40_000, 40_002]) {
    const out = { ...OUT, sourcePort, destinationPort: 80 };
    const syn = world.outbound(buildTcp({ ...out, flags: SYN }));
    const destinationPort = read(only(syn, "outside")).sourcePort;
    const answer = { source: REMOTE, destination: EXTERNAL, sourcePort: 80, destinationPort };
    world.inbound(buildTcp({ ...answer, flags: SYN | ACK }));
    assertFlat(world, buildTcp(out), "outbound");
    assertFlat(world, buildTcp(answer), "inbound");
    const datagram = buildUdp(out);
    const sent = read(only(world.outbound(datagram), "outside"));
    assertFlat(world, datagram, "outbound");
    assertFlat(world, buildUdp({ ...answer, destinationPort: sent.sourcePort }), "inbound");
  }
});

for (const isOutside of [false, true]) {
  for (const destination of [EXTERNAL, VIRTUAL]) {
    const name = `${isOutside ? "outside" : "inside"}, at ${destination}`;
    Deno.test(`flows of a service are handed to back ends ${name}, and back, without allocation`, () => {
      const backEnds = ["10.66.77.11", "198.18.0.12"].map((each) => backEnd(each, { isOutside }));
      const externalAddress = destination === EXTERNAL ? null : address(destination);
      for (const isUdp of [false, true]) {
        const protocol = isUdp ? "udp" : "tcp";
        const world = new World({ services: [service({ protocol, externalAddress, backEnds })] });
        const remote = { address: REMOTE, port: 40_000 };
        const side = isOutside ? "outside" : "inside";
        const got = read(only(world.inbound(toService(remote, { destination, isUdp })), side));
        assertFlat(world, toService(remote, { destination, isUdp, flags: ACK }), "inbound");
        const answer = {
          source: got.destination,
          sourcePort: got.destinationPort,
          destination: got.source,
          destinationPort: got.sourcePort,
        };
        const back = isUdp ? buildUdp(answer) : buildTcp(answer);
        assertFlat(world, back, isOutside ? "inbound" : "outbound");
      }
    });
  }
}

Deno.test("echoes are translated without allocation", () => {
  const world = new World();
  const packet = buildIcmp(OUT);
  const { identifier } = read(only(world.outbound(packet), "outside"));
  assertFlat(world, packet, "outbound");
  const reply = { source: REMOTE, destination: EXTERNAL, type: 0, identifier };
  assertFlat(world, buildIcmp(reply), "inbound");
});

Deno.test("hairpinned datagrams are translated without allocation", () => {
  const world = new World();
  const sent = only(world.outbound(buildUdp(OUT)), "outside");
  const destinationPort = read(sent).sourcePort;
  assertFlat(
    world,
    buildUdp({ source: CLIENT_2, destination: EXTERNAL, destinationPort }),
    "hairpin",
  );
});

Deno.test("datagrams for another worker's client are handed over, and translated there, without allocation", () => {
  const world = new World({ workers: 2 });
  const { nat: { all: [first, second] }, memory } = world;
  const sent = only(world.outbound(buildUdp({ ...OUT, source: CLIENT_2 })), "outside");
  const destinationPort = read(sent).sourcePort;
  const packet = buildUdp({ source: CLIENT, destination: EXTERNAL, destinationPort });
  memory.bytes.set(packet, TEMPLATE_AT);
  const end = TEMPLATE_AT + packet.length;
  const port = new HandedOverPort(memory, HANDED_OVER_AT, world.nat.readersOf(1));
  const now = world.clock.now + 0.25;
  let lost = 0;
  const grown = heapGrowth(CALLS, () => {
    memory.bytes.copyWithin(PACKET_AT, TEMPLATE_AT, end);
    first.outbound(PACKET_AT, now);
    if (port.receive() === 0) lost++;
    second.inbound(port.offset + VNET_HEADER_SIZE, now, port.origin);
    if (second.inside.length !== 1) lost++;
    second.inside.clear();
  });
  assertEquals(lost, 0);
  assert(grown < CALLS, `${grown} bytes in ${CALLS} calls`);
});

for (const filtering of ["endpoint", "address"] as const) {
  Deno.test(`IPv6 is translated without allocation, filtering by ${filtering}`, () => {
    const client = {};
    const world = createWorld6({ filtering, clientOf: () => client });
    const out = { source: CLIENT6, destination: REMOTE6, sourcePort: 40_000, destinationPort: 80 };
    const back = { source: REMOTE6, destination: EXTERNAL6, sourcePort: 80 };
    const payload = new Uint8Array(500);
    const syn = world.outbound(buildTcp6({ ...out, flags: SYN }));
    const tcp = { ...back, destinationPort: read6(only(syn, "outside")).sourcePort };
    world.inbound(buildTcp6({ ...tcp, flags: SYN | ACK }));
    assertFlat(world, buildTcp6({ ...out, payload }), "outbound");
    assertFlat(world, buildTcp6({ ...tcp, payload }), "inbound");
    assertFlat(world, buildTcp6({ ...tcp, payload: new Uint8Array(5000) }), "merged");
    const sent = read6(only(world.outbound(buildUdp6(out)), "outside"));
    assertFlat(world, buildUdp6(out), "outbound");
    const udp = { ...back, destinationPort: sent.sourcePort, payload };
    assertFlat(world, buildUdp6(udp), "inbound");
    const other = { source: CLIENT6_2, destination: EXTERNAL6, destinationPort: sent.sourcePort };
    if (filtering === "endpoint") assertFlat(world, buildUdp6(other), "hairpin");
    // What is dropped costs as little.
    const stray = buildUdp6({ ...udp, source: REMOTE6_2, destinationPort: 50_000 });
    world.memory.bytes.set(stray, PACKET_AT);
    const grown = heapGrowth(CALLS, () => world.nat.all[0]!.inbound(PACKET_AT, world.clock.now));
    assert(grown < CALLS, `${grown} bytes in ${CALLS} calls`);
  });
}

Deno.test("what is dropped from outside is dropped without allocation", () => {
  const world = new World();
  const { nat: { all: [nat] }, memory } = world;
  const packet = buildUdp({ source: REMOTE, destination: EXTERNAL, destinationPort: 50_000 });
  memory.bytes.set(packet, PACKET_AT);
  const now = world.clock.now + 0.25;
  const grown = heapGrowth(CALLS, () => {
    nat.inbound(PACKET_AT, now);
  });
  assert(grown < CALLS, `${grown} bytes in ${CALLS} calls`);
});
