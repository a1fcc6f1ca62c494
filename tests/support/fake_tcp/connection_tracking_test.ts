/**
 * Tests of the model of connection tracking, then by it: long random exchanges have not one segment that a firewall
 * refuses.
 */
import { assert, assertEquals } from "../assert.ts";
import type { Bytes } from "../packets/packet_builder.ts";
import { Random } from "../random.ts";
import { ConnectionTracking } from "./connection_tracking.ts";
import { eat, firewall, isPureAck, renumber, stripWindowScale } from "./middleboxes.ts";
import {
  ACK,
  build,
  CLIENT_ADDRESS,
  CLIENT_PORTS,
  type Direction,
  familyTest,
  headersSize,
  MTU,
  RST,
  type Segment,
  SERVER_ADDRESS,
  SERVER_PORT,
  SYN,
  World,
} from "./world.ts";

const DOWN = {
  source: SERVER_ADDRESS,
  destination: CLIENT_ADDRESS,
  sourcePort: SERVER_PORT,
  destinationPort: CLIENT_PORTS.first,
};
const OPTIONS = Uint8Array.of(2, 4, 5, 180, 1, 3, 3, 14);

function segment(direction: Direction, fields: Partial<Segment>): Bytes {
  return build(direction === "up" ? fields : { ...DOWN, ...fields });
}

/** A tracking that has seen a handshake: next to come are 1001 and 5001. */
function established(options = OPTIONS): ConnectionTracking {
  const tracking = new ConnectionTracking();
  assert(tracking.judge(segment("up", { flags: SYN, seq: 1000, options }), "up"));
  const answer = { flags: SYN | ACK, seq: 5000, ack: 1001, options };
  assert(tracking.judge(segment("down", answer), "down"));
  assert(tracking.judge(segment("up", { seq: 1001, ack: 5001 }), "up"));
  assertEquals(tracking.state, "established");
  return tracking;
}

familyTest(
  "the model refuses what begins beyond acknowledgment and window: unscaled, the SYN/ACK's",
  () => {
    for (const options of [OPTIONS, new Uint8Array()]) {
      const tracking = established(options);
      const at = (seq: number) => tracking.judge(segment("up", { seq, ack: 5001 }), "up");
      assertEquals(at(1001 + 65_535), true);
      assertEquals(at(1001 + 65_536), false);
    }
  },
);

familyTest(
  "the model scales the window of a later segment of the server's, if both asked for it",
  () => {
    const jump = { seq: 1001 + 1_000_000_000, ack: 5001 };
    const tracking = established();
    assert(tracking.judge(segment("down", { seq: 5001, ack: 1001 }), "down"));
    assertEquals(tracking.judge(segment("up", jump), "up"), true);
    const unscaled = established(new Uint8Array());
    assert(unscaled.judge(segment("down", { seq: 5001, ack: 1001 }), "down"));
    assertEquals(unscaled.judge(segment("up", jump), "up"), false);
  },
);

familyTest("the model refuses what is older than the window", () => {
  const tracking = established(new Uint8Array());
  for (let seq = 1001; seq < 200_000; seq += 1000) {
    const payload = new Uint8Array(1000);
    assert(tracking.judge(segment("up", { seq, ack: 5001, payload }), "up"));
    assert(tracking.judge(segment("down", { seq: 5001, ack: seq + 1000 }), "down"));
  }
  const late = (behind: number) => segment("up", { seq: 200_001 - behind, ack: 5001 });
  assertEquals(tracking.judge(late(65_535), "up"), true);
  assertEquals(tracking.judge(late(65_536), "up"), false);
});

familyTest(
  "the model refuses acknowledgments of what it never saw, and those that lag behind",
  () => {
    const tracking = established(new Uint8Array());
    assertEquals(tracking.judge(segment("down", { seq: 5001, ack: 1002 }), "down"), false);
    for (let seq = 1001; seq < 100_000; seq += 1000) {
      const payload = new Uint8Array(1000);
      assert(tracking.judge(segment("up", { seq, ack: 5001, payload }), "up"));
      assert(tracking.judge(segment("down", { seq: 5001, ack: seq + 1000 }), "down"));
    }
    const late = (behind: number) => segment("down", { seq: 5001, ack: 100_001 - behind });
    assertEquals(tracking.judge(late(66_000), "down"), true);
    assertEquals(tracking.judge(late(66_001), "down"), false);
  },
);

familyTest("the model takes nothing for a connection that does not begin with a SYN", () => {
  assertEquals(new ConnectionTracking().judge(segment("up", { seq: 1, ack: 1 }), "up"), false);
  const tracking = new ConnectionTracking();
  const answer = { flags: SYN | ACK, seq: 5000, ack: 1001 };
  assertEquals(tracking.judge(segment("down", answer), "down"), false);
});

familyTest("the model closes with a RST", () => {
  const tracking = established();
  assert(tracking.judge(segment("up", { flags: RST | ACK, seq: 1001, ack: 5001 }), "up"));
  assertEquals(tracking.state, "closed");
});

/** What may differ from one exchange to another. */
interface Exchange {
  readonly seed: number;
  readonly loss: number;
  readonly jitter: number;
  readonly scaled: boolean;
  /** Bytes that are lost all at once, now and then, before the firewall. */
  readonly jump: number;
}

/** Exchanges datagrams of all sizes in bursts and pauses, through a firewall in the middle. Returns what it saw. */
function exchange({ seed, loss, jitter, scaled, jump }: Exchange): ConnectionTracking {
  const random = new Random(seed);
  const tracking = new ConnectionTracking();
  const world = new World({
    seed,
    jitter,
    middleboxes: [
      ...scaled ? [] : [stripWindowScale()],
      firewall(tracking),
      renumber(random.uint32(), random.uint32()),
    ],
  });
  world.open();
  world.loss = loss;
  for (let burst = 0; burst < 150; burst++) {
    for (const end of [world.client, world.server]) {
      if (random.chance(0.3)) continue;
      const size = random.between(1, 1400);
      for (let left = random.below(60); left > 0; left--) {
        end.send(left === 1 ? size >> 1 || 1 : size);
      }
    }
    world.run(random.pick([0, 1, 5, 20, 100, 300, 1_500]));
    if (jump > 0 && random.chance(0.1)) {
      const end = random.pick([world.client, world.server]);
      // Sent, and lost on the first metre.
      for (let lost = 0; lost < jump && end.send(1400); lost += 1400) end.drain();
    }
  }
  world.loss = 0;
  world.run(10_000);
  const before = world.server.receivedBytes;
  world.client.send(1000);
  world.run(1_000);
  assertEquals(world.server.receivedBytes - before, 1000, "the connection has stalled for good");
  return tracking;
}

for (const scaled of [true, false]) {
  for (const [loss, jitter] of [[0, 0], [0.05, 0], [0, 3], [0.05, 3], [0.3, 3]] as const) {
    const name = `${
      scaled ? "with" : "without"
    } window scale, ${loss} lost, ${jitter} ms of jitter`;
    familyTest(`no segment is invalid to a strict firewall: ${name}`, () => {
      for (let seed = 1; seed <= 3; seed++) {
        for (const jump of [0, 300_000]) {
          const tracking = exchange({ seed, loss, jitter, scaled, jump });
          assert(tracking.count > 1_000);
          assertEquals(tracking.invalid, []);
        }
      }
    });
  }
}

familyTest("ISNs near 2^32 wrap around in an exchange, and no segment is invalid", () => {
  for (const isn of [0xffffffff, 0xfffff000, 0x7fffffff, 0x7ffff000]) {
    const tracking = new ConnectionTracking();
    const world = new World({
      middleboxes: [firewall(tracking)],
      client: { random: () => isn },
      loss: 0.02,
    });
    world.client.connect();
    world.run(5_000);
    for (let i = 0; i < 500; i++) {
      world.client.send(1400);
      world.server.send(1400);
      world.run(3);
    }
    world.run(1_000);
    assertEquals(tracking.invalid, []);
    assert(world.server.receivedBytes > 0.9 * 500 * 1400);
    assert(world.client.receivedBytes > 0.9 * 500 * 1400);
    assertEquals(world.client.dropped, {});
  }
});

familyTest("a gigabyte lost at once is jumped over", () => {
  const tracking = new ConnectionTracking();
  const world = new World({ middleboxes: [firewall(tracking)] });
  world.open();
  world.run(300);
  const size = MTU - headersSize();
  for (let lost = 0; lost < 1_000_000_000; lost += size) {
    assert(world.client.send(size));
    world.client.queue.sentUpTo(world.client.queue.tail);
  }
  world.client.send("behind");
  world.run(1_000);
  assertEquals(world.server.received, ["behind"]);
  world.server.send("back");
  world.run(100);
  assertEquals(world.client.received, ["back"]);
  assertEquals(tracking.invalid, []);
});

familyTest(
  "the server's first ACK lost: the client keeps to 65,535 bytes until another one comes",
  () => {
    const tracking = new ConnectionTracking();
    const world = new World({
      middleboxes: [
        firewall(tracking),
        eat(1, (packet, direction) => direction === "down" && isPureAck(packet)),
      ],
    });
    world.open();
    let taken = 0;
    while (world.client.send(1000)) taken++;
    assertEquals(taken, 65);
    assertEquals(world.client.dropped, { fake_tcp_window_full: 1 });
    world.run(300);
    for (let i = 0; i < 200; i++) assert(world.client.send(1000));
    world.run(300);
    assertEquals(world.server.receivedBytes, 265_000);
    assertEquals(tracking.invalid, []);
  },
);
