/** Tests of lib/core/wire/hash.ts: that nobody without the seed chooses the bucket. */
import { hash } from "../../../../lib/core/wire/hash.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";

Deno.test("hash() gives the same number for the same keys and seed, as an int32", () => {
  assertEquals(hash(0x0a000001, 53, 7), hash(0x0a000001, 53, 7));
  assertEquals(hash(0xffff_ffff, 0xffff_ffff, 7), hash(-1, -1, 7));
  assertEquals(hash(1, 2, 3) | 0, hash(1, 2, 3));
});

Deno.test("hash() has no two changes that undo each other under most seeds", () => {
  const random = new Random(5);
  // Of one bit, or two, of the first number; the second number's are what those are at the usual places of a mix.
  const changes = [0x8000_0000, 0x4000_0000, 0xc000_0000, 0x0001_0000, 1];
  const answers = [0x8001_0000, 0x8000_0000, 0x4000_8000, 0xc001_8000, 0x0001_0000, 1, 0];
  for (const change of changes) {
    for (const answer of answers) {
      let equal = 0;
      for (let i = 0; i < 1_000; i++) {
        const [a, b, seed] = [random.uint32(), random.uint32(), random.uint32()];
        if (hash(a, b, seed) === hash(a ^ change, b ^ answer, seed)) equal++;
      }
      assert(equal < 10, `${change.toString(16)} and ${answer.toString(16)}: ${equal} of 1,000`);
    }
  }
});

Deno.test("hash() spreads keys that differ in a few bits alone, with any seed", () => {
  for (const seed of [0, 1, 0x8000_0000, 0xffff_ffff]) {
    for (const shift of [0, 8, 16, 20]) {
      const buckets = new Uint16Array(1024);
      for (let i = 0; i < 4096; i++) buckets[hash(i << shift, i, seed) & 1023]!++;
      // Four a bucket: 20 is beyond what chance gives in a million tables.
      assert(Math.max(...buckets) < 20, `seed ${seed}, shift ${shift}`);
    }
  }
});
