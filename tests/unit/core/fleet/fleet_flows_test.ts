/** Tests of lib/core/fleet/fleet_flows.ts, of two gateways whose NATs have one address by turns. */
import { FlowBatchWriter } from "../../../../lib/core/fleet/flow_batch.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { deliver, fleet, Gateway, pass } from "../../../support/fleet/flow_gateways.ts";
import { connect, Connection } from "../../../support/nat/connection.ts";
import {
  ACK,
  address,
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
  SYN,
} from "../../../support/nat/world.ts";
import { buildTcp, buildUdp } from "../../../support/packets/packet_builder.ts";

/** The same connection, as another gateway has it. */
function at({ world }: Gateway, connection: Connection, clientPort = 40_000): Connection {
  return new Connection(world, { externalPort: connection.externalPort, clientPort });
}

Deno.test("connections that are a second old go on at another gateway, in both directions, on their ports", () => {
  const [one, two] = fleet();
  const connections = Array.from(
    { length: 200 },
    (_, i) =>
      connect(one.world, { clientPort: 40_000 + i, remote: i % 2 === 0 ? REMOTE : REMOTE_2 }),
  );
  pass(1_200, [one, two]);
  assertEquals(two.hold(), { kept: 200, lost: 0 });
  connections.forEach((connection, i) => {
    const remote = i % 2 === 0 ? REMOTE : REMOTE_2;
    const { externalPort } = connection;
    const same = new Connection(two.world, { clientPort: 40_000 + i, remote, externalPort });
    only(same.in(ACK), "inside");
    assertEquals(read(only(same.out(ACK), "outside")).sourcePort, externalPort);
  });
  // New ones get other ports.
  const taken = new Set(connections.map(({ externalPort }) => externalPort));
  for (let i = 0; i < 500; i++) {
    const { externalPort } = connect(two.world, { clientPort: 50_000 + i });
    assert(!taken.has(externalPort));
    taken.add(externalPort);
  }
});

Deno.test("UDP goes on on its port to all remote ends, and questions to DNS begin again", () => {
  const [one, two] = fleet();
  const datagram = { source: CLIENT, sourcePort: 5_000, destination: REMOTE, destinationPort: 443 };
  const { sourcePort } = read(only(one.world.outbound(buildUdp(datagram)), "outside"));
  one.world.outbound(buildUdp({ ...datagram, sourcePort: 5_001, destinationPort: 53 }));
  pass(1_200, [one, two]);
  assertEquals(two.hold(), { kept: 1, lost: 0 });
  const answer = { source: REMOTE_2, destination: EXTERNAL, destinationPort: sourcePort };
  const inside = read(only(two.world.inbound(buildUdp(answer)), "inside"));
  assertEquals([inside.destination, inside.destinationPort], [CLIENT, 5_000]);
  assertEquals(
    read(only(two.world.outbound(buildUdp(datagram)), "outside")).sourcePort,
    sourcePort,
  );
});

Deno.test("flows on ports that are shared go on, each towards its remote end", () => {
  const [one, two] = fleet({ ports: { first: 20_000, last: 20_031 } });
  const connections = Array.from(
    { length: 40 },
    (_, i) => connect(one.world, { clientPort: 40_000 + i, remotePort: 1_000 + i }),
  );
  pass(1_200, [one, two]);
  assertEquals(two.hold(), { kept: 40, lost: 0 });
  connections.forEach(({ externalPort }, i) => {
    const ends = { clientPort: 40_000 + i, remotePort: 1_000 + i, externalPort };
    const same = new Connection(two.world, ends);
    only(same.in(ACK), "inside");
    only(same.out(ACK), "outside");
  });
});

Deno.test("with filtering by address, a connection's remote end may answer at the next gateway, and nobody else", () => {
  const [one, two] = fleet({ filtering: "address" });
  const connection = connect(one.world);
  pass(1_200, [one, two]);
  two.hold();
  only(at(two, connection).in(ACK), "inside");
  const { externalPort } = connection;
  assertSilent(new Connection(two.world, { remote: REMOTE_2, externalPort }).in(ACK));
});

Deno.test("a connection that is younger is reset towards both its ends, a moment later, and only for a while", () => {
  const [one, two] = fleet();
  const connection = connect(one.world);
  pass(500, [one, two]);
  assertEquals(two.hold(), { kept: 0, lost: 0 });
  const same = at(two, connection);
  // What the other gateway has said last may be under way.
  assertSilent(same.in(ACK));
  assertSilent(same.out(ACK));
  two.world.advance(300);
  const outside = read(
    only(two.world.inbound(segmentTo(connection, { acknowledgmentNumber: 77 })), "outside"),
  );
  assertEquals([outside.source, outside.destination], [EXTERNAL, REMOTE]);
  assertEquals([outside.sourcePort, outside.destinationPort], [connection.externalPort, 80]);
  assertEquals([outside.flags, sequenceOf(outside.transport)], [RST, 77]);
  const inside = read(only(same.out(ACK, { acknowledgmentNumber: 0xffff_fff0 }), "inside"));
  assertEquals([inside.source, inside.destination, inside.flags], [REMOTE, CLIENT, RST]);
  assertEquals([inside.sourcePort, inside.destinationPort], [80, 40_000]);
  assertEquals(sequenceOf(inside.transport), 0xffff_fff0);
  // Neither an RST nor what begins a connection is answered.
  assertSilent(same.in(RST));
  assertSilent(same.in(SYN));
  const again = connect(two.world);
  only(again.out(ACK), "outside");
  two.world.advance(120_000);
  assertSilent(two.world.inbound(segmentTo(connection, {})));
  assertEquals(two.world.dropped(DropReason.natNoMapping) > 0, true);
});

Deno.test("a segment without an acknowledgment is reset by one of what it has", () => {
  const { world, flows } = new Gateway(1);
  flows.hold(world.clock.now);
  world.advance(300);
  const segment = buildTcp({
    ...{ source: REMOTE, sourcePort: 80, destination: EXTERNAL, destinationPort: 20_001 },
    ...{ flags: FIN, sequenceNumber: 0xffff_ffff, payload: new Uint8Array(10) },
  });
  const { transport, flags } = read(only(world.inbound(segment), "outside"));
  assertEquals([flags, sequenceOf(transport)], [RST | ACK, 0]);
  assertEquals(new DataView(transport.buffer, transport.byteOffset).getUint32(8), 10);
});

Deno.test("a gateway that gives the address up tells of the youngest, and they go on though the other has it already", () => {
  const [one, two] = fleet();
  const old = connect(one.world);
  pass(1_200, [one, two]);
  const young = connect(one.world, { clientPort: 40_001 });
  assertEquals(two.hold(), { kept: 1, lost: 0 });
  one.giveUp();
  deliver([one, two]);
  only(at(two, old).out(ACK), "outside");
  only(at(two, young, 40_001).in(ACK), "inside");
  // What comes late for the one that had it is met with silence.
  assertSilent(at(one, old).in(ACK));
  one.world.advance(1_000);
  assertSilent(at(one, old).in(ACK));
});

Deno.test("one that drains tells of all flows, and of each new one at once", () => {
  const [one, two] = fleet();
  connect(one.world);
  one.flows.setDraining(true, one.world.clock.now);
  deliver([one, two]);
  connect(one.world, { clientPort: 40_001 });
  pass(100, [one, two]);
  assertEquals(two.hold(), { kept: 2, lost: 0 });
});

Deno.test("a gateway that comes later, or has missed messages, knows of all after a round", () => {
  const [one, two] = fleet();
  for (let i = 0; i < 1_000; i++) connect(one.world, { clientPort: 10_000 + i });
  pass(2_000, [one]);
  one.told = [];
  one.flows.gatewayUp(2, one.world.clock.now);
  pass(1_100, [one, two]);
  assertEquals(two.hold(), { kept: 1_000, lost: 0 });
  two.giveUp();
  const three = new Gateway(3);
  pass(11_000, [one, three]);
  assertEquals(three.hold(), { kept: 1_000, lost: 0 });
});

Deno.test("one that has just come goes on with all flows, though the one that has the address is stopped at once", () => {
  // More than are told of at once.
  const [one, two] = fleet({ clientQuota: 9_000, ports: { first: 20_000, last: 59_999 } });
  for (let i = 0; i < 6_000; i++) connect(one.world, { clientPort: 10_000 + i });
  pass(2_000, [one]);
  one.told = [];
  const { now } = one.world.clock;
  one.flows.gatewayUp(2, now);
  one.flows.setDraining(true, now);
  deliver([one, two]);
  assert(two.hold().kept > 5_000);
  one.giveUp();
  deliver([one, two]);
  assertEquals(two.world.nat.sessionCount, 6_000);
});

Deno.test("a gateway that comes learns from the others as well, in case that the one that has the address dies", () => {
  const [one, two] = fleet();
  for (let i = 0; i < 1_000; i++) connect(one.world, { clientPort: 10_000 + i });
  pass(1_200, [one, two]);
  const three = new Gateway(3);
  two.flows.gatewayUp(3, two.world.clock.now);
  pass(200, [two, three]);
  assertEquals(three.hold(), { kept: 1_000, lost: 0 });
  // One that is gone again is told no more.
  two.flows.gatewayUp(4, two.world.clock.now);
  two.flows.gatewayDown(4);
  pass(200, [two]);
  assertEquals(two.flows.pollAt(), Infinity);
});

Deno.test("one that gets the address back goes on with what it had, where nobody had it meanwhile", () => {
  const [one, two] = fleet();
  const connection = connect(one.world);
  one.giveUp();
  pass(3_000, [one, two]);
  assertEquals(one.hold(), { kept: 1, lost: 0 });
  only(at(one, connection).in(ACK), "inside");
});

Deno.test("a flow that has ended is not gone on with, and its port is free", () => {
  const [one, two] = fleet();
  const ended = connect(one.world);
  const goesOn = connect(one.world, { clientPort: 40_001 });
  pass(1_200, [one, two]);
  ended.out(FIN | ACK);
  ended.in(FIN | ACK);
  ended.out(ACK);
  pass(40_000, [one, two]);
  assertEquals(two.hold(), { kept: 1, lost: 0 });
  only(at(two, goesOn, 40_001).in(ACK), "inside");
});

Deno.test("of a client that is gone, and of one over its quota, flows are lost and nothing of others is", () => {
  const [one, two] = [
    new Gateway(1),
    new Gateway(2, {
      clientQuota: 3,
      clientOf: (inner) => inner >>> 0 === address(CLIENT_2) ? null : inner,
    }),
  ];
  one.hold();
  for (let i = 0; i < 5; i++) connect(one.world, { clientPort: 40_000 + i });
  connect(one.world, { client: CLIENT_2 });
  pass(1_200, [one, two]);
  assertEquals(two.hold(), { kept: 3, lost: 3 });
});

Deno.test("what makes no sense is counted, and so is what comes to the one that has the address", () => {
  const [one, two] = fleet();
  connect(one.world);
  one.giveUp();
  const [[message]] = one.told as [[Uint8Array, undefined]];
  const broken = message.slice();
  broken[4] = 1;
  assert(two.flows.take(broken, two.world.clock.now));
  assertEquals(two.world.dropped(DropReason.badFleetMessage), 1);
  assertEquals(two.hold(), { kept: 0, lost: 0 });
  two.world.advance(5_000);
  assert(two.flows.take(message, two.world.clock.now));
  assertEquals(two.world.dropped(DropReason.badFleetMessage), 2);
  assertEquals(two.world.nat.sessionCount, 0);
  assertEquals(two.flows.take(new Uint8Array([1, 16, 0, 0]), two.world.clock.now), false);
});

Deno.test("flows that another claims for ports that are configured, shared, outside the range or taken are lost", () => {
  const forwards = [{
    protocol: "tcp" as const,
    externalPort: 20_001,
    address: address(CLIENT),
    port: 80,
  }];
  const { world, flows } = new Gateway(1, { forwards });
  const writer = new FlowBatchWriter();
  const record = {
    ...{
      protocol: 6,
      isShared: false,
      seen: 3,
      innerAddress: address(CLIENT) | 0,
      timeLeft: 9_000,
    },
    ...{ remoteAddress: address(REMOTE) | 0, remotePort: 80 },
  };
  const claims = [
    [20_001, 1], // forwarded
    [20_006, 2], // shared by others
    [80, 3], // out of the range
    [20_002, 80], // the inner end of the forwarded port
    [20_003, 4], // good
    [20_003, 5], // taken by then
  ];
  for (const [i, [externalPort, innerPort]] of claims.entries()) {
    writer.add({
      ...record,
      externalPort: externalPort!,
      innerPort: innerPort!,
      remotePort: 80 + i,
    });
  }
  flows.take(writer.take(), world.clock.now);
  assertEquals(flows.hold(world.clock.now), { kept: 1, lost: 5 });
});

function segmentTo({ externalPort }: Connection, fields: { acknowledgmentNumber?: number }) {
  return buildTcp({
    ...{ source: REMOTE, sourcePort: 80, destination: EXTERNAL, destinationPort: externalPort },
    ...{ flags: ACK, ...fields },
  });
}

function sequenceOf(transport: Uint8Array): number {
  return new DataView(transport.buffer, transport.byteOffset).getUint32(4);
}
