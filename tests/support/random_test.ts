/** Tests of tests/support/random.ts. */
import { assert, assertEquals, assertNotEquals, assertThrows } from "./assert.ts";
import { Random } from "./random.ts";

Deno.test("Random gives the same sequence for the same seed and another for another", () => {
  const sequence = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 20 }, () => random.uint32());
  };
  assertEquals(sequence(1), sequence(1));
  assertNotEquals(sequence(1), sequence(2));
});

Deno.test("Random spreads its values evenly", () => {
  const random = new Random(3);
  const counts = new Array<number>(16).fill(0);
  for (let round = 0; round < 64_000; round++) counts[random.below(16)]! += 1;
  for (const count of counts) assert(count > 3_700 && count < 4_300, `${counts}`);
  let hits = 0;
  for (let round = 0; round < 10_000; round++) hits += Number(random.chance(0.1));
  assert(hits > 850 && hits < 1_150, `${hits}`);
});

Deno.test("Random keeps to the limits it is given", () => {
  const random = new Random(4);
  const seen = new Set<number>();
  for (let round = 0; round < 200; round++) seen.add(random.between(3, 6));
  assertEquals([...seen].sort(), [3, 4, 5, 6]);
  assertEquals(random.bytes(33).length, 33);
  assertThrows(() => random.pick([]), Error, "Cannot pick");
});

Deno.test("Random.mutate() changes the bytes in length or content and leaves the original alone", () => {
  const random = new Random(5);
  const original = random.bytes(40);
  const copy = original.slice();
  const lengths = new Set<number>();
  let same = 0;
  for (let round = 0; round < 500; round++) {
    const mutated = random.mutate(original);
    lengths.add(Math.sign(mutated.length - original.length));
    if (mutated.length === 40 && mutated.every((byte, at) => byte === original[at])) same += 1;
  }
  assertEquals(original, copy);
  assertEquals(lengths, new Set([-1, 0, 1]));
  // Two flips of one bit undo each other, which must stay rare.
  assert(same < 10, `${same} of 500 are unchanged`);
  assertEquals(new Random(6).mutate(new Uint8Array()).length <= 16, true);
});
