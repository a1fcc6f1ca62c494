/** Tests of the requirements of RFC 5382, NAT behaviour for TCP, each named by its number. */
import {
  TCP_ESTABLISHED_TIMEOUT,
  TCP_TRANSITORY_TIMEOUT,
} from "../../../lib/core/nat/constants.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals, assertNotEquals } from "../../support/assert.ts";
import { buildIcmp, buildTcp, type TcpFields } from "../../support/packets/packet_builder.ts";
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
  World,
} from "../../support/nat/world.ts";
import { connect, Connection } from "../../support/nat/connection.ts";
import { SYN } from "../../support/nat/world.ts";

Deno.test("RFC 5382 REQ-1: a client's TCP port has one mapping, whatever the destination", () => {
  const world = new World();
  const first = connect(world);
  const second = connect(world, { remote: REMOTE_2, remotePort: 443 });
  assertEquals(second.externalPort, first.externalPort);
  assertNotEquals(connect(world, { clientPort: 40_002 }).externalPort, first.externalPort);
  assertEquals(world.nat.mappingCount, 2);
});

Deno.test("RFC 5382 REQ-2: a three-way handshake, data and an orderly end pass both ways", () => {
  const world = new World();
  const connection = new Connection(world);
  const payload = world.random.bytes(100);
  const steps: [("out" | "in"), number, Uint8Array?][] = [
    ["out", SYN],
    ["in", SYN | ACK],
    ["out", ACK],
    ["out", ACK, payload],
    ["in", ACK, payload],
    ["in", FIN | ACK],
    ["out", ACK],
    ["out", FIN | ACK],
    ["in", ACK],
  ];
  for (const [direction, flags, bytes = new Uint8Array()] of steps) {
    const sent = connection[direction](flags, { payload: bytes });
    const packet = read(only(sent, direction === "out" ? "outside" : "inside"));
    assertEquals([packet.flags, packet.transport.slice(20)], [flags, bytes]);
  }
});

Deno.test("RFC 5382 REQ-2: a connection that a server outside begins passes where it is permitted", () => {
  const world = new World({
    forwards: [{ protocol: "tcp", externalPort: 8080, address: 0x0a424d02, port: 80 }],
  });
  const connection = new Connection(world, { clientPort: 80, externalPort: 8080 });
  only(connection.in(SYN), "inside");
  only(connection.out(SYN | ACK), "outside");
  only(connection.in(ACK), "inside");
  only(connection.out(ACK), "outside");
  assertEquals(world.nat.sessionCount, 1);
  // Its handshake is over: it counts as established.
  world.advance(TCP_ESTABLISHED_TIMEOUT - 1);
  assertEquals(world.nat.sessionCount, 1);
});

Deno.test("RFC 5382 REQ-2a: both ends may open at once", () => {
  const world = new World();
  const connection = new Connection(world);
  only(connection.out(SYN), "outside");
  only(connection.in(SYN), "inside");
  only(connection.out(SYN | ACK), "outside");
  only(connection.in(SYN | ACK), "inside");
  only(connection.out(ACK), "outside");
  world.advance(TCP_ESTABLISHED_TIMEOUT - 1);
  only(connection.in(ACK), "inside");
});

Deno.test("RFC 5382 REQ-2a: the other end's SYN may come first, unanswered, and the connection still opens", () => {
  const world = new World();
  connect(world, { remote: REMOTE_2 });
  // The port is mapped already, so the SYN reaches the client, which has not sent its own yet.
  const connection = new Connection(world);
  only(connection.in(SYN), "inside");
  only(connection.out(SYN), "outside");
  only(connection.in(SYN | ACK), "inside");
  only(connection.out(ACK), "outside");
  world.advance(TCP_ESTABLISHED_TIMEOUT - 1);
  only(connection.in(ACK), "inside");
});

Deno.test("RFC 5382 REQ-3: by default anybody may open a connection to a mapping", () => {
  const world = new World();
  const { externalPort } = connect(world);
  const stranger = new Connection(world, { remote: REMOTE_2, remotePort: 5, externalPort });
  only(stranger.in(SYN), "inside");
});

Deno.test("RFC 5382 REQ-3: with address filtering only those written to may, from any port", () => {
  const world = new World({ filtering: "address" });
  const { externalPort } = connect(world);
  only(new Connection(world, { remotePort: 5, externalPort }).in(SYN), "inside");
  const stranger = new Connection(world, { remote: REMOTE_2, externalPort });
  assertSilent(stranger.in(SYN));
  assertEquals(world.dropped(DropReason.natFiltered), 1);
  only(stranger.out(SYN), "outside");
  only(stranger.in(SYN | ACK), "inside");
});

Deno.test("RFC 5382 REQ-3: with address filtering a quiet connection's peer may go on sending", () => {
  const world = new World({ filtering: "address" });
  const connection = connect(world);
  world.advance(TCP_ESTABLISHED_TIMEOUT - 1);
  only(connection.in(ACK), "inside");
});

Deno.test("RFC 5382 REQ-3: with address filtering a permission does not outlive the mapping", () => {
  const world = new World({ filtering: "address" });
  connect(world).in(RST);
  assertEquals(world.nat.sessionCount, 2);
  world.advance(TCP_TRANSITORY_TIMEOUT);
  world.advance(SECOND);
  assertEquals([world.nat.mappingCount, world.nat.sessionCount], [0, 0]);
});

Deno.test("RFC 5382 REQ-4: an unsolicited SYN is met with silence", () => {
  const world = new World();
  const { externalPort } = connect(world);
  const stranger = new Connection(world, { remote: REMOTE_2, externalPort: externalPort ^ 1 });
  assertSilent(stranger.in(SYN));
  assertEquals(world.dropped(DropReason.natNoMapping), 1);
  // Neither is it answered later.
  world.advance(60 * SECOND);
  assertSilent(world.drain());
});

Deno.test("RFC 5382 REQ-5: a connection whose time is over begins again, though nothing has swept it yet", () => {
  const world = new World();
  const connection = connect(world);
  world.advance(SECOND);
  only(connection.out(ACK), "outside");
  world.clock.advance(TCP_ESTABLISHED_TIMEOUT);
  only(connection.out(ACK), "outside");
  // Nobody has answered since: it is kept as one that is being opened.
  world.advance(TCP_TRANSITORY_TIMEOUT);
  assertEquals(world.nat.mappingCount, 0);
});

Deno.test("RFC 5382 REQ-5: an idle established connection is kept for 2 hours and 4 minutes", () => {
  const world = new World();
  const connection = connect(world);
  assert(TCP_ESTABLISHED_TIMEOUT >= (2 * 60 + 4) * 60 * SECOND);
  world.advance(TCP_ESTABLISHED_TIMEOUT - 1);
  only(connection.in(ACK), "inside");
  world.advance(2 * SECOND);
  assertSilent(connection.in(ACK));
  assertEquals([world.nat.mappingCount, world.nat.sessionCount], [0, 0]);
});

for (
  const [name, prepare] of Object.entries<(connection: Connection) => void>({
    "that was never answered": (connection) => {
      connection.out(SYN);
    },
    "that a server did not finish opening": (connection) => {
      connection.in(SYN);
      connection.out(SYN);
    },
    "that both ends have closed": (connection) => {
      connection.open();
      connection.out(FIN | ACK);
      connection.in(FIN | ACK);
    },
    "that both ends have closed, the server first": (connection) => {
      connection.open();
      connection.in(FIN | ACK);
      connection.out(FIN | ACK);
    },
    "that the server has reset": (connection) => {
      connection.open();
      connection.in(RST);
    },
    "that the client has reset": (connection) => {
      connection.open();
      connection.out(RST);
    },
  })
) {
  Deno.test(`RFC 5382 REQ-5: a connection ${name} is kept for 4 minutes and no longer`, () => {
    const world = new World();
    assert(TCP_TRANSITORY_TIMEOUT >= 240 * SECOND);
    const connection = new Connection(world);
    prepare(connection);
    world.advance(TCP_TRANSITORY_TIMEOUT - 1);
    only(connection.in(ACK), "inside");
    world.advance(2 * SECOND);
    assertSilent(connection.in(ACK));
    assertEquals([world.nat.mappingCount, world.nat.sessionCount], [0, 0]);
  });
}

Deno.test("RFC 5382 REQ-5: a connection that only one end has closed stays established", () => {
  for (const direction of ["out", "in"] as const) {
    const world = new World();
    const connection = connect(world);
    connection[direction](FIN | ACK);
    connection.out(ACK);
    world.advance(TCP_ESTABLISHED_TIMEOUT - 1);
    only(connection.in(ACK), "inside");
  }
});

Deno.test("RFC 5382 REQ-5: the same endpoints may open a new connection after the end", () => {
  const steps: [("out" | "in"), number][][] = [
    [["out", RST]],
    [["in", RST]],
    [["out", FIN | ACK], ["in", FIN | ACK], ["out", ACK]],
  ];
  for (const end of steps) {
    const world = new World();
    const connection = connect(world);
    for (const [direction, flags] of end) connection[direction](flags);
    world.advance(SECOND);
    connection.open();
    world.advance(TCP_ESTABLISHED_TIMEOUT - 1);
    only(connection.in(ACK), "inside");
  }
});

Deno.test("RFC 5382 REQ-7: no two connections to one remote end share an external port", () => {
  const world = new World({ ports: { first: 30_000, last: 30_023 } });
  const ports = new Set<number>();
  for (const client of [CLIENT, CLIENT_2]) {
    for (let clientPort = 40_000; clientPort < 40_008; clientPort++) {
      ports.add(connect(world, { client, clientPort }).externalPort);
    }
  }
  assertEquals(ports.size, 16);
});

Deno.test("RFC 5382 REQ-8: a client connects to another by its external endpoint, seen with its own", () => {
  const world = new World();
  const { externalPort: serverPort } = connect(world, { client: CLIENT, clientPort: 80 });
  const { externalPort } = connect(world, { client: CLIENT_2, clientPort: 50_000 });
  const segment = (fields: TcpFields) =>
    read(only(world.outbound(buildTcp({ destination: EXTERNAL, ...fields })), "inside"));
  const syn = segment({
    source: CLIENT_2,
    sourcePort: 50_000,
    destinationPort: serverPort,
    flags: SYN,
  });
  assertEquals(
    [syn.source, syn.sourcePort, syn.destination, syn.destinationPort],
    [EXTERNAL, externalPort, CLIENT, 80],
  );
  const synAck = segment({
    source: CLIENT,
    sourcePort: 80,
    destinationPort: externalPort,
    flags: SYN | ACK,
  });
  assertEquals(
    [synAck.source, synAck.sourcePort, synAck.destination, synAck.destinationPort],
    [EXTERNAL, serverPort, CLIENT_2, 50_000],
  );
});

Deno.test("RFC 5382 REQ-9: destination unreachable reaches the client as it knows the connection", () => {
  const world = new World();
  const connection = connect(world);
  const error = buildIcmp({
    source: REMOTE_2,
    destination: EXTERNAL,
    type: 3,
    code: 1,
    payload: connection.sentBy(EXTERNAL).slice(0, 28),
  });
  const received = only(world.inbound(error), "inside");
  const quoted = read(quotedBy(received), { checked: false });
  assertEquals([read(received).destination, quoted.source], [CLIENT, CLIENT]);
  assertEquals([quoted.sourcePort, quoted.destinationPort], [40_000, 80]);
});

Deno.test("RFC 5382 REQ-10: no ICMP message ends a connection", () => {
  const world = new World();
  const connection = connect(world);
  for (const [type, code] of [[3, 0], [3, 2], [3, 3], [3, 10], [11, 0], [11, 1], [12, 0]]) {
    const payload = connection.sentBy(EXTERNAL);
    world.inbound(buildIcmp({ source: REMOTE, destination: EXTERNAL, type, code, payload }));
  }
  world.advance(TCP_ESTABLISHED_TIMEOUT - 1);
  only(connection.in(ACK), "inside");
});
