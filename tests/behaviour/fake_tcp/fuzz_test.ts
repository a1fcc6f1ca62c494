/**
 * Tests of fake TCP with hostile segments: a forger who knows both addresses and both ports, but sees nothing, sends
 * what he likes to both ends. Nothing throws, no datagram of his counts, and the connection stays the one that it was.
 */
import { assert, assertEquals } from "../../support/assert.ts";
import { fuzz, FUZZ_SEED } from "../../support/fuzz.ts";
import type { Bytes } from "../../support/packets/packet_builder.ts";
import type { Random } from "../../support/random.ts";
import {
  build,
  completed,
  type End,
  familyTest,
  fromHere,
  fromThere,
  segmentAt,
  World,
} from "../../support/fake_tcp/world.ts";

const GENUINE = "genuine ";
/** Rounds after which both ends must still reach each other. */
const CHECK_INTERVAL = 50;
const TEXT = new TextEncoder().encode(GENUINE);

/** A connection under attack. */
class Target {
  readonly world = new World({ seed: FUZZ_SEED });
  readonly session = this.world.open();
  #sent = 0;

  constructor() {
    for (const end of [this.world.client, this.world.server]) {
      end.authenticates = (datagram) => TEXT.every((byte, i) => datagram[i] === byte);
    }
    this.check();
  }

  /** A segment of the connection with forged numbers, any flags, and at times other damage. */
  attack(random: Random): void {
    const direction = random.chance(0.5) ? "up" : "down";
    const { session } = this;
    const segment = build({
      ...direction === "up" ? fromHere(session) : fromThere(session),
      flags: random.below(64),
      seq: random.uint32(),
      ack: random.uint32(),
      window: random.below(65_536),
      options: random.chance(0.3) ? random.bytes(4 * random.below(11)) : new Uint8Array(),
      payload: random.bytes(random.chance(0.5) ? 0 : random.below(1_400)),
    });
    this.world.inject(random.chance(0.2) ? repaired(random.mutate(segment)) : segment, direction);
    this.world.run(random.below(3));
  }

  /** Whether a datagram still arrives each way, by the connection that there was first. */
  check(): void {
    const { client, server } = this.world;
    const text = `${GENUINE}${this.#sent++}`;
    assert(client.send(text, this.session), "the client cannot send");
    this.world.run(50);
    assertEquals(server.received.at(-1), text);
    const [back] = server.transport.sessions;
    assert(server.send(text, back!), "the server cannot send");
    this.world.run(50);
    assertEquals(client.received.at(-1), text);
    for (const end of [client, server]) end.received.length = end.events.length = 0;
  }
}

/** With right checksums where it is still a whole segment: with wrong ones it would not come far. */
function repaired(packet: Bytes): Bytes {
  return packet.length >= segmentAt(packet) + 20 ? completed(packet) : packet;
}

familyTest("a blind forger's segments throw nothing and leave the connection as it was", () => {
  let target = new Target();
  fuzz((random, number) => {
    // Acknowledged or not, his datagrams are kept nowhere; a fresh connection now and then has fresh numbers.
    if (number % 5_000 === 4_999) target = new Target();
    target.attack(random);
    if (number % CHECK_INTERVAL === 0) target.check();
  });
  target.check();
});

familyTest("segments of any connection, damaged or not, throw nothing at a listening end", () => {
  const world = new World({ seed: FUZZ_SEED });
  const ends: readonly End[] = [world.server, world.client];
  fuzz((random) => {
    const segment = build({
      source: random.uint32() | 0,
      sourcePort: random.pick([0, 1, 443, random.below(65_536)]),
      destinationPort: random.pick([443, 40_000, 0]),
      flags: random.below(256),
      seq: random.uint32(),
      ack: random.uint32(),
      options: random.bytes(4 * random.below(11)),
      payload: random.bytes(random.below(200)),
    });
    const end = random.pick(ends);
    end.receive(random.chance(0.5) ? segment : random.mutate(segment), random.pick([0, 0, 1, 100]));
    world.clock.advance(random.below(5));
    end.poll();
    end.drain();
    end.received.length = end.events.length = 0;
  });
});
