/**
 * Tests of the client's half of the handshake (lib/core/transport/fake_tcp/README.md, "Client", and "Wire" for what its
 * segments look like).
 */
import { assert, assertEquals } from "../../../../support/assert.ts";
import {
  ACK,
  back,
  build,
  CLIENT_ADDRESS,
  CLIENT_PORTS,
  familyTest,
  FIN,
  headersSize,
  MTU,
  PSH,
  read,
  RST,
  type Segment,
  SERVER_ADDRESS,
  SERVER_PORT,
  SYN,
  toServer,
  World,
} from "../../../../support/fake_tcp/world.ts";

/** The client and the SYN that it has just sent. */
function calling(options: ConstructorParameters<typeof World>[0] = {}) {
  const world = new World(options);
  const { client, clock } = world;
  const session = client.connect();
  const [syn, ...others] = client.drained();
  assert(syn !== undefined && others.length === 0);
  const answer = (fields: Partial<Segment> = {}) =>
    client.receive(build({
      ...back(syn),
      flags: SYN | ACK,
      seq: 7_000,
      ack: syn.seq + 1,
      options: Uint8Array.of(2, 4, 5, 180, 1, 3, 3, 14),
      ...fields,
    }));
  return { client, clock, session, syn, answer };
}

familyTest("connect() sends a SYN of 28 bytes: MSS by the path MTU, NOP, window scale 14", () => {
  const { client } = calling();
  client.connect();
  const [packet] = client.drain();
  assert(packet !== undefined);
  const view = new DataView(packet.buffer);
  assertEquals(packet.length, headersSize() + 8);
  if (headersSize() === 60) {
    // Version, no traffic class, no flow label; TCP, hop limit 64.
    assertEquals([view.getUint32(0), view.getUint16(6)], [0x60000000, 6 << 8 | 64]);
  } else {
    // Version, header size, no type of service; DF; time to live 64, TCP.
    assertEquals([packet[0], packet[1], view.getUint16(6)], [0x45, 0, 0x4000]);
    assertEquals([packet[8], packet[9]], [64, 6]);
  }
  const syn = read(packet);
  assertEquals([syn.source, syn.destination], [CLIENT_ADDRESS, SERVER_ADDRESS]);
  assertEquals(syn.destinationPort, SERVER_PORT);
  assertEquals([syn.flags, syn.window, syn.ack], [SYN, 65_535, 0]);
  // No urgent pointer.
  assertEquals(view.getUint16(headersSize() - 2), 0);
  const size = MTU - headersSize();
  assertEquals([...syn.options], [2, 4, size >> 8, size & 255, 1, 3, 3, 14]);
});

familyTest("connect() takes the MSS from the path MTU", () => {
  const { syn } = calling({ client: { mtu: 1280 } });
  const size = 1280 - headersSize();
  assertEquals([...syn.options.subarray(0, 4)], [2, 4, size >> 8, size & 255]);
});

familyTest(
  "connect() takes a fresh random port and a random ISN each time, until all ports are in use",
  () => {
    const first = new Set<number>();
    for (let seed = 1; seed <= 20; seed++) first.add(calling({ seed }).syn.sourcePort);
    assert(first.size > 5, `${first.size} ports in 20 beginnings`);

    const { client, clock, syn } = calling();
    const [ports, isns] = [new Set([syn.sourcePort]), new Set([syn.seq])];
    for (let i = 1; i < 16; i++) {
      client.connect();
      const [next] = client.drained();
      ports.add(next!.sourcePort);
      isns.add(next!.seq);
    }
    assertEquals([ports.size, isns.size], [16, 16]);
    for (const port of ports) assert(port >= CLIENT_PORTS.first && port <= CLIENT_PORTS.last);
    assertEquals(client.transport.connect(toServer(), clock.now), null);
    const [oldest] = client.transport.sessions;
    client.transport.close(oldest!);
    assertEquals(client.connect().localPort, oldest!.localPort);
  },
);

familyTest("ports follow one another at random (RFC 6056), and none comes again soon", () => {
  const count = CLIENT_PORTS.last - CLIENT_PORTS.first + 1;
  const steps = new Map<number, number>();
  const { client } = calling();
  const last: number[] = [];
  for (let i = 0; i < 2_000; i++) {
    for (const session of client.transport.sessions) client.transport.close(session);
    const { localPort } = client.connect();
    client.drain();
    assert(!last.includes(localPort), `port ${localPort} after ${last}`);
    const step = (localPort - (last.at(-1) ?? localPort) + count) % count;
    steps.set(step, (steps.get(step) ?? 0) + 1);
    last.push(localPort);
    if (last.length > count / 2 - 1) last.shift();
  }
  // Each distance, but none at all, comes up, and none more than three times as often as by chance.
  assertEquals(steps.size, count);
  for (const [step, times] of steps) assert(times < 3 * 2_000 / count, `${step}: ${times} times`);
});

familyTest("the identical SYN is sent again after 0.5, 1 and 2 s", () => {
  const { client, clock, syn } = calling();
  const sent: number[] = [];
  const start = clock.now;
  for (let ms = 0; ms < 3_900; ms += 10) {
    clock.advance(10);
    client.poll();
    for (const again of client.drained()) {
      assertEquals(again, syn);
      sent.push(clock.now - start);
    }
  }
  assertEquals(sent, [500, 1_000, 2_000]);
  assertEquals(client.events, []);
  clock.advance(100);
  client.poll();
  assertEquals(client.events, ["lost: unanswered"]);
  assertEquals(client.transport.sessions.size, 0);
});

familyTest("a SYN/ACK with ack = ISN + 1 is answered with a pure ACK: ESTABLISHED", () => {
  const { client, syn, answer } = calling();
  answer();
  const [ack, ...others] = client.drained();
  assertEquals(others, []);
  assertEquals([ack!.flags, ack!.payload.length, ack!.window], [ACK, 0, 65_535]);
  assertEquals([ack!.seq, ack!.ack], [(syn.seq + 1) >>> 0, 7_001]);
  assertEquals(client.events, ["established"]);
});

familyTest(
  "a SYN/ACK counts whatever its window; without one, datagrams wait for it, half a second at most",
  () => {
    for (const opens of [true, false]) {
      const { client, clock, syn, session, answer } = calling();
      answer({ window: 0 });
      assertEquals(client.events, ["established"]);
      assertEquals(client.drained().length, 1);
      client.send("waits");
      assertEquals(client.drained(), []);
      clock.advance(opens ? 100 : 499);
      client.poll();
      assertEquals(client.drained(), []);
      if (opens) client.receive(build({ ...back(syn), seq: 7_001, ack: session.sndNxt }));
      else {
        clock.advance(1);
        client.poll();
      }
      assertEquals(client.drained().map(({ payload }) => payload.length), [5]);
    }
  },
);

familyTest("a SYN/ACK with another ack, or that also ends, opens nothing", () => {
  for (
    const wrong of [{ ack: 0 }, { ack: 1 }, { flags: SYN }, { flags: SYN | ACK | RST }, {
      flags: SYN | ACK | FIN,
    }]
  ) {
    const { client, answer, syn } = calling();
    answer({
      ...wrong,
      ...wrong.ack === undefined ? {} : { ack: syn.seq + 1 + (wrong.ack || -1) },
    });
    assertEquals(client.drained(), []);
    assertEquals(client.events, []);
  }
});

familyTest(
  "RST and FIN while the connection is being opened are ignored: the SYN is repeated",
  () => {
    const { client, clock, answer } = calling();
    for (const flags of [RST, RST | ACK, FIN | ACK]) answer({ flags });
    clock.advance(500);
    client.poll();
    assertEquals(client.drained().map(({ flags }) => flags), [SYN]);
    answer();
    assertEquals(client.events, ["established"]);
  },
);

familyTest(
  "a challenge ACK, of a connection from before a restart, is answered with RST, one a second",
  () => {
    const { client, clock, answer } = calling();
    answer({ flags: ACK, ack: 12_345 });
    answer({ flags: ACK, ack: 12_345 });
    const [reset, ...others] = client.drained();
    assertEquals(others, []);
    assertEquals([reset!.flags, reset!.seq], [RST, 12_345]);
    clock.advance(1_000);
    answer({ flags: ACK, ack: 12_345 });
    assertEquals(client.drained().length, 1);
  },
);

familyTest("a duplicate SYN/ACK is answered with the ACK again", () => {
  const { client, answer } = calling();
  answer();
  const [first] = client.drained();
  answer();
  assertEquals(client.drained(), [first!]);
  assertEquals(client.events, ["established"]);
});

familyTest("up to 8 datagrams wait for the SYN/ACK, and leave in order behind the ACK", () => {
  const { client, answer } = calling();
  for (let i = 0; i < 10; i++) assertEquals(client.send(`datagram ${i}`), i < 8);
  assertEquals(client.dropped, { fake_tcp_not_open: 2 });
  answer();
  const [ack, ...datagrams] = client.drained();
  assertEquals(ack!.flags, ACK);
  const texts = datagrams.map(({ payload }) => new TextDecoder().decode(payload));
  assertEquals(texts, Array.from({ length: 8 }, (_, i) => `datagram ${i}`));
});

familyTest("scaling is on only if the SYN/ACK carried it, as received", () => {
  for (
    const [options, isScaled] of [
      [[2, 4, 5, 180, 1, 3, 3, 14], true],
      [[2, 4, 5, 180], false],
      [[], false],
      // Cut off, or of no length: as if it were not there.
      [[2, 4, 5, 180, 1, 1, 3, 9], false],
      [[2, 0, 5, 180, 1, 3, 3, 14], false],
    ] as const
  ) {
    const { session, answer } = calling();
    answer({ options: Uint8Array.from(options) });
    assertEquals(session.isScaled, isScaled);
  }
});

familyTest("payloads are bounded by the path MTU and by the MSS received", () => {
  const most = MTU - headersSize();
  for (const [mss, maxPayload] of [[1300, 1300], [most, most], [9000, most]] as const) {
    const { client, session, answer } = calling();
    answer({ options: Uint8Array.of(2, 4, mss >> 8, mss & 255) });
    client.drain();
    assertEquals(session.maxPayload, maxPayload);
    assertEquals(client.send(maxPayload + 1), false);
    assertEquals(client.send(maxPayload), true);
    assertEquals(client.drained()[0]!.payload.length, maxPayload);
    assertEquals(client.dropped, { too_big: 1 });
  }
});

familyTest("one datagram is one segment, PSH|ACK", () => {
  const { client, session, answer } = calling();
  answer();
  client.drain();
  const seq = session.sndNxt >>> 0;
  client.send("one");
  client.send("and two");
  const segments = client.drained();
  assertEquals(segments.map(({ flags }) => flags), [PSH | ACK, PSH | ACK]);
  assertEquals(segments.map((each) => each.seq), [seq, (seq + 3) >>> 0]);
  assertEquals(segments.map(({ ack, window }) => [ack, window]), [[7_001, 65_535], [
    7_001,
    65_535,
  ]]);
});
