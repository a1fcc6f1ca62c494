/** Tests of RFC 7857, the updates to RFCs 4787, 5382 and 5508, each named by its section. */
import {
  TCP_ESTABLISHED_TIMEOUT,
  TCP_TRANSITORY_TIMEOUT,
} from "../../../lib/core/nat/constants.ts";
import type { NatOptions } from "../../../lib/core/nat/nat_options.ts";
import { isSharedPort } from "../../../lib/core/nat/shared_ports.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals, assertNotEquals } from "../../support/assert.ts";
import { buildIcmp, buildTcp, buildUdp } from "../../support/packets/packet_builder.ts";
import { connect, Connection } from "../../support/nat/connection.ts";
import {
  ACK,
  assertSilent,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  FIN,
  only,
  quotedBy,
  read,
  REMOTE,
  REMOTE_2,
  RST,
  SECOND,
  SYN,
  World,
} from "../../support/nat/world.ts";

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

/** A world whose clients have two ports of their own for each protocol, both in use. */
function crowded(options: Partial<NatOptions> = {}): World {
  const ports = { first: 30_000, last: 30_799 };
  const world = new World({ clientQuota: 2, ports, ...options });
  for (const clientPort of [1, 2]) {
    connect(world, { clientPort });
    const fields = { source: CLIENT, destination: REMOTE, sourcePort: clientPort };
    only(world.outbound(buildUdp({ ...fields, destinationPort: 5000 })), "outside");
    only(world.outbound(buildIcmp({ ...fields, identifier: clientPort })), "outside");
  }
  return world;
}

for (const filtering of ["endpoint", "address"] as const) {
  Deno.test(`RFC 7857 section 3: under pressure a port is shared by flows to different remote ends, which are told apart, filtering by ${filtering}`, () => {
    // Two ports are shared: more than two flows overlap for certain.
    const world = crowded({ filtering, ports: { first: 30_000, last: 30_007 } });
    const remotes = Array.from({ length: 20 }, (_, i) => `198.51.100.${i + 1}`);
    const connections = remotes.map((remote, i) => connect(world, { clientPort: 100 + i, remote }));
    const datagrams = remotes.map((destination, i) => {
      const fields = { source: CLIENT, destination, sourcePort: 100 + i, destinationPort: 443 };
      return read(only(world.outbound(buildUdp(fields)), "outside")).sourcePort;
    });
    const echoes = remotes.map((destination, i) => {
      const request = buildIcmp({ source: CLIENT, destination, identifier: 100 + i });
      return read(only(world.outbound(request), "outside")).identifier;
    });
    for (const ports of [connections.map((each) => each.externalPort), datagrams, echoes]) {
      assertEquals([...new Set(ports)].sort(), [30_006, 30_007]);
    }
    for (const [i, source] of remotes.entries()) {
      only(connections[i].in(ACK), "inside");
      only(connections[i].out(ACK), "outside");
      const datagram = { source, destination: EXTERNAL, sourcePort: 443 };
      const got = read(
        only(world.inbound(buildUdp({ ...datagram, destinationPort: datagrams[i] })), "inside"),
      );
      assertEquals([got.destination, got.destinationPort], [CLIENT, 100 + i]);
      const reply = { source, destination: EXTERNAL, type: 0, identifier: echoes[i] };
      assertEquals(read(only(world.inbound(buildIcmp(reply)), "inside")).identifier, 100 + i);
    }
  });
}

Deno.test("RFC 7857 section 3: on a shared port, nobody gets in but the remote end that was written to", () => {
  const world = crowded();
  const { externalPort } = connect(world, { clientPort: 100 });
  for (const stranger of [{ remote: REMOTE_2 }, { remotePort: 81 }]) {
    assertSilent(new Connection(world, { ...stranger, clientPort: 100, externalPort }).in(SYN));
  }
  assertEquals(world.dropped(DropReason.natNoMapping), 2);
});

Deno.test("RFC 7857 section 3: an error about a flow on a shared port reaches its client", () => {
  const world = crowded({ ports: { first: 30_000, last: 30_007 } });
  const remotes = Array.from({ length: 10 }, (_, i) => `198.51.100.${i + 1}`);
  for (const [i, remote] of remotes.entries()) {
    const segment = connect(world, { clientPort: 100 + i, remote }).sentBy(EXTERNAL);
    const datagram = only(
      world.outbound(buildUdp({ source: CLIENT, destination: remote, sourcePort: 100 + i })),
      "outside",
    );
    for (const payload of [segment, datagram]) {
      const error = { source: REMOTE_2, destination: EXTERNAL, type: 3, code: 1, payload };
      const received = only(world.inbound(buildIcmp(error)), "inside");
      const quoted = read(quotedBy(received), { checked: false });
      assertEquals([read(received).destination, quoted.sourcePort], [CLIENT, 100 + i]);
    }
    // And the client's own about what it got.
    const got = buildUdp({
      source: remote,
      destination: CLIENT,
      sourcePort: 53,
      destinationPort: 100 + i,
    });
    const own = { source: CLIENT, destination: remote, type: 3, code: 3, payload: got };
    const sent = only(world.outbound(buildIcmp(own)), "outside");
    const quoted = read(quotedBy(sent), { checked: false });
    assertEquals([quoted.destination, quoted.destinationPort], [
      EXTERNAL,
      read(datagram).sourcePort,
    ]);
  }
});

Deno.test("RFC 7857 section 3: a client reaches another by hairpinning from a shared port, and is answered", () => {
  const world = crowded();
  const { externalPort } = connect(world, { client: CLIENT_2, clientPort: 80 });
  const out = {
    source: CLIENT,
    destination: EXTERNAL,
    sourcePort: 100,
    destinationPort: externalPort,
  };
  const received = read(only(world.outbound(buildTcp({ ...out, flags: SYN })), "inside"));
  assertEquals([received.source, received.destination], [EXTERNAL, CLIENT_2]);
  const answer = { source: CLIENT_2, destination: EXTERNAL, sourcePort: 80 };
  const back = buildTcp({ ...answer, destinationPort: received.sourcePort, flags: SYN | ACK });
  const got = read(only(world.outbound(back), "inside"));
  assertEquals([got.destination, got.destinationPort, got.sourcePort], [CLIENT, 100, externalPort]);
});

Deno.test("RFC 7857 section 3: TCP and well-known services of UDP share ports first, others once their client's idle ones are gone", () => {
  const world = crowded();
  const portOf = (sourcePort: number, destination: string, destinationPort: number) =>
    read(
      only(
        world.outbound(buildUdp({ source: CLIENT, destination, sourcePort, destinationPort })),
        "outside",
      ),
    ).sourcePort;
  const isIndependent = (sourcePort: number, remotePort: number) =>
    portOf(sourcePort, REMOTE, remotePort) === portOf(sourcePort, REMOTE_2, remotePort);
  assert(!isIndependent(100, 5000));
  world.advance(120 * SECOND);
  assert(!isIndependent(101, 443));
  assert(isIndependent(102, 5000));
  assert(isIndependent(103, 5000));
  assert(!isIndependent(104, 5000));
});

Deno.test("RFC 7857 section 3: without pressure no port is shared", () => {
  const world = new World({ ports: { first: 20_000, last: 29_999 } });
  for (let clientPort = 1; clientPort <= 3000; clientPort++) {
    const { externalPort } = connect(world, { clientPort });
    assert(!isSharedPort({ first: 20_000, last: 29_999 }, externalPort));
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

Deno.test("RFC 7857 section 7: a new connection of the same endpoints takes over one that has ended", () => {
  const ends: [("out" | "in"), number][][] = [
    [["out", RST]],
    [["in", RST]],
    [["out", FIN | ACK], ["in", FIN | ACK], ["out", ACK]],
  ];
  for (const end of ends) {
    for (const world of [new World(), crowded()]) {
      const connection = connect(world, { clientPort: 100 });
      const before = world.nat.sessionCount;
      for (const [direction, flags] of end) connection[direction](flags);
      world.advance(SECOND);
      connection.open();
      assertEquals(world.nat.sessionCount, before);
      world.advance(TCP_ESTABLISHED_TIMEOUT - SECOND - 1);
      only(connection.in(ACK), "inside");
    }
  }
});

Deno.test("RFC 7857 section 7: what has ended goes before anything else when its client needs room", () => {
  const world = new World({ clientQuota: 3, ports: { first: 30_000, last: 30_005 } });
  const [, second, third] = [1, 2, 3].map((clientPort) => connect(world, { clientPort }));
  second.out(FIN | ACK);
  second.in(FIN | ACK);
  const { externalPort } = second;
  assertEquals(connect(world, { clientPort: 4 }).externalPort, externalPort);
  third.out(RST);
  assertEquals(connect(world, { clientPort: 5 }).externalPort, third.externalPort);
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
  assert(!world.takeExternal(buildIcmp({ source: CLIENT, destination: EXTERNAL })));
});
