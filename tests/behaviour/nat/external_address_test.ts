/** Tests of forwarded ports, of the external address and what belongs to it, and of time. */
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import {
  buildIcmp,
  buildIpv4,
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
} from "../../support/packets/packet_builder.ts";
import { connect } from "../../support/nat/connection.ts";
import {
  assertSilent,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  only,
  read,
  REMOTE,
  SECOND,
  type Sent,
  SYN,
  World,
} from "../../support/nat/world.ts";

const FORWARDS = [
  { protocol: "tcp", externalPort: 8080, address: 0x0a424d02, port: 80 },
  { protocol: "udp", externalPort: 30_005, address: 0x0a424d03, port: 53 },
] as const;

Deno.test("a forwarded port always leads to its service, from any remote address, even with address filtering", () => {
  const world = new World({
    forwards: FORWARDS,
    filtering: "address",
    ports: { first: 30_000, last: 30_009 },
  });
  world.advance(10_000_000);
  const syn = buildTcp({
    source: REMOTE,
    destination: EXTERNAL,
    destinationPort: 8080,
    flags: SYN,
  });
  const received = read(only(world.inbound(syn), "inside"));
  assertEquals([received.destination, received.destinationPort], [CLIENT, 80]);
  const question = buildUdp({ source: REMOTE, destination: EXTERNAL, destinationPort: 30_005 });
  const asked = read(only(world.inbound(question), "inside"));
  assertEquals([asked.destination, asked.destinationPort], [CLIENT_2, 53]);
  // TCP's is not UDP's.
  assertSilent(
    world.inbound(buildUdp({ source: REMOTE, destination: EXTERNAL, destinationPort: 8080 })),
  );
  const answer = buildUdp({ source: CLIENT_2, destination: REMOTE, sourcePort: 53 });
  assertEquals(read(only(world.outbound(answer), "outside")).sourcePort, 30_005);
  assertEquals(world.nat.mappingCount, 2);
  world.advance(10_000_000);
  only(world.inbound(question), "inside");
  assertEquals(world.nat.pollAt(), Infinity);
});

Deno.test("packets that came by a forwarded port are told from those by a port that a client opened", () => {
  const world = new World({ forwards: FORWARDS });
  const isForwarded = (packet: Bytes) => {
    world.memory.bytes.set(packet, 0);
    return world.nat.isForwarded(0);
  };
  const question = { source: CLIENT_2, destination: REMOTE, sourcePort: 4000 };
  const opened = read(only(world.outbound(buildUdp(question)), "outside")).sourcePort;
  const from = { source: REMOTE, destination: EXTERNAL };
  const answer = only(
    world.inbound(buildUdp({ ...from, destinationPort: opened })),
    "inside",
  );
  assertEquals(isForwarded(answer), false);
  const asked = buildUdp({ ...from, destinationPort: 30_005, payload: new Uint8Array(64) });
  assertEquals(isForwarded(only(world.inbound(asked), "inside")), true);
  const [first, later] = fragment(asked, 60).map((packet) => only(world.inbound(packet), "inside"));
  assertEquals([isForwarded(first!), isForwarded(later!)], [true, false]);
});

Deno.test("a forwarded port of the range is given to nobody else", () => {
  const world = new World({ forwards: FORWARDS, ports: { first: 30_004, last: 30_006 } });
  const ports = [1, 2].map((sourcePort) => {
    const packet = buildUdp({ source: CLIENT, destination: REMOTE, sourcePort });
    return read(only(world.outbound(packet), "outside")).sourcePort;
  });
  assertEquals(ports.sort(), [30_004, 30_006]);
});

Deno.test("new Nat() throws RangeError when two forwards take one port, or one service two ports", () => {
  const [first] = FORWARDS;
  for (const second of [{ ...first, port: 81 }, { ...first, externalPort: 8081 }]) {
    assertThrows(() => new World({ forwards: [first, second] }), RangeError, "Cannot forward port");
  }
});

Deno.test("mappings keep their ports when the external address changes", () => {
  const world = new World();
  const { externalPort } = connect(world);
  world.nat.externalAddress = 0xc6336401;
  const packet = buildTcp({ source: CLIENT, destination: REMOTE });
  const out = read(only(world.outbound(packet), "outside"));
  assertEquals([out.source, out.sourcePort], ["198.51.100.1", externalPort]);
  const answer = (destination: string) =>
    world.inbound(
      buildTcp({ source: REMOTE, destination, sourcePort: 80, destinationPort: externalPort }),
    );
  only(answer("198.51.100.1"), "inside");
  assertSilent(answer(EXTERNAL));
});

Deno.test("later fragments of a packet begun before do not leave with the old address", () => {
  const world = new World();
  const parts = fragment(
    buildUdp({ source: CLIENT, destination: REMOTE, payload: new Uint8Array(2000) }),
    1420,
  );
  only(world.outbound(parts[0]), "outside");
  world.nat.externalAddress = 0xc6336401;
  assertSilent(world.outbound(parts[1]));
});

Deno.test("takeExternal() tells what is the NAT's from what is the host's", () => {
  const world = new World({ ports: { first: 30_000, last: 30_009 }, forwards: FORWARDS });
  const to = (build: typeof buildUdp, destinationPort: number) =>
    world.takeExternal(build({ source: CLIENT_2, destination: EXTERNAL, destinationPort }));
  assert(
    to(buildUdp, 30_000) && to(buildUdp, 30_009) && to(buildTcp, 30_000) && to(buildTcp, 8080),
  );
  assert(
    !to(buildUdp, 29_999) && !to(buildUdp, 30_010) && !to(buildUdp, 8080) && !to(buildTcp, 22),
  );
  assert(!world.takeExternal(buildIpv4({ source: CLIENT, destination: EXTERNAL, protocol: 47 })));
});

Deno.test("takeExternal() gives the fragments of a packet to whom the first one went", () => {
  const world = new World({ ports: { first: 30_000, last: 30_009 } });
  const parts = (destinationPort: number) =>
    fragment(
      buildUdp({
        source: CLIENT,
        destination: EXTERNAL,
        destinationPort,
        identification: destinationPort,
        payload: new Uint8Array(3000),
      }),
      1420,
    );
  assertEquals(parts(53).map((part) => world.takeExternal(part)), [false, false, false]);
  assertEquals(parts(30_000).map((part) => world.takeExternal(part)), [true, true, true]);
});

Deno.test("an error about a packet of the host's own is the host's", () => {
  const world = new World();
  const payload = buildUdp({ source: EXTERNAL, destination: CLIENT, sourcePort: 100 });
  const error = buildIcmp({ source: CLIENT, destination: EXTERNAL, type: 3, code: 3, payload });
  assert(!world.takeExternal(error));
});

Deno.test("pollAt() is infinite while there is nothing to expire, and at most a second away otherwise", () => {
  const world = new World();
  assertEquals(world.nat.pollAt(), Infinity);
  const sent: Sent = world.outbound(buildUdp({ source: CLIENT, destination: REMOTE }));
  only(sent, "outside");
  world.nat.poll(world.clock.now);
  assertEquals(world.nat.pollAt(), world.clock.now + SECOND);
  world.advance(301 * SECOND);
  assertEquals([world.nat.pollAt(), world.nat.mappingCount], [Infinity, 0]);
});
