/**
 * Tests of open connections of fake TCP (lib/core/transport/fake_tcp/README.md, "Arithmetic" and the sections after
 * it): sequence numbers, acknowledgments, windows, stalls.
 */
import { assert, assertEquals } from "../../../../support/assert.ts";
import { ACK, build, familyTest, fromThere, PSH, SYN } from "../../../../support/fake_tcp/world.ts";
import { opened, pureAck, SCALED } from "../../../../support/fake_tcp/opened.ts";

familyTest("snd_nxt += len, and each datagram acknowledges rcv_max", () => {
  const { client, receive, sent } = opened();
  receive({ size: 100 });
  client.send(10);
  client.send(1000);
  client.send(1);
  assertEquals(sent(), [
    { flags: PSH | ACK, seq: 0, ack: 100, size: 10 },
    { flags: PSH | ACK, seq: 10, ack: 100, size: 1000 },
    { flags: PSH | ACK, seq: 1010, ack: 100, size: 1 },
  ]);
});

familyTest("rcv_max = max(rcv_max, seq + len), and never goes back", () => {
  const { client, receive, sent } = opened();
  for (const [ahead, expected] of [[0, 100], [500, 600], [100, 600], [50, 600], [600, 700]]) {
    assertEquals(receive({ ahead: ahead!, size: 100 }), 100);
    client.send(1);
    assertEquals(sent()[0]!.ack, expected);
  }
});

familyTest("late data within the window is taken, data outside of it is not", () => {
  for (const isScaled of SCALED) {
    const window = isScaled ? 65_535 << 14 : 65_535;
    const { client, receive } = opened(isScaled);
    for (const [ahead, taken] of [[-window - 100, 100], [-window - 101, 0]] as const) {
      assertEquals(receive({ ahead, size: 100 }), taken);
    }
    assertEquals(receive({ ahead: window + 1, size: 100 }), 0);
    assertEquals(receive({ ahead: window, size: 100 }), 100);
    assertEquals(client.dropped, { fake_tcp_out_of_window: 2 });
  }
});

familyTest("what is outside of the window is answered with an ACK, one a second", () => {
  const { receive, sent, advance } = opened(false);
  for (let i = 0; i < 3; i++) receive({ ahead: 100_000, size: 100 });
  assertEquals(sent(), pureAck(0));
  receive({});
  advance(1_000);
  for (let i = 0; i < 3; i++) receive({ acked: 1, size: 100 });
  assertEquals(sent(), pureAck(0));
});

familyTest("a pure ACK after 16 KiB unacknowledged without window scale, 1 MiB with", () => {
  for (const isScaled of SCALED) {
    const { receive, sent } = opened(isScaled);
    const size = 1024;
    const limit = isScaled ? 1024 * 1024 : 16 * 1024;
    for (let round = 0; round < 2; round++) {
      for (let at = size; at < limit; at += size) {
        receive({ ahead: round * limit + at - size, size });
        assertEquals(sent(), []);
      }
      receive({ ahead: (round + 1) * limit - size, size });
      assertEquals(sent(), pureAck((round + 1) * limit));
    }
  }
});

familyTest("a pure ACK 200 ms after unacknowledged data, however little, and only one", () => {
  const { receive, sent, advance, client } = opened();
  receive({ size: 1 });
  advance(100);
  receive({ ahead: 1, size: 1 });
  advance(99);
  assertEquals(sent(), []);
  advance(1);
  assertEquals(sent(), pureAck(2));
  advance(1_000);
  assertEquals(sent(), []);
  // Data that comes again is unacknowledged, too: our acknowledgment may have been lost.
  receive({ size: 1 });
  advance(200);
  assertEquals(sent(), pureAck(2));
  assertEquals(client.events, ["established"]);
});

familyTest("no pure ACK where a datagram has said it already", () => {
  const { client, receive, sent, advance } = opened();
  receive({ size: 100 });
  advance(100);
  client.send(1);
  assertEquals(sent().map(({ ack }) => ack), [100]);
  advance(200);
  assertEquals(sent(), []);
});

familyTest("merged segments are datagrams of one size, the last perhaps shorter", () => {
  const { client, session, sent, advance } = opened();
  const packet = build({
    ...fromThere(session),
    seq: session.rcvMax,
    ack: session.sndNxt,
    payload: new TextEncoder().encode("aaaabbbbcc"),
  });
  assertEquals(client.receive(packet, 4), 10);
  assertEquals(client.received, ["aaaa", "bbbb", "cc"]);
  advance(200);
  assertEquals(sent(), pureAck(10));
});

familyTest(
  "beyond the peer's window datagrams are dropped and counted, until it acknowledges",
  () => {
    for (const isScaled of SCALED) {
      const { client, receive, sent } = opened(isScaled);
      const window = isScaled ? 1000 << 14 : 1000;
      receive({ window: 1000 });
      let flight = 0;
      while (client.send(1000)) {
        flight += 1000;
        sent();
      }
      assertEquals(flight, Math.floor(window / 1000) * 1000);
      assertEquals(client.dropped, { fake_tcp_window_full: 1 });
      receive({ acked: 1000, window: 1000 });
      assertEquals([client.send(1000), client.send(1000)], [true, false]);
    }
  },
);

familyTest("an older ACK changes neither what is acknowledged nor the window", () => {
  const { client, receive, session } = opened(false);
  for (let i = 0; i < 10; i++) client.send(1000);
  receive({ acked: 5000 });
  receive({ acked: 4000, window: 1 });
  assertEquals([session.sndNxt - session.sndUna, session.peerWindow], [5000, 65_535]);
});

familyTest("an ACK of what was never sent is not believed", () => {
  const { client, receive, session } = opened();
  client.send(1000);
  const before = session.sndUna;
  assertEquals(receive({ acked: 1001, size: 10 }), 0);
  assertEquals(session.sndUna, before);
  assertEquals(client.dropped, { fake_tcp_out_of_window: 1 });
});

familyTest("no progress of acks for 1 s: snd_nxt goes back to the highest ack, once", () => {
  const { client, receive, sent, advance } = opened();
  client.send(100);
  client.send(100);
  receive({ acked: 100 });
  advance(999);
  client.send(100);
  assertEquals(sent().map(({ seq }) => seq), [0, 100, 200]);
  advance(1);
  client.send(100);
  client.send(100);
  assertEquals(sent().map(({ seq }) => seq), [100, 200]);
  advance(1_000);
  client.send(100);
  assertEquals(sent().map(({ seq }) => seq), [300]);
  // What was sent before the going back is acknowledged: it goes on behind that.
  client.send(100);
  receive({ acked: 500 });
  client.send(100);
  assertEquals(sent().map(({ seq }) => seq), [400, 500]);
});

familyTest("acks that go beyond what was sent again are taken: all of it had arrived", () => {
  const { client, receive, sent, advance } = opened();
  for (let i = 0; i < 5; i++) client.send(100);
  sent();
  advance(1_000);
  receive({ acked: 500 });
  client.send(100);
  assertEquals(sent().map(({ seq }) => seq), [500]);
});

familyTest(
  "it goes back again after 2, 4 and 8 s at most: a path that was dead for long comes to life",
  () => {
    const { client, sent, clock, advance } = opened(false);
    const start = clock.now;
    const backs: number[] = [];
    let last = -1;
    for (let ms = 0; ms < 29_000; ms += 100) {
      client.send(1000);
      for (const { seq, size } of sent()) {
        if (size === 0) continue;
        if (seq < last) backs.push(clock.now - start);
        last = seq;
      }
      advance(100);
    }
    assertEquals(backs, [1_000, 3_000, 7_000, 15_000, 23_000]);
  },
);

familyTest("with nothing on its way, one datagram may go whatever the window", () => {
  const { client, receive } = opened();
  receive({ window: 0 });
  assertEquals([client.send(100), client.send(100)], [true, false]);
});

familyTest(
  "SYN, or a SYN/ACK with other numbers, on an open connection: a challenge ACK, one a second",
  () => {
    const { receive, sent } = opened();
    receive({ flags: SYN, ahead: 5 });
    receive({ flags: SYN | ACK, ahead: 5 });
    assertEquals(sent(), pureAck(0));
  },
);

familyTest("a segment without ACK is dropped", () => {
  const { client, receive } = opened();
  assertEquals(receive({ flags: PSH, size: 10 }), 0);
  assertEquals(client.dropped, { fake_tcp_bad_segment: 1 });
});

familyTest(
  "a middlebox that asks whether the connection is alive, by an old byte or none, is told so",
  () => {
    const { receive, sent } = opened();
    receive({ ahead: -1 });
    assertEquals(sent(), pureAck(0));
  },
);

familyTest("a full queue drops datagrams, and what they would have numbered is not used up", () => {
  const { client, session } = opened();
  let count = 0;
  while (client.send(10)) count++;
  assertEquals(count, client.queue.capacity);
  assertEquals(client.dropped, { send_queue_full: 1 });
  const next = session.sndNxt;
  const segments = client.drained();
  assertEquals((segments.at(-1)!.seq + 10) | 0, next);
  assert(client.send(10));
});

familyTest("pollAt() is when something is due: never early, never late", () => {
  const { world, client } = opened();
  client.send(1);
  let polls = 0;
  while (world.clock.now < 1_020_000) {
    const at = Math.min(client.transport.pollAt(), world.server.transport.pollAt());
    assert(at > world.clock.now, `due at ${at}, now is ${world.clock.now}`);
    world.run(at - world.clock.now);
    assert(++polls < 100);
  }
});

familyTest("segments that are not proven never move what is acknowledged, in turn or ahead", () => {
  for (const isScaled of SCALED) {
    const { client, receive, sent, session } = opened(isScaled);
    client.authenticates = false;
    for (const ahead of [0, 100, 60_000, ...isScaled ? [1_000_000, 900_000_000] : []]) {
      assertEquals(receive({ ahead, size: 100 }), 100);
      client.send(1);
      assertEquals(sent().map(({ ack }) => ack), [0]);
    }
    // Proven, all of a segment counts, behind whatever gap.
    client.authenticates = true;
    receive({ ahead: 50_000, size: 100 });
    client.send(1);
    assertEquals(sent().at(-1)!.ack, 50_100);
    assertEquals(session.isProven, true);
  }
});

familyTest("nothing is acknowledged for what is not proven, however much", () => {
  const { client, receive, sent, advance } = opened(false);
  client.authenticates = false;
  for (let i = 0; i < 100; i++) receive({ ahead: i * 500, size: 500 });
  advance(1_000);
  assertEquals(sent(), []);
});
