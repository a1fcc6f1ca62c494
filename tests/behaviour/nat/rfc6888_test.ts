/** Tests of the parts of RFC 6888, requirements for NATs of many subscribers, that apply, each named by its number. */
import { PORT_REST_TIME, SESSIONS_PER_PORT } from "../../../lib/core/nat/constants.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals, assertNotEquals } from "../../support/assert.ts";
import { buildIcmp, buildUdp } from "../../support/packets/packet_builder.ts";
import { connect, Connection } from "../../support/nat/connection.ts";
import {
  ACK,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  only,
  read,
  REMOTE,
  REMOTE_2,
  SECOND,
  type Sent,
  SYN,
  World,
} from "../../support/nat/world.ts";

/** To a port of no well-known service: such share theirs sooner. */
function send(world: World, sourcePort: number, source = CLIENT, destination = REMOTE): Sent {
  return world.outbound(buildUdp({ source, destination, sourcePort, destinationPort: 5000 }));
}

function portOf(sent: Sent): number {
  return read(only(sent, "outside")).sourcePort;
}

/** Ports of a client's that stand for one inner endpoint whatever the destination: two destinations see the same. */
function ownPorts(world: World, count: number, source = CLIENT): Set<number> {
  const own = new Set<number>();
  for (let port = 1; port <= count; port++) {
    const external = portOf(send(world, port, source));
    if (portOf(send(world, port, source, REMOTE_2)) === external) own.add(external);
  }
  return own;
}

Deno.test("RFC 6888 REQ-4: a client holds so many ports and no more, and others are not affected", () => {
  const world = new World({ clientQuota: 10 });
  assertEquals(ownPorts(world, 30).size, 10);
  assertEquals(ownPorts(world, 10, CLIENT_2).size, 10);
  assertEquals(world.dropped(DropReason.natQuota), 0);
});

Deno.test("RFC 6888 REQ-4: the limit is one for each protocol", () => {
  const world = new World({ clientQuota: 10 });
  for (let port = 1; port <= 10; port++) connect(world, { clientPort: port });
  assertEquals(ownPorts(world, 30).size, 10);
});

Deno.test("RFC 6888 REQ-4: addresses of one client count together", () => {
  const world = new World({ clientQuota: 10, clientOf: (address) => address >>> 8 });
  assertEquals([ownPorts(world, 6).size, ownPorts(world, 6, CLIENT_2).size], [6, 4]);
});

Deno.test("RFC 6888 REQ-4: no client holds more ports than it leaves to others", () => {
  const world = new World({ ports: { first: 20_000, last: 20_799 }, clientQuota: 4096 });
  const counts = Array.from(
    { length: 8 },
    (_, i) => ownPorts(world, 700, `10.66.77.${i + 2}`).size,
  );
  assertEquals(counts, [301, 150, 75, 38, 19, 9, 5, 2]);
});

Deno.test("RFC 6888 REQ-5: a client's sessions are limited too: the oldest end, established ones in use do not", () => {
  const limit = 5 * SESSIONS_PER_PORT;
  const world = new World({ clientQuota: 5 });
  for (let remotePort = 1; remotePort <= limit + 10; remotePort++) {
    only(new Connection(world, { remotePort }).out(SYN), "outside");
    assert(world.nat.sessionCount <= limit);
  }
  // Those behind the first ten have all answered: they are in use from now on.
  for (let remotePort = 11; remotePort <= limit + 10; remotePort++) {
    new Connection(world, { remotePort }).open();
  }
  for (let i = 1; i <= 20; i++) {
    const refused = new Connection(world, { remotePort: 10_000 + i }).out(SYN);
    assertEquals(read(only(refused, "inside")).code, 13);
    world.advance(SECOND);
  }
  assertEquals(world.dropped(DropReason.natQuota), 20);
  only(new Connection(world, { client: CLIENT_2 }).out(SYN), "outside");
  only(new Connection(world, { remotePort: limit + 10 }).out(ACK), "outside");
  // Idle for five minutes, one of them ends for another.
  world.advance(300 * SECOND);
  only(new Connection(world, { remotePort: 20_000 }).out(SYN), "outside");
});

Deno.test("RFC 6888 REQ-5: permissions to answer are sessions, and the oldest end", () => {
  const world = new World({ clientQuota: 5, filtering: "address" });
  const limit = 5 * SESSIONS_PER_PORT;
  const remote = (i: number) => `198.51.${i >> 8}.${i & 255}`;
  let external = 0;
  for (let i = 1; i <= limit + 40; i++) {
    world.advance(SECOND);
    external = portOf(send(world, 40_000, CLIENT, remote(i)));
    assert(world.nat.sessionCount <= limit);
  }
  const admitted = (i: number) =>
    world.inbound(buildUdp({ source: remote(i), destination: EXTERNAL, destinationPort: external }))
      .inside.length === 1;
  assertEquals([1, 40, 42, limit + 40].map(admitted), [false, false, true, true]);
});

Deno.test("RFC 6888 REQ-8: a released port rests for two minutes before another client gets it", () => {
  const world = new World({ ports: { first: 30_000, last: 30_001 } });
  assertEquals(PORT_REST_TIME, 120 * SECOND);
  const echo = (source: string) =>
    read(only(world.outbound(buildIcmp({ source, destination: REMOTE })), "outside")).identifier;
  const port = echo(CLIENT);
  world.advance(60 * SECOND);
  assertEquals(world.nat.mappingCount, 0);
  assertEquals(echo(CLIENT_2), port ^ 1);
  world.advance(PORT_REST_TIME - SECOND);
  // At rest still, but no other is left.
  assertEquals(echo("10.66.77.4"), port);
});

Deno.test("RFC 6888 REQ-8: who let a port rest may use it again, and does before it is refused", () => {
  const world = new World({ ports: { first: 30_000, last: 30_000 } });
  const port = portOf(send(world, 40_000));
  world.advance(300 * SECOND);
  assertEquals([world.nat.mappingCount, portOf(send(world, 40_001))], [0, port]);
});

Deno.test("RFC 6888 REQ-11: what is refused makes nothing of another client's end", () => {
  const world = new World({ ports: { first: 30_000, last: 30_001 } });
  const port = portOf(send(world, 40_000));
  const connection = connect(world);
  portOf(send(world, 40_000, CLIENT_2));
  for (let i = 0; i < 100; i++) {
    assertEquals(send(world, 50_000 + i, "10.66.77.4").outside, []);
    world.advance(SECOND);
  }
  assertEquals(world.dropped(DropReason.natPortsExhausted), 100);
  assertEquals(portOf(send(world, 40_000)), port);
  only(connection.in(ACK), "inside");
});

Deno.test("RFC 6888 REQ-13: every port of the range is used before one is refused", () => {
  const world = new World({ ports: { first: 1000, last: 1999 } });
  const seen = new Set<number>();
  for (let client = 2; client < 42; client++) {
    for (let port = 0; port < 40; port++) {
      const sent = send(world, 2000 + port, `10.66.77.${client}`).outside;
      if (sent.length === 1) seen.add(read(sent[0]).sourcePort);
    }
  }
  assertEquals(seen.size, 1000);
});

Deno.test("RFC 6888 REQ-15: who knows some ports cannot tell the next", () => {
  const next = (seed: number) => {
    const world = new World({ seed });
    return Array.from(
      { length: 4 },
      (_, i) => read(only(send(world, 40_000 + 2 * i), "outside")).sourcePort,
    );
  };
  const [first, second] = [next(1), next(2)];
  assertNotEquals(first, second);
  assert(first.some((port, i) => i > 0 && Math.abs(port - first[i - 1]) > 100));
});
