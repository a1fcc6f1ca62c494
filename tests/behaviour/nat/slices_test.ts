/**
 * Tests of a NAT whose ports several workers have between them: what one of them gets for another's client, it hands
 * over, and nobody outside or inside sees a difference.
 */
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { HandOver, Origin } from "../../../lib/core/nat/slices/hand_over.ts";
import { createRing, RingWriter } from "../../../lib/core/threads/record_ring.ts";
import { createMemory } from "../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import {
  buildIcmp,
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
} from "../../support/packets/packet_builder.ts";
import {
  ACK,
  address,
  assertSilent,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  GATEWAY,
  only,
  quotedBy,
  read,
  reassemble,
  REMOTE,
  SYN,
  World,
} from "../../support/nat/world.ts";

const BUILD = { tcp: buildTcp, udp: buildUdp } as const;
const KINDS = ["tcp", "udp"] as const;
const FORWARDS = [{
  protocol: "tcp",
  externalPort: 8080,
  address: address(CLIENT_2),
  port: 80,
}] as const;

/** The two clients are at different workers. */
function sliced(options: ConstructorParameters<typeof World>[0] = {}): World {
  return new World({ workers: 2, ...options });
}

/** The port that stands for a client's. */
function portOf(world: World, kind: "tcp" | "udp", source: string, sourcePort: number): number {
  const packet = BUILD[kind]({ source, sourcePort, destination: REMOTE, flags: SYN });
  return read(only(world.outbound(packet), "outside")).sourcePort;
}

Deno.test("each worker gives ports of its own slice, and answers reach the client by it, ids of echoes too", () => {
  const world = sliced();
  for (const [number, source] of [CLIENT, CLIENT_2].entries()) {
    for (let i = 0; i < 50; i++) {
      const port = portOf(world, "udp", source, 40_000 + i);
      assertEquals((port - 512) >> 3 & 1, number);
      const answer = buildUdp({ source: REMOTE, destination: EXTERNAL, destinationPort: port });
      const { destination, destinationPort } = read(only(world.inbound(answer), "inside"));
      assertEquals([destination, destinationPort], [source, 40_000 + i]);
    }
    const asked = buildIcmp({ source, destination: REMOTE, identifier: 77 });
    const { identifier } = read(only(world.outbound(asked), "outside"));
    assertEquals((identifier - 512) >> 3 & 1, number);
    const echo = buildIcmp({ source: REMOTE, destination: EXTERNAL, type: 0, identifier });
    assertEquals(read(only(world.inbound(echo), "inside")).destination, source);
  }
});

Deno.test("parity and class of a port are kept in a slice", () => {
  const world = sliced({ workers: 3 });
  for (const source of [CLIENT, CLIENT_2]) {
    for (let inner = 900; inner < 1000; inner++) {
      const port = portOf(world, "udp", source, inner);
      assertEquals([port < 1024, port % 2], [true, inner % 2], `${port} for ${inner}`);
    }
  }
});

for (const kind of KINDS) {
  Deno.test(`a client of one worker reaches one of another by the external endpoint, and is answered, ${kind}`, () => {
    const world = sliced();
    const ports = { first: portOf(world, kind, CLIENT, 40_000), second: 0 };
    ports.second = portOf(world, kind, CLIENT_2, 50_000);
    const ways = [
      [CLIENT, 40_000, ports.first, CLIENT_2, 50_000, ports.second],
      [CLIENT_2, 50_000, ports.second, CLIENT, 40_000, ports.first],
    ] as const;
    for (const [source, sourcePort, seen, receiver, inner, destinationPort] of ways) {
      const ends = { source, sourcePort, destination: EXTERNAL, destinationPort };
      const packet = BUILD[kind]({ ...ends, flags: ACK, payload: new Uint8Array(100).fill(7) });
      const received = read(only(world.outbound(packet), "inside"));
      assertEquals(
        [received.source, received.sourcePort, received.destination, received.destinationPort],
        [EXTERNAL, seen, receiver, inner],
      );
      // One hop, not two.
      assertEquals(received.timeToLive, 63);
    }
  });
}

Deno.test("what is hairpinned to a port of another worker's that is nobody's is dropped there, and counted", () => {
  const world = sliced();
  const port = portOf(world, "udp", CLIENT_2, 50_000);
  const packet = buildUdp({ source: CLIENT, destination: EXTERNAL, destinationPort: port ^ 1 });
  assertSilent(world.outbound(packet));
  assertEquals(world.dropped(DropReason.natNoMapping), 1);
});

for (const backwards of [false, true]) {
  const order = backwards ? "in reverse" : "in order";

  Deno.test(`fragments from outside, which all come to the first worker, reach another's client, ${order}`, () => {
    const world = sliced();
    const port = portOf(world, "udp", CLIENT_2, 50_000);
    const whole = buildUdp({
      source: REMOTE,
      destination: EXTERNAL,
      destinationPort: port,
      identification: 7,
      payload: new Uint8Array(5000).map((_, i) => i),
    });
    const parts = fragment(whole, 1000);
    const sent = (backwards ? parts.toReversed() : parts).flatMap((part) => {
      const { outside, inside } = world.inbound(part);
      assertEquals(outside, []);
      return inside;
    });
    const received = read(reassemble(sent));
    assertEquals([received.destination, received.destinationPort], [CLIENT_2, 50_000]);
    assertEquals(received.transport.slice(8), whole.slice(28));
    assertEquals(read(sent[0]!).timeToLive, 63);
  });

  Deno.test(`fragments are hairpinned to another worker's client, ${order}`, () => {
    const world = sliced();
    const port = portOf(world, "udp", CLIENT_2, 50_000);
    const whole = buildUdp({
      source: CLIENT,
      destination: EXTERNAL,
      destinationPort: port,
      identification: 7,
      payload: new Uint8Array(5000).map((_, i) => i),
    });
    const parts = fragment(whole, 1000);
    const sent = (backwards ? parts.toReversed() : parts).flatMap((part) => {
      assert(backwards || world.takeExternal(part));
      return world.outbound(part).inside;
    });
    const received = read(reassemble(sent));
    assertEquals([received.destination, received.destinationPort], [CLIENT_2, 50_000]);
    assertEquals(received.transport.slice(8), whole.slice(28));
    for (const part of sent) assertEquals(read(part).timeToLive, 63);
  });
}

Deno.test("no two workers use one identification towards one destination", () => {
  const world = sliced({ workers: 3 });
  const seen = new Map<number, string>();
  for (let i = 0; i < 3000; i++) {
    const source = `10.66.77.${2 + i % 3}`;
    const out = only(world.outbound(buildUdp({ source, destination: REMOTE })), "outside");
    const { identification } = read(out);
    assertEquals(seen.get(identification) ?? source, source, `${identification}`);
    assert(identification !== 0);
    seen.set(identification, source);
  }
});

Deno.test("an error of a router's about a packet of any worker's client reaches that client", () => {
  const world = sliced();
  for (const source of [CLIENT, CLIENT_2]) {
    const packet = buildUdp({ source, sourcePort: 50_000, destination: REMOTE });
    const payload = only(world.outbound(packet), "outside");
    const error = buildIcmp({ source: "192.0.2.77", destination: EXTERNAL, type: 11, payload });
    const received = only(world.inbound(error), "inside");
    assertEquals([read(received).source, read(received).destination], ["192.0.2.77", source]);
    assertEquals(read(quotedBy(received), { checked: false }).sourcePort, 50_000);
  }
});

Deno.test("a client's error about a packet hairpinned by another worker's reaches that one", () => {
  const world = sliced();
  const [first, second] = [
    portOf(world, "udp", CLIENT, 40_000),
    portOf(world, "udp", CLIENT_2, 50_000),
  ];
  const packet = buildUdp({
    source: CLIENT_2,
    destination: EXTERNAL,
    sourcePort: 50_000,
    destinationPort: first,
    payload: new Uint8Array(30).fill(3),
  });
  const payload = only(world.outbound(packet), "inside");
  const error = buildIcmp({ source: CLIENT, destination: EXTERNAL, type: 3, code: 3, payload });
  assert(world.takeExternal(error));
  const sent = only(world.outbound(error), "inside");
  const outer = read(sent);
  assertEquals([outer.source, outer.destination, outer.timeToLive], [EXTERNAL, CLIENT_2, 63]);
  const quoted = read(quotedBy(sent), { checked: false });
  assertEquals(
    [quoted.source, quoted.sourcePort, quoted.destination, quoted.destinationPort],
    [CLIENT_2, 50_000, EXTERNAL, first],
  );
  assertEquals(quotedBy(sent).slice(20), packet.slice(20));
  assert(second !== first);
});

Deno.test("who hairpins more than the path to another worker's client takes is told so, from inside", () => {
  const world = sliced({ mtuOf: (inner) => inner === (address(CLIENT) | 0) ? 1220 : 1420 });
  const port = portOf(world, "udp", CLIENT, 40_000);
  const packet = buildUdp({
    source: CLIENT_2,
    sourcePort: 50_000,
    destination: EXTERNAL,
    destinationPort: port,
    dontFragment: true,
    payload: new Uint8Array(1300),
  });
  const error = only(world.outbound(packet), "inside");
  const { source, destination, type, code, mtu } = read(error);
  assertEquals([source, destination, type, code, mtu], [GATEWAY, CLIENT_2, 3, 4, 1220]);
  assertEquals(read(quotedBy(error), { checked: false }).source, CLIENT_2);
  assertEquals(world.dropped(DropReason.fragmentationNeeded), 1);
});

Deno.test("a super-packet from outside for another worker's client is handed over with its virtio-net header", () => {
  const world = sliced({ forwards: FORWARDS });
  const merged = buildTcp({
    source: REMOTE,
    destination: EXTERNAL,
    destinationPort: 8080,
    payload: new Uint8Array(20_000),
  });
  const header = Uint8Array.of(1, 1, 40, 0, 180, 5, 20, 0, 16, 0);
  world.memory.bytes.set(header, 0);
  world.memory.bytes.set(merged, 10);
  assert(world.nat.all[0].passMerged(10, 0));
  assert(!world.nat.all[1].passMerged(10, 0));
  assertEquals(world.nat.nextHandedOver(), {
    nat: world.nat.all[1],
    origin: Origin.captured,
    header,
    packet: merged,
  });
});

Deno.test("a forwarded port leads to its client, whichever worker gets what comes for it, and is counted once", () => {
  const world = sliced({ forwards: FORWARDS });
  const ends = { destination: EXTERNAL, destinationPort: 8080, flags: SYN };
  // The kernel knows of no owner here: the first worker gets it.
  const asked = read(only(world.inbound(buildTcp({ ...ends, source: REMOTE })), "inside"));
  assertEquals([asked.destination, asked.destinationPort], [CLIENT_2, 80]);
  const answer = { source: CLIENT_2, sourcePort: 80, destination: REMOTE, flags: SYN | ACK };
  assertEquals(read(only(world.outbound(buildTcp(answer)), "outside")).sourcePort, 8080);
  const hairpinned = read(only(world.outbound(buildTcp({ ...ends, source: CLIENT })), "inside"));
  assertEquals([hairpinned.source, hairpinned.destination], [EXTERNAL, CLIENT_2]);
  assertEquals(world.nat.mappingCount, 2);
  assertEquals(world.nat.usageOf(address(CLIENT_2) | 0).ports, 1);
});

Deno.test("a client's limits are one limit, however many workers there are", () => {
  for (const workers of [1, 2, 3]) {
    const world = sliced({ workers, clientQuota: 100 });
    for (let i = 0; i < 300; i++) {
      const ends = { source: CLIENT, sourcePort: 2000 + i, destination: REMOTE };
      world.outbound(buildUdp({ ...ends, destinationPort: 5000 }));
    }
    assertEquals(world.nat.usageOf(address(CLIENT) | 0).ports, 100);
  }
});

for (const kind of KINDS) {
  Deno.test(`clients of different workers that are kept apart reach forwarded ports alone, and are answered, ${kind}`, () => {
    const world = sliced({
      clientToClient: false,
      forwards: [{ protocol: kind, externalPort: 8080, address: address(CLIENT_2), port: 80 }],
    });
    const port = portOf(world, kind, CLIENT, 40_000);
    const other = portOf(world, kind, CLIENT_2, 50_000);
    const send = (source: string, sourcePort: number, destinationPort: number, flags = SYN) =>
      world.outbound(
        BUILD[kind]({ source, sourcePort, destination: EXTERNAL, destinationPort, flags }),
      );
    assertSilent(send(CLIENT, 40_000, other));
    assertSilent(send(CLIENT_2, 50_000, port));
    // A service that nobody has written to writes to nobody.
    assertSilent(send(CLIENT_2, 80, port, ACK));
    assertEquals(world.dropped(DropReason.clientToClientOff), 3);
    assertEquals(read(only(send(CLIENT, 40_000, 8080), "inside")).destination, CLIENT_2);
    const answered = read(only(send(CLIENT_2, 80, port, SYN | ACK), "inside"));
    assertEquals([answered.destination, answered.sourcePort], [CLIENT, 8080]);
  });
}

Deno.test("what there is no room for in a ring is dropped, and counted", () => {
  const memory = createMemory(4096);
  const handOver = new HandOver(memory, [null, new RingWriter(createRing(4096))]);
  const packet: Bytes = buildUdp({ payload: new Uint8Array(1400) });
  memory.bytes.set(packet);
  const put = (origin: Origin) => handOver.put(1, origin, -1, 0, packet.length);
  // What strangers send leaves room for clients.
  assertEquals([put(Origin.captured), put(Origin.captured)], [true, false]);
  assertEquals([put(Origin.hairpin), put(Origin.hairpin)], [true, false]);

  const world = sliced();
  const port = portOf(world, "udp", CLIENT_2, 50_000);
  const big = buildUdp({
    source: CLIENT,
    destination: EXTERNAL,
    destinationPort: port,
    payload: new Uint8Array(1300),
  });
  world.memory.bytes.set(big, 10);
  const [nat] = world.nat.all;
  for (let i = 0; i < 300; i++) {
    world.memory.bytes.set(big, 10);
    nat.outbound(10, world.clock.now);
  }
  let received = 0;
  while (world.nat.nextHandedOver() !== null) received++;
  const dropped = world.dropped(DropReason.sendQueueFull);
  assert(dropped > 0 && received > 100, `${received}`);
  assertEquals(received + dropped, 300);
});
