/**
 * Tests that forged segments steer nothing (lib/core/transport/fake_tcp/README.md, "Unproven segments steer nothing";
 * RFC 5961).
 */
import type { End } from "../../support/fake_tcp/world.ts";
import { assert, assertEquals, assertNotEquals } from "../../support/assert.ts";
import { Random } from "../../support/random.ts";
import { ConnectionTracking } from "../../support/fake_tcp/connection_tracking.ts";
import { firewall } from "../../support/fake_tcp/middleboxes.ts";
import {
  ACK,
  build,
  type Direction,
  familyTest,
  FIN,
  fromHere,
  fromThere,
  type Middlebox,
  PSH,
  read,
  RST,
  type Segment,
  SYN,
  World,
  type WorldOptions,
} from "../../support/fake_tcp/world.ts";

const WINDOW = 65_535 << 14;
/** Segments of a sweep: each a quarter of a mebibyte further, five and a half times around. */
const SWEEP = 22_528;
/** The ends of a relay, which authenticate nothing. */
const RELAY: WorldOptions = { client: { authenticates: false }, server: { authenticates: false } };

/** Two ends that agree, and a forger who may write to either. */
function agreed(options: WorldOptions = {}) {
  const tracking = new ConnectionTracking();
  const world = new World({ middleboxes: [firewall(tracking)], ...options });
  const { client, server } = world;
  client.connect();
  world.run(100);
  const isRelay = options.client?.authenticates === false;
  for (const end of [client, server]) {
    end.authenticates = !isRelay;
    if (isRelay) end.transport.keep(end.session);
  }
  const session = client.session;
  /** A segment that claims to be from the other end of `direction`. */
  const forge = (direction: Direction, fields: Partial<Segment>) =>
    build({
      ...direction === "up" ? fromHere(session) : fromThere(session),
      ...fields,
    });
  const endOf = (direction: Direction): End => direction === "up" ? server : client;
  /** Has an end take a forged segment. What it brings does not authenticate. */
  const strike = (direction: Direction, fields: Partial<Segment>) => {
    const end = endOf(direction);
    const { authenticates } = end;
    end.authenticates = false;
    end.receive(forge(direction, fields));
    end.authenticates = authenticates;
  };
  const works = () => {
    client.received.length = server.received.length = 0;
    client.send("up");
    server.send("down");
    world.run(300);
    assertEquals([client.received, server.received], [["down"], ["up"]]);
  };
  works();
  return { world, client, server, tracking, strike, works, endOf };
}

for (const [kind, options] of [["a tunnel", {}], ["a relay", RELAY]] as const) {
  familyTest(
    `a blind sweep of the sequence space leaves the connection of ${kind} as it was`,
    () => {
      for (const direction of ["up", "down"] as const) {
        const { world, tracking, strike, works, endOf } = agreed(options);
        const random = new Random(3);
        const before = endOf(direction).session.rcvMax;
        for (let i = 0; i < SWEEP; i++) {
          strike(direction, {
            flags: PSH | ACK,
            seq: Math.imul(i, 1 << 18) >>> 0,
            ack: random.uint32(),
            payload: random.bytes(100),
          });
          // It goes on while the connection is busy.
          if (i % 1000 === 0) world.run(1);
        }
        assertEquals(endOf(direction).session.rcvMax, before);
        works();
        world.run(10_000);
        works();
        assertEquals(world.client.events, ["established"]);
        assertEquals(tracking.invalid, []);
      }
    },
  );
}

familyTest(
  "an unproven segment with the right numbers does not move the other end's window either",
  () => {
    const { world, strike, works, client, server, tracking } = agreed();
    for (let i = 0; i < 50; i++) {
      const { rcvMax, sndMax } = server.session;
      const ahead = i * 20_000_000;
      strike("up", {
        flags: PSH | ACK,
        seq: rcvMax + ahead,
        ack: sndMax,
        payload: new Uint8Array(9),
      });
      world.run(100);
    }
    works();
    assertEquals([client.events, server.events], [["established"], ["established"]]);
    assertEquals(tracking.invalid, []);
  },
);

familyTest(
  "a window of 0 swept over the sequence space shuts no window of a busy connection",
  () => {
    const { strike, client, server, world } = agreed();
    for (let i = 0; i < 100; i++) client.send(1000);
    const { sndMax, peerWindow } = client.session;
    for (let i = 0; i < SWEEP / 8; i++) {
      // Even with what was sent last guessed right.
      const seq = server.session.sndNxt + 2_000_000 + Math.imul(i, 1_000_000);
      strike("down", { flags: ACK, seq, ack: sndMax, window: 0 });
      assertEquals(client.session.peerWindow, peerWindow);
      if (i % 100 === 0) assert(client.send(1000));
    }
    world.run(1_000);
    assertEquals(client.dropped["fake_tcp_window_full"], undefined);
  },
);

familyTest(
  "a SYN that names an idle connection draws a question, not a SYN/ACK that a firewall would follow",
  () => {
    for (const options of [{}, RELAY]) {
      const answers: number[] = [];
      const watch: Middlebox = (packet, direction) => {
        if (direction === "down") answers.push(read(packet).flags);
        return [packet];
      };
      const { world, strike, works, client, server } = agreed({ ...options, middleboxes: [watch] });
      world.run(15_000);
      answers.length = 0;
      // As a client repeats it, and a forger may as well.
      for (const ms of [500, 500, 1_000, 2_000, 6_000]) {
        strike("up", { flags: SYN, seq: 77 });
        world.run(ms);
      }
      assert(answers.length > 0);
      assertEquals(answers.filter((flags) => (flags & SYN) !== 0), []);
      works();
      assertEquals([client.events, server.events].map((events) => events[0]), [
        "established",
        "established",
      ]);
      assert(!server.events.some((event) => event.startsWith("lost")));
    }
  },
);

for (const [name, flags] of [["RST", RST], ["RST|ACK", RST | ACK], ["FIN", FIN | ACK]] as const) {
  familyTest(
    `${name} with any but the exact number is answered with a challenge ACK, one a second`,
    () => {
      for (const direction of ["up", "down"] as const) {
        const { world, strike, works, endOf } = agreed();
        const end = endOf(direction);
        world.run(5_000);
        const { rcvMax, sndNxt } = end.session;
        for (const ahead of [1, -1, 65_535, 1 << 20, WINDOW, -(1 << 20)]) {
          strike(direction, { flags, seq: rcvMax + ahead, ack: sndNxt });
        }
        const answers = end.drained().map(({ flags, seq, ack }) => [flags, seq | 0, ack | 0]);
        assertEquals(answers, [[ACK, sndNxt, rcvMax]]);
        // Idle as it is, nothing comes that could save it.
        world.run(10_000);
        assertEquals(end.events, ["established"]);
        works();
      }
    },
  );

  familyTest(`${name} swept over the window ends no idle connection, and no one-way one`, () => {
    for (const isIdle of [true, false]) {
      const { world, strike, works, client, server } = agreed();
      for (let i = 0; i < 4_096; i++) {
        const seq = Math.imul(i, 1 << 20) + 7;
        strike("up", { flags, seq, ack: server.session.sndNxt });
        strike("down", { flags, seq, ack: client.session.sndNxt });
        if (!isIdle && i % 64 === 0) client.send(1000);
        if (i % 16 === 0) world.run(20);
      }
      world.run(2_000);
      assertEquals([client.events, server.events], [["established"], ["established"]]);
      works();
    }
  });
}

familyTest(
  "an end that has gone is believed although what it sent last was lost: its answer to the challenge is exact",
  () => {
    const { world, client, server } = agreed();
    client.send("lost");
    client.drain();
    client.transport.close(client.session);
    world.run(2_000);
    assertEquals(server.events, ["established", "lost: reset"]);
  },
);

familyTest("numbers that cannot be, again and again, end no connection whose ends agree", () => {
  for (const options of [{}, RELAY]) {
    const { world, strike, works, client, server } = agreed(options);
    for (let i = 0; i < 400; i++) {
      for (const [direction, end] of [["up", server], ["down", client]] as const) {
        const { rcvMax, sndMax } = end.session;
        const payload = new Uint8Array(10);
        strike(direction, { flags: PSH | ACK, seq: rcvMax, ack: sndMax + 1 + i, payload });
        strike(direction, { flags: ACK, seq: rcvMax + WINDOW + 1 + i, ack: sndMax });
        strike(direction, { flags: SYN, seq: i, ack: 0 });
      }
      world.run(50);
    }
    assertEquals([client.events, server.events], [["established"], ["established"]]);
    works();
  }
});

familyTest("where nothing is authenticated, gaps are jumped over, but bounded in total", () => {
  const { world, client, server, works } = agreed(RELAY);
  // Half of what is sent is lost, for long: far more than a jump may be.
  for (let i = 0; i < 4_000; i++) {
    client.send(1000);
    if (i % 2 === 0) client.drain();
    world.run(1);
  }
  assert(server.receivedBytes > 1_900_000);
  assertEquals(client.dropped, {});
  world.run(1_000);
  assertEquals(server.session.rcvMax, client.session.sndNxt);
  works();
});

familyTest(
  "where nothing is authenticated, anyone who knows the numbers moves an end a mebibyte at most",
  () => {
    const { strike, server } = agreed(RELAY);
    const before = server.session.rcvMax;
    for (let i = 0; i < 100; i++) {
      const { rcvMax, sndMax } = server.session;
      strike("up", {
        flags: PSH | ACK,
        seq: rcvMax + 1_000_000,
        ack: sndMax,
        payload: Uint8Array.of(1),
      });
    }
    const moved = (server.session.rcvMax - before) | 0;
    assert(moved > 0 && moved <= 1024 * 1024 + 100, `${moved} bytes`);
  },
);

familyTest("a relay's outage of more than a jump is got over within two seconds", () => {
  const { world, client, server, works } = agreed(RELAY);
  for (let lost = 0; lost < 5_000_000; lost += 1000) {
    client.send(1000);
    client.drain();
  }
  world.run(1_500);
  client.send("after");
  world.run(500);
  assertEquals(server.session.rcvMax, client.session.sndNxt);
  works();
});

for (const pushed of ["up", "down"] as const) {
  for (const middleboxes of [undefined, []]) {
    const through = middleboxes === undefined ? "through a strict firewall" : "without a firewall";
    familyTest(
      `a relay's connection whose ends have drifted apart is over within seconds: ${pushed}, ${through}`,
      () => {
        const { world, client, server, strike, endOf } = agreed({
          ...RELAY,
          ...middleboxes && { middleboxes },
        });
        const { rcvMax, sndMax } = endOf(pushed).session;
        const payload = new Uint8Array(100);
        strike(pushed, { flags: PSH | ACK, seq: rcvMax + 900_000, ack: sndMax, payload });
        assertNotEquals(endOf(pushed).session.rcvMax, rcvMax);
        for (let ms = 0; ms < 7_000; ms += 100) {
          for (const end of [client, server]) {
            const [session] = end.transport.sessions;
            if (session !== undefined) end.send(100, session);
          }
          world.run(100);
        }
        for (const { events } of [client, server]) {
          assertEquals(events.length, 2);
          assert(["lost: drifted", "lost: reset"].includes(events[1]!), events[1]);
        }
      },
    );
  }
}
