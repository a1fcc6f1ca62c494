/** Tests of RFC 7857, the updates to RFCs 4787, 5382 and 5508, each named by its section. */
import { TCP_ESTABLISHED_TIMEOUT, TCP_TRANSITORY_TIMEOUT } from "../../lib/nat/constants.ts";
import { assert, assertEquals, assertNotEquals } from "../support/assert.ts";
import { buildIcmp, buildTcp, buildUdp } from "../support/packet_builder.ts";
import { connect, Connection } from "./connection.ts";
import {
  ACK,
  assertSilent,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  FIN,
  only,
  read,
  REMOTE,
  REMOTE_2,
  RST,
  SECOND,
  SYN,
  World,
} from "./world.ts";

Deno.test("RFC 7857 section 2: a session is established only by both ends' SYN, and over by both ends' FIN", () => {
  const kept = (...steps: [("out" | "in"), number][]) => {
    const world = new World();
    const connection = new Connection(world);
    for (const [direction, flags] of steps) connection[direction](flags);
    world.advance(TCP_TRANSITORY_TIMEOUT + SECOND);
    return world.nat.sessionCount === 1;
  };
  assert(!kept(["out", SYN], ["out", ACK]));
  assert(!kept(["out", SYN], ["in", ACK], ["out", ACK]));
  assert(!kept(["out", ACK], ["in", ACK], ["out", ACK]));
  assert(kept(["out", SYN], ["in", SYN | ACK], ["out", ACK]));
  assert(kept(["out", SYN], ["in", SYN | ACK], ["out", ACK], ["out", FIN | ACK]));
  assert(kept(["out", SYN], ["in", SYN | ACK], ["out", ACK], ["in", FIN | ACK], ["out", ACK]));
  assert(
    !kept(["out", SYN], ["in", SYN | ACK], ["out", ACK], ["in", FIN | ACK], ["out", FIN | ACK]),
  );
});

Deno.test("RFC 7857 section 2.2: an RST is translated, and the session kept 4 minutes for packets behind it", () => {
  const world = new World();
  const connection = connect(world);
  assertEquals(read(only(connection.in(RST), "inside")).flags, RST);
  world.advance(TCP_TRANSITORY_TIMEOUT - 1);
  only(connection.in(ACK), "inside");
  world.advance(2 * SECOND);
  assertSilent(connection.in(ACK));
});

Deno.test("RFC 7857 section 2.2: a connection whose client goes on after an RST is as before", () => {
  const world = new World();
  const connection = connect(world);
  connection.in(RST);
  only(connection.out(ACK), "outside");
  world.advance(TCP_ESTABLISHED_TIMEOUT - 1);
  only(connection.in(ACK), "inside");
});

Deno.test("RFC 7857 section 2.2: neither RST, SYN nor FIN from outside prolongs a session", () => {
  for (const flags of [RST, SYN, SYN | ACK, FIN | ACK, ACK]) {
    const world = new World();
    const connection = connect(world);
    world.advance(TCP_ESTABLISHED_TIMEOUT - SECOND);
    only(connection.in(flags), "inside");
    world.advance(3 * SECOND);
    assertEquals(world.nat.sessionCount, 0, `flags ${flags}`);
  }
});

Deno.test("RFC 7857 section 5: UDP and TCP of one inner port have mappings of their own", () => {
  const world = new World();
  const tcp = connect(world).externalPort;
  const datagram = buildUdp({ source: CLIENT, destination: REMOTE, sourcePort: 40_000 });
  const udp = read(only(world.outbound(datagram), "outside")).sourcePort;
  assertEquals(world.nat.mappingCount, 2);
  assertNotEquals(udp, tcp);
});

Deno.test("RFC 7857 section 6: a UDP mapping lets no TCP in", () => {
  const world = new World();
  const datagram = buildUdp({ source: CLIENT, destination: REMOTE, sourcePort: 40_000 });
  const externalPort = read(only(world.outbound(datagram), "outside")).sourcePort;
  assertSilent(new Connection(world, { externalPort }).in(SYN));
});

Deno.test("RFC 7857 section 7: what strangers send to a mapping does not refresh it", () => {
  const world = new World();
  const { externalPort } = connect(world);
  const stranger = new Connection(world, { remote: REMOTE_2, externalPort });
  for (let minute = 0; minute < 124; minute++) {
    only(stranger.in(minute % 2 === 0 ? SYN : ACK), "inside");
    world.advance(60 * SECOND);
  }
  world.advance(SECOND);
  assertEquals([world.nat.mappingCount, world.nat.sessionCount], [0, 0]);
});

Deno.test("RFC 7857 section 7.1: a client's RST and ICMP errors do not refresh its mapping", () => {
  const world = new World();
  const { externalPort } = connect(world);
  const stranger = new Connection(world, { remote: REMOTE_2, externalPort });
  for (let minute = 0; minute < 124; minute++) {
    const received = only(stranger.in(SYN), "inside");
    only(stranger.out(RST | ACK), "outside");
    const error = { source: CLIENT, destination: REMOTE_2, type: 3, code: 3, payload: received };
    only(world.outbound(buildIcmp(error)), "outside");
    world.advance(60 * SECOND);
  }
  world.advance(SECOND);
  assertEquals([world.nat.mappingCount, world.nat.sessionCount], [0, 0]);
});

Deno.test("RFC 7857 section 7.1: a client's answer to a stranger makes no session", () => {
  const world = new World({
    forwards: [{ protocol: "tcp", externalPort: 8080, address: 0x0a424d02, port: 80 }],
  });
  for (let remotePort = 1; remotePort < 1000; remotePort++) {
    const endpoints = { clientPort: 80, externalPort: 8080, remotePort };
    const stranger = new Connection(world, endpoints);
    only(stranger.in(SYN), "inside");
    only(stranger.out(remotePort % 2 === 0 ? SYN | ACK : RST | ACK), "outside");
  }
  assertEquals(world.nat.sessionCount, 0);
});

Deno.test("RFC 7857 section 7.1: a client's RST makes no mapping", () => {
  const world = new World();
  assertSilent(world.outbound(buildTcp({ source: CLIENT, destination: REMOTE, flags: RST })));
  assertEquals(world.nat.mappingCount, 0);
});

Deno.test("RFC 7857 section 9: external ports are spread at random", () => {
  const ports = [1, 2, 3].map((seed) => {
    const world = new World({ seed, ports: { first: 1024, last: 65_535 } });
    return Array.from(
      { length: 500 },
      (_, i) => connect(world, { clientPort: 10_000 + i }).externalPort,
    );
  });
  assertNotEquals(ports[0], ports[1]);
  for (const list of ports) {
    // Of 500 even draws, each eighth of the range gets 62; one with under 30 or over 100 would be a marvel.
    const eighths = new Array(8).fill(0);
    for (const port of list) eighths[Math.floor((port - 1024) / 8064)]++;
    assert(eighths.every((count) => count > 30 && count < 100), `${eighths}`);
    const steps = list.filter((port, i) => i > 0 && Math.abs(port - list[i - 1]) <= 2).length;
    assert(steps < 5, `${steps} ports follow right upon another`);
  }
});

Deno.test("RFC 7857 section 10: clients that use one id for one destination get different ones", () => {
  const world = new World();
  const identification = (source: string, sourcePort: number) => {
    const datagram = buildUdp({ source, destination: REMOTE, sourcePort, identification: 7 });
    return read(only(world.outbound(datagram), "outside")).identification;
  };
  const seen = new Set<number>();
  for (let i = 0; i < 500; i++) seen.add(identification(i % 2 === 0 ? CLIENT : CLIENT_2, 40_000));
  assertEquals(seen.size, 500);
});

Deno.test("RFC 7857 section 10: an id is never 0, and one that cannot matter is left alone", () => {
  const world = new World();
  const datagram = buildUdp({ source: CLIENT, destination: REMOTE });
  let previous = read(only(world.outbound(datagram), "outside")).identification;
  for (let i = 0; i < 66_000; i++) {
    const { outside } = world.outbound(datagram);
    const identification = outside[0][4] << 8 | outside[0][5];
    assertEquals(identification, previous === 0xffff ? 1 : previous + 1);
    previous = identification;
  }
  const atomic = buildUdp({
    source: CLIENT,
    destination: REMOTE,
    dontFragment: true,
    identification: 0,
  });
  assertEquals(read(only(world.outbound(atomic), "outside")).identification, 0);
});

Deno.test("RFC 7857 section 11: an ICMP query's mapping ends with its own time-out", () => {
  const world = new World();
  world.outbound(buildIcmp({ source: CLIENT, destination: REMOTE }));
  connect(world);
  world.advance(61 * SECOND);
  assertEquals(world.nat.mappingCount, 1);
});

Deno.test("RFC 7857 section 12: an echo to the external address is the host's to answer", () => {
  const world = new World();
  assert(!world.ownsExternal(buildIcmp({ source: CLIENT, destination: EXTERNAL })));
});
