/** Tests that fake TCP lives with what middleboxes do to TCP, and that firewalls see nothing amiss. */
import { assert, assertEquals } from "../assert.ts";
import { Random } from "../random.ts";
import { ConnectionTracking } from "./connection_tracking.ts";
import {
  clampMss,
  duplicate,
  eat,
  firewall,
  isData,
  isPureAck,
  isSyn,
  isSynAck,
  masquerade,
  renumber,
  stripWindowScale,
  synProxy,
  thinAcks,
} from "./middleboxes.ts";
import { fromThere } from "./segments.ts";
import { familyTest } from "./segments.ts";
import {
  ACK,
  back,
  build,
  CLIENT_ADDRESS,
  FIN,
  type Middlebox,
  read,
  RST,
  SERVER_ADDRESS,
  SERVER_PORT,
  SYN,
  World,
} from "./world.ts";

/** A world with one kind of middlebox, and a strict firewall on either side of it. */
class Tried extends World {
  readonly trackings: readonly ConnectionTracking[];

  constructor(...middleboxes: Middlebox[]) {
    const trackings = [new ConnectionTracking(), new ConnectionTracking()] as const;
    super({
      middleboxes: [firewall(trackings[0]), ...middleboxes, firewall(trackings[1])],
    });
    this.trackings = trackings;
  }

  /** Sends so much both ways that windows and acknowledgments matter. Returns the share that arrived. */
  exchange(datagrams = 600): number {
    const before = this.client.receivedBytes + this.server.receivedBytes;
    for (let i = 0; i < datagrams; i++) {
      this.client.send(1200);
      this.server.send(1200);
      this.run(5);
    }
    this.run(500);
    const bytes = this.client.receivedBytes + this.server.receivedBytes - before;
    return bytes / (2 * datagrams * 1200);
  }

  assertValid(): void {
    for (const { invalid } of this.trackings) assertEquals(invalid, []);
  }
}

function assertWorks(world: Tried): void {
  world.client.connect();
  world.client.send("first");
  world.run(200);
  assertEquals(world.server.received, ["first"]);
  world.server.send("second");
  world.run(200);
  assertEquals(world.client.received, ["second"]);
  assertEquals(world.exchange(), 1);
  assertEquals(world.client.events, ["established"]);
  assertEquals(world.server.events, ["established"]);
  world.assertValid();
}

familyTest("datagrams pass without middleboxes", () => assertWorks(new Tried()));

familyTest("sequence numbers rewritten in both directions do no harm", () => {
  for (const [up, down] of [[0x12345678, 0xfedcba98], [0xffffff00, 1], [0x80000000, 0x7fffffff]]) {
    assertWorks(new Tried(renumber(up!, down!)));
  }
});

familyTest(
  "without window scale, taken out of SYN and SYN/ACK, windows of 64 KiB are kept to",
  () => {
    const world = new Tried(stripWindowScale());
    assertWorks(world);
    assertEquals([world.client.session.isScaled, world.server.session.isScaled], [false, false]);
  },
);

familyTest("window scale taken out of the SYN alone is not in the SYN/ACK either", () => {
  const world = new Tried(stripWindowScale("up"));
  assertWorks(world);
  assertEquals([world.client.session.isScaled, world.server.session.isScaled], [false, false]);
});

familyTest("window scale taken out of the SYN/ACK alone: the client does not scale", () => {
  const world = new Tried(stripWindowScale("down"));
  world.open();
  assertEquals(world.client.session.isScaled, false);
  assert(world.exchange() > 0.9);
});

familyTest("a clamped MSS bounds datagrams at both ends", () => {
  const world = new Tried(clampMss(1300));
  assertWorks(world);
  assertEquals(world.client.session.maxPayload, 1300);
  assert(world.server.session.maxPayload <= 1300);
  assertEquals(world.client.send(1301), false);
  assertEquals(world.client.dropped, { too_big: 1 });
});

familyTest("a masquerading router changes nothing, and the server sees its address", () => {
  const world = new Tried(masquerade(0x0b0b0b0b, 61_000));
  assertWorks(world);
  const { source, sourcePort } = fromThere(world.server.session);
  assertEquals([source, sourcePort], [0x0b0b0b0b, 61_000]);
});

familyTest("a duplicated SYN is answered twice in the same way", () => {
  const answers: number[] = [];
  const watch: Middlebox = (packet) => {
    if (isSynAck(packet)) answers.push(read(packet).seq);
    return [packet];
  };
  assertWorks(new Tried(watch, duplicate(isSyn)));
  assertEquals(answers.length, 2);
  assertEquals(answers[0], answers[1]);
});

familyTest("a duplicated SYN/ACK is acknowledged twice", () => {
  let acks = 0;
  const watch: Middlebox = (packet) => {
    if (isPureAck(packet)) acks++;
    return [packet];
  };
  const world = new Tried(watch, duplicate(isSynAck));
  world.client.connect();
  world.run(150);
  // Two of the client's, one of the server's.
  assertEquals(acks, 3);
  world.assertValid();
});

familyTest("two SYN/ACKs lost: the third opens the connection, after a second", () => {
  const world = new Tried(eat(2, isSynAck));
  world.client.connect();
  world.client.send("first");
  world.run(1_050);
  assertEquals(world.server.received, ["first"]);
  assertEquals(world.exchange(), 1);
  world.assertValid();
});

familyTest("the handshake's ACK lost: the first datagram opens the connection", () => {
  const world = new Tried(eat(1, isPureAck));
  assertWorks(world);
});

familyTest(
  "the handshake's ACK and the first datagram lost: the next one opens the connection",
  () => {
    const world = new Tried(
      eat(1, (packet, direction) => direction === "up" && isPureAck(packet)),
      eat(1, isData),
    );
    world.client.connect();
    world.client.send("lost");
    world.run(100);
    world.client.send("second");
    world.run(100);
    assertEquals(world.server.received, ["second"]);
    assertEquals(world.server.events, ["established"]);
    // What was eaten between the firewalls is acknowledged to the outer one, which saw it.
    assertEquals(world.trackings[0]!.invalid, []);
    assertEquals(world.exchange(), 1);
  },
);

familyTest("thinned ACKs do no harm once the server has sent anything else", () => {
  for (const every of [2, 10, 100]) {
    const world = new Tried(thinAcks(every));
    world.client.connect();
    world.client.send("first");
    world.run(500);
    world.server.send("answer");
    world.run(100);
    const before = world.server.receivedBytes;
    // One way only, so that nothing but pure ACKs comes back.
    for (let i = 0; i < 2_000; i++) {
      world.client.send(1200);
      world.run(2);
    }
    world.run(100);
    assertEquals(world.server.receivedBytes - before, 2_000 * 1200);
    world.assertValid();
  }
});

familyTest("the first data segment eaten: the ones behind it arrive", () => {
  const world = new Tried(eat(1, (packet, direction) => direction === "up" && isData(packet)));
  world.client.connect();
  world.client.send("first");
  world.client.send("second");
  world.run(200);
  assertEquals(world.server.received, ["second"]);
  assertEquals(world.exchange(), 1);
});

familyTest(
  "a SYN proxy, with window 0 and a filled ack field: nothing is lost, not even the first",
  () => {
    for (const ownIss of [1, 0xfffffff0, 0x7ffffff0]) {
      const world = new Tried(synProxy(ownIss));
      assertWorks(world);
      assertEquals(world.server.session.isScaled, false);
      assertEquals(world.client.session.isScaled, false);
    }
  },
);

familyTest(
  "what waits for a SYN proxy's window leaves after half a second, though nothing waited when it opened",
  () => {
    const { client, clock } = new World();
    const { iss, localPort } = client.connect();
    client.drain();
    const ends = { source: SERVER_ADDRESS, sourcePort: SERVER_PORT, destinationPort: localPort };
    client.receive(build({
      ...ends,
      destination: CLIENT_ADDRESS,
      flags: SYN | ACK,
      seq: 5,
      ack: iss + 1,
      window: 0,
    }));
    client.drain();
    clock.advance(100);
    client.send("first");
    assertEquals(client.drained(), []);
    assertEquals(client.transport.pollAt(), clock.now + 400);
    clock.advance(400);
    client.poll();
    assertEquals(client.drained().map(({ payload }) => new TextDecoder().decode(payload)), [
      "first",
    ]);
  },
);

familyTest("an injected RST or FIN is not believed while authenticated data comes", () => {
  for (const flags of [RST, RST | ACK, FIN | ACK]) {
    for (const direction of ["up", "down"] as const) {
      const world = new Tried();
      const session = world.open();
      const up = build({
        sourcePort: session.localPort,
        seq: session.sndNxt,
        ack: session.rcvMax,
        flags,
      });
      const down = build({ ...back(read(up)), seq: session.rcvMax, ack: session.sndNxt, flags });
      world.inject(direction === "up" ? up : down, direction);
      world.run(500);
      world.client.send("up");
      world.server.send("down");
      world.run(2_000);
      assertEquals(world.client.received, ["down"]);
      assertEquals(world.server.received, ["up"]);
      assertEquals(world.client.events, ["established"]);
      assertEquals(world.server.events, ["established"]);
    }
  }
});

familyTest(
  "an injected RST that a firewall believes: after a second, a new connection from another port",
  () => {
    const world = new Tried();
    const session = world.open();
    world.exchange(20);
    const seq = world.server.session.sndNxt;
    const rst = build({ sourcePort: session.localPort, seq: session.rcvMax, flags: RST });
    const injected = build({ ...read(rst), ...back(read(rst)), seq, flags: RST });
    world.trackings[0]!.judge(injected, "down");
    world.inject(injected, "down");
    world.client.authenticates = false;
    world.run(1_100);
    assertEquals(world.client.events, ["established", "lost: reset"]);
    world.client.authenticates = true;
    const again = world.client.connect();
    assert(again.localPort !== session.localPort);
    world.client.send("again");
    world.run(100);
    assertEquals(world.server.received.at(-1), "again");
  },
);

familyTest("what a middlebox has garbled is dropped", () => {
  const random = new Random(7);
  const garble: Middlebox = (packet) => {
    if (!isData(packet) || !random.chance(0.5)) return [packet];
    const copy = packet.slice();
    copy[20 + random.below(copy.length - 20)]! ^= 1 << random.below(8);
    return [copy];
  };
  const world = new World({ middleboxes: [garble] });
  world.open();
  for (let i = 0; i < 100; i++) world.client.send("datagram");
  world.run(100);
  const { received, dropped } = world.server;
  assertEquals(new Set(received), new Set(["datagram"]));
  assertEquals(received.length + dropped["fake_tcp_bad_segment"]!, 100);
});
