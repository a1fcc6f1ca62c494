/** Tests of published services whose back ends are in the tunnel: who gets which flow, and for how long. */
import { MaglevTable } from "../../../lib/core/nat/services/maglev_table.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import {
  buildIcmp,
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
} from "../../support/packets/packet_builder.ts";
import {
  backEnd,
  connect,
  fromBackEnd,
  INNER_PORT,
  PORT,
  receiverOf,
  type Remote,
  remotes,
  service,
  toService,
  VIRTUAL,
  WEB,
} from "../../support/nat/services.ts";
import {
  ACK,
  address,
  assertSilent,
  CLIENT,
  EXTERNAL,
  FIN,
  only,
  quotedBy,
  read,
  RST,
  SECOND,
  SYN,
  World,
} from "../../support/nat/world.ts";

const REMOTE: Remote = { address: "198.51.100.7", port: 40_000 };

/** The service with its back ends as they are now. */
function turn(world: World, states: Readonly<Record<string, "up" | "down" | "drained">>): void {
  const backEnds = WEB.map((text) =>
    backEnd(text, { isUp: states[text] !== "down", isDraining: states[text] === "drained" })
  );
  world.nat.all[0].setServices([service({ backEnds })]);
}

function count<Kind>(all: readonly Kind[]): Map<Kind, number> {
  const counts = new Map<Kind, number>();
  for (const each of all) counts.set(each, (counts.get(each) ?? 0) + 1);
  return counts;
}

for (const destination of [EXTERNAL, VIRTUAL]) {
  const at = destination === EXTERNAL ? "the gateway's address" : "an address of its own";
  const services = [
    service({ externalAddress: destination === EXTERNAL ? null : address(destination) }),
  ];

  Deno.test(`a back end gets the client's own address, and answers as the service, at ${at}`, () => {
    const world = new World({ services });
    const got = read(only(world.inbound(toService(REMOTE, { destination })), "inside"));
    assert(WEB.some((each) => each === got.destination));
    assertEquals([got.source, got.sourcePort], [REMOTE.address, REMOTE.port]);
    assertEquals(got.destinationPort, INNER_PORT);
    const answer = fromBackEnd(got.destination, REMOTE, { flags: SYN | ACK });
    const sent = read(only(world.outbound(answer), "outside"));
    assertEquals([sent.source, sent.sourcePort], [destination, PORT]);
    assertEquals([sent.destination, sent.destinationPort], [REMOTE.address, REMOTE.port]);
  });

  Deno.test(`an error about what a back end has sent reaches it as its own, at ${at}`, () => {
    const world = new World({ services });
    const receiver = connect(world, REMOTE, destination);
    const data = only(world.outbound(fromBackEnd(receiver, REMOTE)), "outside");
    const error = buildIcmp({
      source: "192.0.2.1",
      destination,
      type: 3,
      code: 4,
      identifier: 0,
      sequenceNumber: 1300,
      payload: data,
    });
    const got = only(world.inbound(error), "inside");
    assertEquals(read(got).destination, receiver);
    const quoted = read(quotedBy(got), { checked: false });
    assertEquals([quoted.source, quoted.sourcePort], [receiver, INNER_PORT]);
  });

  Deno.test(`a back end's error goes out as from the service, at ${at}`, () => {
    const world = new World({ services });
    const got = only(world.inbound(toService(REMOTE, { destination })), "inside");
    const receiver = read(got).destination;
    const error = buildIcmp({
      source: receiver,
      destination: REMOTE.address,
      type: 3,
      code: 3,
      payload: got,
    });
    const sent = only(world.outbound(error), "outside");
    assertEquals(read(sent).source, destination);
    const quoted = read(quotedBy(sent), { checked: false });
    assertEquals([quoted.destination, quoted.destinationPort], [destination, PORT]);
  });

  Deno.test(`a client of the tunnel reaches a service, and is answered, at ${at}`, () => {
    const world = new World({ services, clientToClient: false });
    const ends = { source: CLIENT, sourcePort: 50_000, destination, destinationPort: PORT };
    const got = read(only(world.outbound(buildTcp({ ...ends, flags: SYN })), "inside"));
    assertEquals(got.source, EXTERNAL);
    const remote = { address: EXTERNAL, port: got.sourcePort };
    const answer = fromBackEnd(got.destination, remote, { flags: SYN | ACK });
    const back = read(only(world.outbound(answer), "inside"));
    assertEquals([back.source, back.sourcePort], [destination, PORT]);
    assertEquals([back.destination, back.destinationPort], [CLIENT, 50_000]);
  });

  Deno.test(`later fragments follow the first to its back end, at ${at}`, () => {
    const world = new World({
      services: services.map((each) => ({ ...each, protocol: "udp" as const })),
    });
    const payload = new Uint8Array(3000);
    const parts = fragment(toService(REMOTE, { destination, isUdp: true, payload }), 1200);
    const receivers = parts.map((part) => read(only(world.inbound(part), "inside")).destination);
    assertEquals(new Set(receivers).size, 1);
    const answer = { source: receivers[0], sourcePort: INNER_PORT, payload };
    const out = { ...answer, destination: REMOTE.address, destinationPort: REMOTE.port };
    const sources = fragment(buildUdp(out), 1200)
      .map((part) => read(only(world.outbound(part), "outside")).source);
    assertEquals(new Set(sources), new Set([destination]));
  });
}

Deno.test("what comes to another port of a service's own address is met with silence", () => {
  const world = new World({ services: [service({ externalAddress: address(VIRTUAL) })] });
  const ends = { source: REMOTE.address, sourcePort: 40_000, destination: VIRTUAL };
  const others: Bytes[] = [
    buildTcp({ ...ends, destinationPort: 22, flags: SYN }),
    buildUdp({ ...ends, destinationPort: PORT }),
    buildIcmp({ source: REMOTE.address, destination: VIRTUAL }),
  ];
  for (const packet of others) assertSilent(world.inbound(packet));
  assertSilent(world.outbound(buildIcmp({ source: CLIENT, destination: VIRTUAL })));
  // Nor is the gateway's address that service's.
  assertSilent(world.inbound(toService(REMOTE)));
});

for (const method of ["hash", "least"] as const) {
  Deno.test(`10,000 connections are shared out evenly by ${method}`, () => {
    const world = new World({ services: [service({ method })] });
    const counts = count(remotes(10_000).map((remote) => connect(world, remote)));
    const most = method === "least" ? 1 : 250;
    for (const [, each] of counts) assert(Math.abs(each - 10_000 / 3) <= most, `${[...counts]}`);
    assertEquals(counts.size, 3);
  });

  Deno.test(`a connection keeps its back end whatever becomes of others, by ${method}`, () => {
    const world = new World({ services: [service({ method })] });
    const all = remotes(300).map((remote) => ({ remote, receiver: connect(world, remote) }));
    const check = (): void => {
      for (const { remote, receiver } of all) {
        assertEquals(receiverOf(world.inbound(toService(remote, { flags: ACK }))), receiver);
      }
    };
    turn(world, { [WEB[0]]: "down" });
    check();
    turn(world, { [WEB[0]]: "down", [WEB[1]]: "drained" });
    check();
    turn(world, {});
    check();
  });

  Deno.test(`new connections avoid a back end that is down or drained, by ${method}`, () => {
    for (const state of ["down", "drained"] as const) {
      const world = new World({ services: [service({ method })] });
      turn(world, { [WEB[1]]: state });
      const counts = count(remotes(300).map((remote) => connect(world, remote)));
      assertEquals([...counts.keys()].sort(), [WEB[0], WEB[2]]);
    }
  });
}

Deno.test("a repeated SYN goes to another back end once its own is down, or drained before it answered", () => {
  for (const state of ["down", "drained"] as const) {
    const world = new World({ services: [service()] });
    const first = receiverOf(world.inbound(toService(REMOTE)))!;
    turn(world, { [first]: state });
    const second = receiverOf(world.inbound(toService(REMOTE)))!;
    assert(second !== first);
    // The first one is late, and knows nothing of that.
    assertSilent(world.outbound(fromBackEnd(first, REMOTE, { flags: SYN | ACK })));
    only(world.outbound(fromBackEnd(second, REMOTE, { flags: SYN | ACK })), "outside");
  }
});

Deno.test("the ports of a connection that is over may begin another, at any back end", () => {
  const world = new World({ services: [service()] });
  const first = connect(world, REMOTE);
  turn(world, { [first]: "drained" });
  world.inbound(toService(REMOTE, { flags: FIN | ACK }));
  // Half closed, it goes on.
  assertEquals(receiverOf(world.inbound(toService(REMOTE, { flags: ACK }))), first);
  world.outbound(fromBackEnd(first, REMOTE, { flags: FIN | ACK }));
  assertEquals(receiverOf(world.inbound(toService(REMOTE, { flags: ACK }))), first);
  assert(receiverOf(world.inbound(toService(REMOTE))) !== first);
});

Deno.test("an RST that a stranger forges does not take a connection from its back end", () => {
  const world = new World({ services: [service({ method: "least" })] });
  const receiver = connect(world, REMOTE);
  world.inbound(toService(REMOTE, { flags: RST }));
  world.outbound(fromBackEnd(receiver, REMOTE));
  world.advance(1000 * SECOND);
  assertEquals(receiverOf(world.inbound(toService(REMOTE, { flags: ACK }))), receiver);
  // Nor with a SYN behind it, forged as well.
  for (let i = 0; i < 2; i++) {
    world.inbound(toService(REMOTE, { flags: RST }));
    assertEquals(receiverOf(world.inbound(toService(REMOTE))), receiver);
  }
  world.outbound(fromBackEnd(receiver, REMOTE));
  assertEquals(receiverOf(world.inbound(toService(REMOTE, { flags: ACK }))), receiver);
});

Deno.test("datagrams leave a back end that is down at once, and one that is drained when they pause", () => {
  const world = new World({ services: [service({ protocol: "udp" })] });
  const send = () => receiverOf(world.inbound(toService(REMOTE, { isUdp: true })))!;
  const first = send();
  world.nat.all[0].setServices([
    service({
      protocol: "udp",
      backEnds: WEB.map((text) => backEnd(text, { isDraining: text === first })),
    }),
  ]);
  assertEquals(send(), first);
  world.nat.all[0].setServices([
    service({
      protocol: "udp",
      backEnds: WEB.map((text) => backEnd(text, { isUp: text !== first })),
    }),
  ]);
  const second = send();
  assert(second !== first);
  world.outbound(fromBackEnd(second, REMOTE, { isUdp: true }));
  world.nat.all[0].setServices([
    service({
      protocol: "udp",
      backEnds: WEB.map((text) => backEnd(text, { isDraining: text === second })),
    }),
  ]);
  world.advance(300 * SECOND);
  assert(send() !== second);
});

Deno.test("without a back end that may be chosen, what begins is dropped and counted", () => {
  const world = new World({ services: [service()] });
  const receiver = connect(world, REMOTE);
  turn(world, { [WEB[0]]: "down", [WEB[1]]: "down", [WEB[2]]: "drained" });
  assertSilent(world.inbound(toService({ ...REMOTE, port: 41_000 })));
  assertEquals(world.dropped(DropReason.noBackEnd), 1);
  assertEquals(world.dropped(DropReason.natNoMapping), 0);
  assertEquals(receiverOf(world.inbound(toService(REMOTE, { flags: ACK }))), receiver);
});

Deno.test("after a restart, a connection finds its back end again, by its own packets too", () => {
  const seeds = { serviceSeed: 77 };
  const before = new World({ services: [service()], ...seeds });
  const all = remotes(200).map((remote) => ({ remote, receiver: connect(before, remote) }));
  const after = new World({ services: [service()], ...seeds, seed: 99 });
  for (const { remote, receiver } of all) {
    assertEquals(receiverOf(after.inbound(toService(remote, { flags: ACK }))), receiver);
  }
  // By the fewest, nothing says whose it was but the back end.
  const least = new World({ services: [service({ method: "least" })], seed: 99 });
  for (const { remote, receiver } of all) {
    only(least.outbound(fromBackEnd(receiver, remote)), "outside");
    assertEquals(receiverOf(least.inbound(toService(remote, { flags: ACK }))), receiver);
  }
});

Deno.test("a back end that moves, goes or comes takes no connection from others", () => {
  const world = new World({ services: [service()] });
  const all = remotes(300).map((remote) => ({ remote, receiver: connect(world, remote) }));
  const moved = { ...backEnd(WEB[0]), address: address("10.66.77.99") };
  world.nat.all[0].setServices([
    service({ backEnds: [moved, backEnd(WEB[1]), backEnd(WEB[2]), backEnd("10.66.77.14")] }),
  ]);
  for (const { remote, receiver } of all) {
    const now = receiverOf(world.inbound(toService(remote, { flags: ACK })));
    if (receiver === WEB[0]) assert(now !== WEB[0]);
    else assertEquals(now, receiver);
  }
  // What has its address no more is a client as any.
  const sent = read(only(world.outbound(fromBackEnd(WEB[0], REMOTE)), "outside"));
  assert(sent.sourcePort !== PORT);
  const fresh = count(remotes(900).map(({ port }) => connect(world, { ...REMOTE, port })));
  assertEquals(fresh.size, 4);
  assertEquals(world.nat.mappingCount, 5);
  world.nat.all[0].setServices([service({ backEnds: [{ ...moved, address: null }] })]);
  assertSilent(world.inbound(toService({ ...REMOTE, port: 50_000 })));
});

Deno.test("a back end that comes and goes has only the tables made again that it is in", () => {
  const services = (isUp: boolean) =>
    Array.from({ length: 20 }, (_, i) =>
      service({
        externalPort: PORT + i,
        backEnds: WEB.map((text, index) => ({
          ...backEnd(text, { isUp: i !== 7 || index > 0 || isUp }),
          name: `${text}:${i}`,
          port: 8_000 + i,
        })),
      }));
  const world = new World({ services: services(true) });
  let filled = 0;
  const { fill } = MaglevTable.prototype;
  MaglevTable.prototype.fill = function (isEligible) {
    filled++;
    fill.call(this, isEligible);
  };
  try {
    for (const isUp of [false, true, true, false]) world.nat.all[0].setServices(services(isUp));
  } finally {
    MaglevTable.prototype.fill = fill;
  }
  assertEquals(filled, 3);
});

Deno.test("what each back end has is counted", () => {
  const world = new World({ services: [service({ method: "least" })] });
  for (const remote of remotes(30)) connect(world, remote);
  const figures = () => world.nat.all[0].serviceFigures([service()]);
  assertEquals(figures().map(({ open, total }) => [open, total]), [[10, 10], [10, 10], [10, 10]]);
  const [first] = remotes(30);
  const receiver = receiverOf(world.inbound(toService(first, { flags: FIN | ACK })))!;
  world.outbound(fromBackEnd(receiver, first, { flags: FIN | ACK }));
  assertEquals(figures()[WEB.findIndex((each) => each === receiver)].open, 9);
  world.advance(8000 * SECOND);
  for (let i = 0; i < 40; i++) world.advance(SECOND);
  assertEquals(figures().map(({ open }) => open), [0, 0, 0]);
});

Deno.test("a single back end gets all, and nothing is remembered of it", () => {
  const world = new World({ services: [service({ backEnds: [backEnd(WEB[2])] })] });
  assertEquals(connect(world, REMOTE), WEB[2]);
  const [{ open, total }] = world.nat.all[0].serviceFigures([service()]);
  assertEquals([open, total], [0, 0]);
});

Deno.test("new Nat() throws RangeError where a service's port is another's", () => {
  const forwards = [
    { protocol: "tcp", externalPort: PORT, address: address(CLIENT), port: 80 },
  ] as const;
  assertThrows(() => new World({ forwards, services: [service()] }), RangeError, "Cannot publish");
  assertThrows(() => new World({ services: [service(), service()] }), RangeError, "Cannot publish");
});
