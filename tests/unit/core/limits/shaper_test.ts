/** Tests of what waits for its rate: order, bounds, shares of the memory, and that no slot is ever lost. */
import { RateLimit } from "../../../../lib/core/limits/rate_limit.ts";
import { Shaper } from "../../../../lib/core/limits/shaper.ts";
import { TokenBucket } from "../../../../lib/core/limits/token_bucket.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";

const SLOT_SIZE = 1_536;
/** Where a packet lies that is handed over. */
const PACKET = 0;
const REGION = SLOT_SIZE;

interface World {
  readonly shaper: Shaper<string>;
  /** What was let go: whose, and which packet of his. */
  readonly released: [owner: string, packet: number, at: number][];
  readonly dropped: Map<string, number>;
  /** Hands over a packet. Returns whether it may go on. */
  take(limit: RateLimit<string>, packet: number, now: number, length?: number): boolean;
  /** Lets everything go that is due in each ms, up to a time. */
  runTo(now: number): void;
}

function world(slots: number): World {
  const bytes = new Uint8Array(REGION + slots * SLOT_SIZE);
  const view = new DataView(bytes.buffer);
  const released: World["released"] = [];
  const dropped = new Map<string, number>();
  const shaper = new Shaper<string>({
    bytes,
    region: { offset: REGION, slots, slotSize: SLOT_SIZE },
    release: ({ owner }, offset, length, now) => {
      released.push([owner, view.getUint32(offset), now]);
      // Whatever is done to a packet that was let go touches no other.
      bytes.fill(0xee, offset, offset + length);
    },
    mark: () => false,
    drop: ({ owner }) => dropped.set(owner, (dropped.get(owner) ?? 0) + 1),
  });
  let time = 0;
  return {
    shaper,
    released,
    dropped,
    take(limit, packet, now, length = 1_000) {
      view.setUint32(PACKET, packet);
      return shaper.take(limit, PACKET, length, now);
    },
    runTo(now) {
      for (time = Math.max(time, 1); time <= now; time++) {
        while (shaper.release(time, 8)) shaper.recycle();
        shaper.recycle();
      }
    },
  };
}

const limitOf = (owner: string, rate: number) => new RateLimit(owner, true, new TokenBucket(rate));

Deno.test("packets within the rate go on, those over it wait in their order, and no later than they must", () => {
  const { shaper, released, take, runTo } = world(64);
  // 1,000 bytes a ms, and 10,000 at once.
  const limit = limitOf("a", 8e6);
  const now = Array.from({ length: 30 }, (_, i) => take(limit, i, 0));
  assertEquals(now, now.map((_, i) => i <= 10));
  assertEquals(shaper.at, 1);
  runTo(100);
  assertEquals(released, Array.from({ length: 19 }, (_, i) => ["a", 11 + i, 1 + i]));
  assertEquals([shaper.at, limit.count, limit.bytes], [Infinity, 0, 0]);
});

Deno.test("a packet does not overtake those that wait, though nothing is owed when it comes", () => {
  const { released, take, runTo } = world(64);
  const limit = limitOf("a", 8e6);
  for (let i = 0; i < 13; i++) take(limit, i, 0);
  assertEquals(take(limit, 13, 50), false);
  runTo(60);
  assertEquals(released.map(([, packet]) => packet), [11, 12, 13]);
});

Deno.test("a queue holds a quarter of a second of its rate, but at any rate the fragments of one datagram", () => {
  for (const [rate, expected] of [[1_000, 80], [8e6, 250], [16e6, 500]] as const) {
    const { dropped, take } = world(2_048);
    const limit = limitOf("a", rate);
    for (let i = 0; i < 2_000; i++) take(limit, i, 0);
    assertEquals([limit.count, dropped.get("a")! > 0], [expected, true]);
  }
});

Deno.test("one queue takes half of the memory, the next one half of the rest, and one that comes last has room", () => {
  const { take } = world(64);
  const limits = ["a", "b", "c", "d"].map((owner) => limitOf(owner, 1e9));
  for (const limit of limits) for (let i = 0; i < 3_000; i++) take(limit, i, 0);
  assertEquals(limits.map(({ count }) => count), [32, 16, 8, 4]);
});

Deno.test("a packet that no slot holds goes on within the rate, and is dropped over it", () => {
  const { dropped, take } = world(64);
  const limit = limitOf("a", 8e6);
  assertEquals(take(limit, 0, 0, 65_535), true);
  assertEquals(take(limit, 1, 0, SLOT_SIZE + 1), false);
  assertEquals(dropped.get("a"), 1);
});

Deno.test("where there is no memory, what is over the rate is dropped", () => {
  const { shaper, dropped, take } = world(0);
  const limit = limitOf("a", 8e6);
  for (let i = 0; i < 20; i++) take(limit, i, 0);
  assertEquals([dropped.get("a"), shaper.at], [9, Infinity]);
});

Deno.test("a limit that is lifted lets go what waits, all of it, in its order", () => {
  const { released, dropped, take, runTo } = world(256);
  const limit = limitOf("a", 8e6);
  for (let i = 0; i < 100; i++) take(limit, i, 0);
  limit.isLifted = true;
  runTo(1);
  assertEquals(released.map(([, packet]) => packet), Array.from({ length: 89 }, (_, i) => 11 + i));
  assertEquals(dropped.size, 0);
});

Deno.test("another rate counts from the next packet on, for those that wait too", () => {
  const { released, take, runTo } = world(256);
  const limit = limitOf("a", 8e6);
  for (let i = 0; i < 60; i++) take(limit, i, 0);
  limit.bound = new TokenBucket(80e6);
  runTo(10);
  assertEquals(released.length, 49);
});

Deno.test("whatever comes, each packet goes on once and in order or is counted, and all memory is free in the end", () => {
  const random = new Random(5);
  const { shaper, released, dropped, take, runTo } = world(128);
  const limits = Array.from(
    { length: 10 },
    (_, i) => limitOf(`${i}`, random.between(100_000, 20_000_000)),
  );
  const sent = limits.map(() => 0);
  const passed = limits.map(() => 0);
  for (let now = 1; now < 5_000; now++) {
    for (let i = random.below(8); i > 0; i--) {
      const which = random.below(10);
      const length = random.between(40, SLOT_SIZE);
      if (take(limits[which]!, sent[which]!++, now, length)) passed[which]!++;
    }
    runTo(now);
  }
  runTo(10_000);
  for (const [i, limit] of limits.entries()) {
    const own = released.filter(([owner]) => owner === limit.owner).map(([, packet]) => packet);
    assert(own.every((packet, at) => at === 0 || packet > own[at - 1]!), "order");
    assertEquals(own.length + passed[i]! + (dropped.get(limit.owner) ?? 0), sent[i]);
  }
  assertEquals(shaper.at, Infinity);
  // All slots are free: one queue takes half of them.
  const last = limitOf("last", 1e9);
  for (let i = 0; i < 3_000; i++) take(last, i, 10_001);
  assertEquals(last.count, 64);
});
