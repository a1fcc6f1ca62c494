/**
 * Tests of what the NAT does where the path to one client is narrower than the tunnel: for that client, and no other.
 */
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assertEquals } from "../../support/assert.ts";
import { buildTcp, buildUdp, type Bytes } from "../../support/packets/packet_builder.ts";
import {
  ACK,
  address,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  only,
  quotedBy,
  read,
  REMOTE,
  REMOTE_2,
  SYN,
  World,
} from "../../support/nat/world.ts";

const MTU = 1220;
const FROM_CLIENT = { source: CLIENT, destination: REMOTE };

/** A NAT that knows of a narrow path to the first client. */
function narrowWorld(): World {
  return new World({ mtuOf: (inner) => inner === (address(CLIENT) | 0) ? MTU : 1420 });
}

/** What `client` sends outside by UDP, as it stands there: the port that stands for it. */
function portOf(world: World, client: string): number {
  const out = world.outbound(buildUdp({ source: client, destination: REMOTE }));
  return read(only(out, "outside")).sourcePort;
}

/** A packet from outside of `length` bytes in all. */
function datagram(destinationPort: number, length: number, fields = {}): Bytes {
  return buildUdp({
    source: REMOTE,
    destination: EXTERNAL,
    destinationPort,
    dontFragment: true,
    payload: new Uint8Array(length - 28),
    ...fields,
  });
}

function mssOf(segment: Bytes): number {
  return segment[42]! * 256 + segment[43]!;
}

Deno.test("a sender outside is told the MTU of the path to the client it writes to", () => {
  const world = narrowWorld();
  const [narrow, wide] = [portOf(world, CLIENT), portOf(world, CLIENT_2)];
  const packet = datagram(narrow, MTU + 1);
  const error = only(world.inbound(packet), "outside");
  const { source, destination, type, code, mtu } = read(error);
  assertEquals([source, destination, type, code, mtu], [EXTERNAL, REMOTE, 3, 4, MTU]);
  assertEquals(quotedBy(error), packet.slice(0, 576 - 28));
  assertEquals(world.dropped(DropReason.fragmentationNeeded), 1);
  only(world.inbound(datagram(narrow, MTU)), "inside");
  only(world.inbound(datagram(wide, 1420)), "inside");
});

Deno.test("a sender outside that does not learn of it loses one packet a second, and without DF none", () => {
  const world = narrowWorld();
  const port = portOf(world, CLIENT);
  only(world.inbound(datagram(port, 1400, { dontFragment: false })), "inside");
  for (let second = 0; second < 3; second++) {
    only(world.inbound(datagram(port, 1400)), "outside");
    for (let i = 0; i < 10; i++) {
      const packet = only(world.inbound(datagram(port, 1400)), "inside");
      assertEquals([packet.length, read(packet).dontFragment], [1400, true]);
    }
    only(world.inbound(datagram(port, 1400, { source: `198.51.100.${second + 100}` })), "outside");
    world.advance(1000);
  }
});

Deno.test("what is longer than the inner MTU is refused always", () => {
  const world = narrowWorld();
  const port = portOf(world, CLIENT);
  const errors = Array.from(
    { length: 3 },
    () => only(world.inbound(datagram(port, 1421)), "outside"),
  );
  assertEquals(errors.map((error) => read(error).mtu), [1420, 1420, 1420]);
});

Deno.test("merged segments that the path does not take are refused as one, then passed", () => {
  const world = narrowWorld();
  const fields = { sourcePort: 5000, flags: SYN };
  const syn = only(
    world.outbound(buildTcp({ source: CLIENT, destination: REMOTE, ...fields })),
    "outside",
  );
  const merged = buildTcp({
    source: REMOTE,
    sourcePort: 80,
    destination: EXTERNAL,
    destinationPort: read(syn).sourcePort,
    flags: ACK,
    dontFragment: true,
    payload: new Uint8Array(13_800),
  });
  const first = world.inboundMerged(merged, 1420);
  assertEquals(first.merged, null);
  assertEquals(read(only(first.sent, "outside")).mtu, MTU);
  assertEquals(world.inboundMerged(merged, 1420).merged !== null, true);
  assertEquals(world.inboundMerged(merged, MTU).merged !== null, true);
});

Deno.test("the MSS of a client's connections is clamped to its own path, in both directions", () => {
  const world = narrowWorld();
  for (const [client, mss] of [[CLIENT, MTU - 40], [CLIENT_2, 1380]] as const) {
    const tcpOptions = [2, 4, 1460 >> 8, 1460 & 0xff];
    const fields = { source: client, sourcePort: 5000, destination: REMOTE, destinationPort: 80 };
    const syn = only(world.outbound(buildTcp({ ...fields, flags: SYN, tcpOptions })), "outside");
    assertEquals(mssOf(syn), mss);
    const answer = buildTcp({
      source: REMOTE,
      sourcePort: 80,
      destination: EXTERNAL,
      destinationPort: read(syn).sourcePort,
      flags: SYN | ACK,
      tcpOptions,
    });
    assertEquals(mssOf(only(world.inbound(answer), "inside")), mss);
  }
});

Deno.test("who opens a connection to a client by the address outside, and that client, hear what both paths take", () => {
  const world = narrowWorld();
  const tcpOptions = [2, 4, 1380 >> 8, 1380 & 0xff];
  const open = (source: string, destinationPort: number, destination = EXTERNAL) =>
    world.outbound(
      buildTcp({ source, sourcePort: 5000, destination, destinationPort, flags: SYN, tcpOptions }),
    );
  const portOfTcp = (client: string) => read(only(open(client, 80, REMOTE), "outside")).sourcePort;
  const [narrow, wide] = [portOfTcp(CLIENT), portOfTcp(CLIENT_2)];
  for (const [client, port] of [[CLIENT_2, narrow], [CLIENT, wide]] as const) {
    assertEquals(mssOf(only(open(client, port), "inside")), MTU - 40);
  }
});

Deno.test("one client is told of the narrow path to another that it reaches by the address outside", () => {
  const world = narrowWorld();
  const port = portOf(world, CLIENT);
  portOf(world, CLIENT_2);
  const fields = { destination: EXTERNAL, destinationPort: port, dontFragment: true };
  const packet = buildUdp({ source: CLIENT_2, ...fields, payload: new Uint8Array(1300) });
  const error = read(only(world.outbound(packet), "inside"));
  assertEquals([error.destination, error.type, error.code, error.mtu], [CLIENT_2, 3, 4, MTU]);
  // What it sends to others is no concern of that path.
  only(
    world.outbound(
      buildUdp({ source: CLIENT, destination: REMOTE_2, payload: new Uint8Array(1390) }),
    ),
    "outside",
  );
});

Deno.test("a client is told of a packet that the link outside refuses after all, as it knows it", () => {
  const world = new World();
  for (const [client, build] of [[CLIENT, buildUdp], [CLIENT_2, buildTcp]] as const) {
    const packet = build({
      source: client,
      destination: REMOTE,
      dontFragment: true,
      ...build === buildTcp ? { flags: SYN } : {},
      payload: new Uint8Array(1_400),
    });
    const sent = only(world.outbound(packet), "outside");
    world.nat.externalMtu = 1_300;
    const error = only(world.refuseSent(sent), "inside");
    const { source, destination, type, code, mtu } = read(error);
    assertEquals([source, destination, type, code, mtu], [EXTERNAL, client, 3, 4, 1_300]);
    const quoted = quotedBy(error);
    assertEquals(quoted.slice(12, 24), packet.slice(12, 24));
    world.nat.externalMtu = 1_500;
  }
});

Deno.test("a client is told before a packet is sent once the link outside takes less", () => {
  const world = new World();
  const packet = buildUdp({
    source: CLIENT,
    destination: REMOTE,
    dontFragment: true,
    payload: new Uint8Array(1_372),
  });
  only(world.outbound(packet), "outside");
  world.nat.externalMtu = 1_300;
  assertEquals(read(only(world.outbound(packet), "inside")).mtu, 1_300);
  const whole = world.outbound(buildUdp({ ...FROM_CLIENT, payload: new Uint8Array(1_372) }));
  assertEquals(whole.outside.map(({ length }) => length <= 1_300), [true, true]);
  // There is no memory for longer ones than at the start.
  world.nat.externalMtu = 9_000;
  world.nat.externalMtu = 1_500;
  only(world.outbound(packet), "outside");
});

Deno.test("what may be in fragments, or is an error itself, brings no error when it is refused", () => {
  const world = new World();
  const sent = only(world.outbound(buildUdp({ ...FROM_CLIENT })), "outside");
  assertEquals(world.refuseSent(sent), { outside: [], inside: [] });
  const stranger = buildUdp({
    source: EXTERNAL,
    destination: REMOTE,
    sourcePort: 9,
    dontFragment: true,
  });
  assertEquals(world.refuseSent(stranger), { outside: [], inside: [] });
});
