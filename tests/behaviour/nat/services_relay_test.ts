/** Tests of published services with back ends outside the tunnel: both ways of a flow pass the gateway. */
import { MergedTo } from "../../../lib/core/nat/inbound.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import {
  buildIcmp,
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
} from "../../support/packets/packet_builder.ts";
import {
  acknowledgmentOf,
  backEnd,
  INNER_PORT,
  PORT,
  type Remote,
  remotes,
  resetFor,
  service,
  toService,
  VIRTUAL,
} from "../../support/nat/services.ts";
import {
  ACK,
  address,
  assertSilent,
  CLIENT,
  EXTERNAL,
  type Fields,
  FIN,
  only,
  quotedBy,
  read,
  SECOND,
  SYN,
  World,
} from "../../support/nat/world.ts";

const BACK_ENDS = ["192.0.2.11", "192.0.2.12", "192.0.2.13"] as const;
const REMOTE: Remote = { address: "198.51.100.7", port: 40_000 };
const PORTS = { first: 20_000, last: 20_999 };

function relayed(destination: string, protocol: "tcp" | "udp" = "tcp") {
  return service({
    protocol,
    externalAddress: destination === EXTERNAL ? null : address(destination),
    backEnds: BACK_ENDS.map((text) => backEnd(text, { isOutside: true })),
  });
}

function stage(destination = EXTERNAL, protocol: "tcp" | "udp" = "tcp"): World {
  return new World({ services: [relayed(destination, protocol)], ports: PORTS });
}

/** What a back end answers to a packet that it got. */
function answerTo(got: Fields, { flags = SYN | ACK, payload = new Uint8Array() } = {}): Bytes {
  const ends = {
    source: got.destination,
    sourcePort: got.destinationPort,
    destination: got.source,
    destinationPort: got.sourcePort,
    payload,
  };
  return got.protocol === 6 ? buildTcp({ ...ends, flags }) : buildUdp(ends);
}

for (const destination of [EXTERNAL, VIRTUAL]) {
  for (const protocol of ["tcp", "udp"] as const) {
    const name = `${protocol} to ${destination}`;
    const packet = (fields: { payload?: Bytes; flags?: number } = {}) =>
      toService(REMOTE, { destination, isUdp: protocol === "udp", ...fields });

    Deno.test(`a back end outside is written to by the gateway, and its answer goes to who asked, ${name}`, () => {
      const world = stage(destination, protocol);
      const got = read(only(world.inbound(packet()), "outside"));
      assertEquals(got.source, EXTERNAL);
      assert(got.sourcePort >= 20_500 && got.sourcePort <= PORTS.last, `${got.sourcePort}`);
      assert(BACK_ENDS.some((each) => each === got.destination));
      assertEquals([got.destinationPort, got.timeToLive], [INNER_PORT, 63]);
      const back = read(only(world.inbound(answerTo(got)), "outside"));
      assertEquals([back.source, back.sourcePort], [destination, PORT]);
      assertEquals([back.destination, back.destinationPort], [REMOTE.address, REMOTE.port]);
      const again = read(only(world.inbound(packet({ flags: ACK })), "outside"));
      assertEquals([again.destination, again.sourcePort], [got.destination, got.sourcePort]);
    });

    Deno.test(`fragments follow the first, both ways, ${name}`, () => {
      if (protocol === "tcp") return;
      const world = stage(destination, protocol);
      const payload = new Uint8Array(3000);
      const there = fragment(packet({ payload }), 1200)
        .map((part) => read(only(world.inbound(part), "outside")));
      assertEquals(new Set(there.map((each) => each.destination)).size, 1);
      assertEquals(new Set(there.map((each) => each.source)), new Set([EXTERNAL]));
      const back = fragment(answerTo(there[0], { payload }), 1200)
        .map((part) => read(only(world.inbound(part), "outside")));
      assertEquals(new Set(back.map((each) => each.source)), new Set([destination]));
      assertEquals(new Set(back.map((each) => each.destination)), new Set([REMOTE.address]));
    });

    Deno.test(`errors on either side reach the other end, about what it knows, ${name}`, () => {
      const world = stage(destination, protocol);
      const there = only(world.inbound(packet()), "outside");
      const back = only(world.inbound(answerTo(read(there))), "outside");
      const tooBig = { source: "192.0.2.254", type: 3, code: 4, identifier: 0 };
      const atBackEnd = buildIcmp({ ...tooBig, destination: EXTERNAL, payload: there });
      const toRemote = only(world.inbound(atBackEnd), "outside");
      assertEquals(read(toRemote).destination, REMOTE.address);
      const asked = read(quotedBy(toRemote), { checked: false });
      assertEquals([asked.source, asked.sourcePort], [REMOTE.address, REMOTE.port]);
      assertEquals([asked.destination, asked.destinationPort], [destination, PORT]);

      const atRemote = buildIcmp({ ...tooBig, destination, payload: back });
      const toBackEnd = only(world.inbound(atRemote), "outside");
      assertEquals(read(toBackEnd).destination, read(there).destination);
      const answered = read(quotedBy(toBackEnd), { checked: false });
      assertEquals(
        [answered.source, answered.sourcePort],
        [read(there).destination, INNER_PORT],
      );
      assertEquals(
        [answered.destination, answered.destinationPort],
        [EXTERNAL, read(there).sourcePort],
      );
    });
  }

  Deno.test(`a client of the tunnel is served by a back end outside, at ${destination}`, () => {
    const world = stage(destination);
    const ends = { source: CLIENT, sourcePort: 50_000, destination, destinationPort: PORT };
    const got = read(only(world.outbound(buildTcp({ ...ends, flags: SYN })), "outside"));
    assertEquals(got.source, EXTERNAL);
    const back = read(only(world.inbound(answerTo(got)), "inside"));
    assertEquals([back.source, back.sourcePort], [destination, PORT]);
    assertEquals([back.destination, back.destinationPort], [CLIENT, 50_000]);
  });
}

Deno.test("a super-packet goes to a back end outside as the packets that it stands for", () => {
  const world = stage();
  const there = read(only(world.inbound(toService(REMOTE)), "outside"));
  const payload = new Uint8Array(5000).fill(7);
  const { merged } = world.inboundMerged(toService(REMOTE, { flags: ACK, payload }), 1440);
  const headers = read(merged!.slice(0, 40), { checked: false });
  assertEquals([headers.source, headers.destination], [EXTERNAL, there.destination]);
  const { nat, memory } = world;
  memory.bytes.set(toService(REMOTE, { flags: ACK, payload }), 10);
  assertEquals(nat.all[0].inboundMerged(10, 1440, world.clock.now), MergedTo.outside);
});

/**
 * Asks for a connection to a back end outside, as TCP does, which answers a SYN/ACK that acknowledges too little by RST
 * and asks again. Returns what the back end got, or null.
 */
function ask(world: World, remote: Remote, sequenceNumber = 7): Fields | null {
  const syn = toService(remote, { sequenceNumber });
  const [packet] = world.inbound(syn).outside;
  if (packet === undefined || acknowledgmentOf(packet) === null) {
    return packet ? read(packet) : null;
  }
  assertSilent(world.inbound(resetFor(packet)));
  const [second] = world.inbound(syn).outside;
  return second === undefined ? null : read(second);
}

/** Opens a connection to a back end outside, as far as that back end's first data; what it got, or null. */
function open(world: World, remote: Remote): Fields | null {
  const got = ask(world, remote);
  if (got === null) return null;
  world.inbound(answerTo(got));
  world.inbound(toService(remote, { flags: ACK }));
  world.inbound(answerTo(got, { flags: ACK }));
  return got;
}

Deno.test("flows of one back end have a port each, those of several may have the same", () => {
  const world = stage();
  const ports = new Map<string, Set<number>>();
  let count = 0;
  for (const remote of remotes(4000)) {
    const got = open(world, remote);
    if (got === null) continue;
    count++;
    const known = ports.get(got.destination) ?? new Set();
    assert(!known.has(got.sourcePort), "given twice");
    ports.set(got.destination, known.add(got.sourcePort));
  }
  // Three quarters of the upper half are there for each.
  assert(count > 3 * 360 && count <= 3 * 375, `${count}`);
  assertEquals(world.dropped(DropReason.natPortsExhausted), 4000 - count);
  // Clients have the other half, whatever comes.
  const own = buildTcp({ source: CLIENT, destination: "192.0.2.99", flags: SYN });
  assert(read(only(world.outbound(own), "outside")).sourcePort < 20_500);
});

Deno.test("strangers that only ask for connections keep nobody out, and take no port that is in use", () => {
  const world = stage();
  const all = remotes(600).map((remote) => ({ remote, got: open(world, remote)! }));
  for (let i = 0; i < 20_000; i++) {
    const address = `203.0.${i >> 8 & 0xff}.${i & 0xff}`;
    world.inbound(toService({ address, port: 1024 + i }));
  }
  for (const { remote, got } of all) {
    const again = read(only(world.inbound(toService(remote, { flags: ACK })), "outside"));
    assertEquals([again.destination, again.sourcePort], [got.destination, got.sourcePort]);
  }
  assert(open(world, REMOTE) !== null);
  assertEquals(world.dropped(DropReason.natPortsExhausted), 0);
});

Deno.test("in a flood of forged SYNs, who takes seconds to connect does, and back ends see little of the flood", () => {
  const world = stage();
  let sent = 0;
  let passed = 0;
  const flood = (seconds: number) => {
    for (const end = world.clock.now + seconds * SECOND; world.clock.now < end;) {
      for (let i = 0; i < 20; i++, sent++) {
        const address = `23.${sent >> 16 & 0xff}.${sent >> 8 & 0xff}.${sent & 0xff}`;
        const [packet] = world.inbound(toService({ address, port: 1024 + sent % 60_000 })).outside;
        if (read(packet).destination !== address) passed++;
        else assert(packet.length <= 40, "longer than what it answers");
      }
      world.advance(SECOND / 100);
    }
  };
  flood(5);
  // Below its own number, as far as 2^16, or a firewall on the way drops it; around 0 as well.
  for (const [index, sequenceNumber] of [7, 0xffff_ffff, 0x8000_0000, 0x1_0000].entries()) {
    const remote = { address: `198.51.100.${index + 1}`, port: 40_000 };
    const [packet] = world.inbound(toService(remote, { sequenceNumber })).outside;
    const below = (sequenceNumber - acknowledgmentOf(packet)!) >>> 0;
    assert(below < 0x1_0000, `${below}`);
    // What another could guess, or was asked, shows nothing.
    for (let guess = 0; guess < 50; guess++) {
      const wrong = resetFor(packet);
      new DataView(wrong.buffer).setUint32(24, (acknowledgmentOf(packet)! + 1 + guess) >>> 0);
      world.inbound(wrong);
    }
    assertEquals(read(world.inbound(toService(remote)).outside[0]).destination, remote.address);
    const got = ask(world, remote, sequenceNumber)!;
    flood(2);
    const back = read(only(world.inbound(answerTo(got)), "outside"));
    assertEquals(back.destination, remote.address);
    flood(1);
    const again = read(only(world.inbound(toService(remote, { flags: ACK })), "outside"));
    assertEquals([again.destination, again.sourcePort], [got.destination, got.sourcePort]);
    // It goes on: the next connections of this address are asked nothing.
    world.inbound(answerTo(got, { flags: ACK }));
    for (let port = 1; port < 8; port++) {
      const [next] = world.inbound(toService({ ...remote, port })).outside;
      assert(read(next).destination !== remote.address);
    }
  }
  // A quarter of the ports at once, and then one in twenty a second.
  assert(passed < 375 / 4 + 375 / 20 * 18, `${passed} of ${sent} reached back ends`);
  assert(world.dropped(DropReason.sourceUnproven) > sent - passed);
});

Deno.test("an answer to what an address was not asked, or was asked minutes ago, is worth nothing", () => {
  const world = stage();
  let port = 0;
  const exhaust = () => {
    for (let i = 0; i < 100; i++) {
      world.inbound(toService({ address: `198.51.101.${i + 1}`, port: ++port }));
    }
  };
  const challenged = () => world.inbound(toService(REMOTE)).outside[0];
  const isAsked = () => read(challenged()).destination === REMOTE.address;
  exhaust();
  const challenge = challenged();
  const other = resetFor(challenge);
  new DataView(other.buffer).setUint16(20, REMOTE.port + 1);
  world.inbound(other);
  assertEquals(isAsked(), true);
  // An RST for a connection that is not known goes nowhere.
  assertSilent(world.inbound(toService({ ...REMOTE, port: 1 }, { flags: 4 })));
  for (let i = 0; i < 180; i++) {
    world.advance(SECOND);
    exhaust();
  }
  world.inbound(resetFor(challenge));
  assertEquals(isAsked(), true);
  world.inbound(resetFor(challenged()));
  // Eight connections, and no more before one of them goes on.
  const begun = Array.from(
    { length: 12 },
    (_, port) =>
      read(world.inbound(toService({ ...REMOTE, port: port + 1 })).outside[0]).destination,
  );
  assertEquals(begun.map((each) => each === REMOTE.address), [
    ...Array<boolean>(8).fill(false),
    ...Array<boolean>(4).fill(true),
  ]);
});

Deno.test("one stranger who holds connections, as many as there are ports, keeps nobody out", () => {
  const world = stage();
  const own = remotes(300).map((remote) => ({ remote, got: open(world, remote)! }));
  for (let port = 1024; port < 6024; port++) open(world, { address: "203.0.113.66", port });
  const others = remotes(600).slice(300);
  assertEquals(others.filter((remote) => open(world, remote) === null).length, 0);
  // Those that were there before have kept theirs.
  for (const { remote, got } of own) {
    const again = read(only(world.inbound(toService(remote, { flags: ACK })), "outside"));
    assertEquals([again.destination, again.sourcePort], [got.destination, got.sourcePort]);
  }
});

Deno.test("datagrams with forged addresses, each answered, keep nobody out, nor take a port in use", () => {
  const world = stage(EXTERNAL, "udp");
  const ask = (remote: Remote) => {
    const [packet] = world.inbound(toService(remote, { isUdp: true })).outside;
    if (packet === undefined) return null;
    world.inbound(answerTo(read(packet)));
    return read(packet).sourcePort;
  };
  const port = ask(REMOTE);
  for (let i = 0; i < 5_000; i++) {
    ask({ address: `203.0.${i >> 8 & 0xff}.${i & 0xff}`, port: 1024 + i });
    world.advance(SECOND / 100);
    if (i % 25 === 0) assertEquals(ask(REMOTE), port);
  }
  assertEquals(world.dropped(DropReason.natPortsExhausted), 0);
});

Deno.test("the port of a flow that is over is another's after four minutes", () => {
  const world = stage();
  for (const remote of remotes(3000)) {
    const [packet] = world.inbound(toService(remote)).outside;
    if (packet === undefined) continue;
    world.inbound(answerTo(read(packet)));
    world.inbound(toService(remote, { flags: FIN | ACK }));
    world.inbound(answerTo(read(packet), { flags: FIN | ACK }));
  }
  const more = () => world.inbound(toService({ ...REMOTE, address: "203.0.113.200" })).outside;
  world.advance(239 * SECOND);
  world.advance(2 * SECOND);
  assertEquals(more().length, 1);
});

Deno.test("to a port of a flow, only its back end writes", () => {
  const world = stage();
  const got = read(only(world.inbound(toService(REMOTE)), "outside"));
  const others = [
    { source: "192.0.2.99", sourcePort: INNER_PORT },
    { source: got.destination, sourcePort: INNER_PORT + 1 },
    { source: BACK_ENDS.find((each) => each !== got.destination)!, sourcePort: INNER_PORT },
  ];
  for (const other of others) {
    const ends = { destination: EXTERNAL, destinationPort: got.sourcePort };
    assertSilent(world.inbound(buildTcp({ ...other, ...ends, flags: SYN | ACK })));
  }
  assertEquals(world.dropped(DropReason.natNoMapping), 3);
});

Deno.test("a packet whose time to live ends at the gateway is answered as any router does", () => {
  const world = stage();
  const [error] = world.inbound(
    buildTcp({
      source: REMOTE.address,
      sourcePort: REMOTE.port,
      destination: EXTERNAL,
      destinationPort: PORT,
      flags: SYN,
      timeToLive: 1,
    }),
  ).outside;
  assertEquals([read(error).type, read(error).destination], [11, REMOTE.address]);
});
