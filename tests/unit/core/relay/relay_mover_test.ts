/**
 * Tests of a relay's two ends together (lib/core/relay/relay_mover.ts): flows, their connections, and what becomes of
 * both in time.
 */
import { localAddressOf } from "../../../../lib/core/transport/fake_tcp/four_tuple.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { ACK, build, PSH, RST, SYN } from "../../../support/fake_tcp/world.ts";
import { RelayWorld } from "../../../support/relay/relay_world.ts";
import { hostTest } from "../../../support/permissions.ts";

const MINUTE = 60_000;

/** How many connections were begun. */
function connectionsBegun({ passed }: RelayWorld): number {
  return new Set(
    passed.filter(({ flags }) => flags === SYN).map(({ sourcePort, seq }) =>
      `${sourcePort} ${seq}`
    ),
  ).size;
}

hostTest("relays carry a datagram there and the answer back", () => {
  using world = new RelayWorld();
  const client = world.socket();
  assert(world.exchange(client, "hello") !== null);
  assertEquals([world.near.dropped, world.far.dropped], [{}, {}]);
  assertEquals(world.near.reached, [true]);
});

hostTest("relays give each client a connection, and the service another port for each", () => {
  using world = new RelayWorld();
  const clients = Array.from({ length: 10 }, () => world.socket());
  const ports = clients.map((client, i) => world.exchange(client, `client ${i}`));
  assertEquals(new Set(ports).size, clients.length);
  assertEquals(connectionsBegun(world), clients.length);
  // The same ones again and again.
  assertEquals(clients.map((client, i) => world.exchange(client, `again ${i}`)), ports);
  assertEquals(connectionsBegun(world), clients.length);
});

hostTest("relays keep the boundaries of datagrams, whether the kernel merges them or not", () => {
  using world = new RelayWorld();
  const client = world.socket();
  assert(world.exchange(client, "hello") !== null);
  const lengths = [1, 1460, 700, 700, 700, 33, 1460, 1460, 5];
  for (const length of lengths) world.send(client, length);
  world.settle();
  assertEquals(world.received(world.service).map(({ text }) => text.length), lengths);
});

hostTest("a relay counts what it cannot carry", () => {
  using world = new RelayWorld();
  const client = world.socket();
  assert(world.exchange(client, "hello") !== null);
  world.send(client, 1461);
  world.send(client, 0);
  world.settle();
  assertEquals(world.received(world.service), []);
  assertEquals(world.near.dropped, { too_big: 1, empty: 1 });
});

hostTest("relays end a flow after 180 s of silence, with its connection and its socket", () => {
  using world = new RelayWorld();
  const [client, other] = [world.socket(), world.socket()];
  const port = world.exchange(client, "first");
  world.advance(100_000);
  assert(world.exchange(other, "later") !== null);
  world.advance(79_000);
  assertEquals([world.near.flows.size, world.far.flows.size], [2, 2]);
  world.advance(2_000);
  assertEquals([world.near.flows.size, world.far.flows.size], [1, 1]);
  assert(world.passed.some(({ flags }) => (flags & RST) !== 0));
  world.advance(3 * MINUTE);
  assertEquals([world.near.flows.size, world.far.flows.size], [0, 0]);
  assertEquals([
    world.near.link.connections.sessions.size,
    world.far.link.connections.sessions.size,
  ], [
    0,
    0,
  ]);
  // The client's next datagram opens a new flow.
  const again = world.exchange(client, "again");
  assert(again !== null && again !== port);
});

hostTest("a flow that either side uses does not end", () => {
  using world = new RelayWorld();
  const client = world.socket();
  const port = world.exchange(client, "hello")!;
  for (let minute = 0; minute < 30; minute += 2) {
    world.advance(2 * MINUTE);
    // The service alone has something to say.
    world.send(world.service, `minute ${minute}`, port);
    world.settle();
    assertEquals(world.received(client).map(({ text }) => text), [`minute ${minute}`]);
  }
  assertEquals(connectionsBegun(world), 1);
});

hostTest("a flow whose service never answers stays on its connection", () => {
  using world = new RelayWorld();
  const client = world.socket();
  const ports = new Set<number>();
  for (let i = 0; i < 30; i++) {
    world.send(client, `line ${i}`);
    world.settle();
    for (const { port } of world.received(world.service)) ports.add(port);
    world.advance(20_000);
  }
  assertEquals([ports.size, connectionsBegun(world)], [1, 1]);
});

hostTest(
  "with too many clients, the one idle for longest is evicted, and comes back when it likes",
  () => {
    using world = new RelayWorld({ capacity: 3 });
    const clients = Array.from({ length: 4 }, () => world.socket());
    const ports = clients.slice(0, 3).map((client) => {
      world.advance(100);
      return world.exchange(client, "first");
    });
    world.advance(100);
    assertEquals(world.exchange(clients[0]!, "again"), ports[0]);
    world.advance(100);
    assert(world.exchange(clients[3]!, "one too many") !== null);
    assertEquals(world.near.flows.size, 3);
    assertEquals(world.exchange(clients[0]!, "again"), ports[0]);
    assertEquals(world.exchange(clients[2]!, "again"), ports[2]);
    // The far relay was told, and believes it after a second.
    world.advance(2_000);
    assertEquals(world.far.flows.size, 3);
    const back = world.exchange(clients[1]!, "back");
    assert(back !== null && back !== ports[1]);
  },
);

hostTest("a relay says that nothing answers, and tries again with the next datagram", () => {
  using world = new RelayWorld();
  const client = world.socket();
  world.isCut = true;
  world.send(client, "hello");
  world.settle();
  world.advance(5_000);
  assertEquals(world.near.reached, [false]);
  assertEquals(world.near.link.connections.sessions.size, 0);
  const begun = connectionsBegun(world);
  world.advance(MINUTE);
  assertEquals(connectionsBegun(world), begun, "nothing is tried for nobody");
  world.isCut = false;
  assert(world.exchange(client, "again") !== null);
  assertEquals(world.near.reached, [false, true]);
});

hostTest("a few datagrams wait for a connection, the others are counted", () => {
  using world = new RelayWorld();
  const client = world.socket();
  for (let i = 0; i < 10; i++) world.send(client, `${i}`);
  world.settle();
  assertEquals(
    world.received(world.service).map(({ text }) => text),
    ["0", "1", "2", "3", "4", "5", "6", "7"],
  );
  assertEquals(world.near.dropped, { fake_tcp_not_open: 2 });
});

hostTest("a flow moves to a connection from the host's new address", () => {
  using world = new RelayWorld();
  const client = world.socket();
  assert(world.exchange(client, "hello") !== null);
  world.near.localAddress = 0x0c000299;
  world.near.mover.networkChanged(world.clock.now);
  world.settle();
  assert(world.exchange(client, "from elsewhere") !== null);
  assertEquals(
    Array.from(world.near.link.connections.sessions, localAddressOf),
    [0x0c000299],
  );
  // Between two networks there is no address: what is there stays, as it may come back.
  world.near.localAddress = null;
  world.near.mover.networkChanged(world.clock.now);
  assertEquals(world.near.flows.size, 1);
  world.send(world.socket(), "a new flow");
  world.settle();
  assertEquals(world.near.dropped, { fake_tcp_no_session: 1 });
});

hostTest("a service that does not run costs a count, and answers once it does", () => {
  using world = new RelayWorld();
  const client = world.socket();
  assert(world.exchange(client, "hello") !== null);
  world.close(world.service);
  world.send(client, "anybody?");
  world.settle();
  assertEquals(world.far.dropped, { send_error: 1 });
  world.service = world.socket(world.service.port);
  assert(world.exchange(client, "hello again") !== null);
  assertEquals(connectionsBegun(world), 1);
});

hostTest("while the output is full, nothing is read, and nothing that waits is lost", () => {
  using world = new RelayWorld();
  const client = world.socket();
  assert(world.exchange(client, "hello") !== null);
  world.near.wire.room = 0;
  world.send(client, "one");
  world.settle();
  assertEquals([world.near.wire.isRoomAwaited, world.near.isUdpAwaited], [true, false]);
  for (const text of ["two", "three"]) world.send(client, text);
  world.settle();
  assertEquals(world.received(world.service), []);
  world.near.wire.room = Infinity;
  world.settle();
  world.settle();
  assertEquals(world.received(world.service).map(({ text }) => text), ["one", "two", "three"]);
  assertEquals([world.near.wire.isRoomAwaited, world.near.isUdpAwaited], [false, true]);
  assertEquals(world.near.dropped, {});
});

hostTest("a flow whose connection a forger has broken has another one within seconds", () => {
  using world = new RelayWorld();
  const client = world.socket();
  assert(world.exchange(client, "hello") !== null);
  const [session] = world.near.link.connections.sessions;
  const { localPort, sndNxt, rcvMax } = session!;
  // Anyone who knows the numbers, which only those on the path do, moves the far end away.
  world.far.wire.arriving.push(build({
    flags: PSH | ACK,
    sourcePort: localPort,
    seq: sndNxt + 900_000,
    ack: rcvMax,
    payload: new Uint8Array(10),
  }));
  world.settle();
  assertEquals(world.exchange(client, "nothing comes back"), null);
  for (let ms = 0; ms < 8_000; ms += 200) {
    world.send(client, `after ${ms}`);
    world.advance(200);
    for (const { port } of world.received(world.service)) world.send(world.service, "answer", port);
    world.settle();
  }
  world.received(client);
  assert(world.exchange(client, "again") !== null);
  assertEquals(connectionsBegun(world), 2);
});
