/** Tests of the fair cut: the ones with the most lose, down to one level, and exactly as many as there are too many. */
import { fairCut } from "../../../../lib/core/limits/fair_cut.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import fc from "../../../support/property.ts";

Deno.test("who has most comes down to the others' level, and these lose nothing", () => {
  const counts = new Map([["quiet", 3], ["loud", 10], ["louder", 12]]);
  assertEquals([...fairCut(counts, 1)], [["louder", 1]]);
  assertEquals([...fairCut(counts, 4)], [["louder", 3], ["loud", 1]]);
  assertEquals([...fairCut(counts, 17)], [["louder", 10], ["loud", 7]]);
  assertEquals([...fairCut(counts, 25)], [["louder", 12], ["loud", 10], ["quiet", 3]]);
  assertEquals([...fairCut(counts, 99)].length, 3);
  assertEquals([...fairCut(new Map(), 5)], []);
});

Deno.test("whatever the counts are, as many go as have to, and nobody who had less loses more", () => {
  const counts = fc.array(fc.nat(50), { maxLength: 20 });
  fc.assert(fc.property(counts, fc.nat(400), (all, excess) => {
    const cut = fairCut(new Map(all.entries()), excess);
    const sum = all.reduce((total, count) => total + count, 0);
    const gone = [...cut.values()].reduce((total, count) => total + count, 0);
    assertEquals(gone, Math.min(excess, sum));
    const left = all.map((count, owner) => count - (cut.get(owner) ?? 0));
    const highest = Math.max(0, ...left);
    for (const [owner, part] of cut) {
      assert(part > 0 && left[owner]! >= 0);
      // Those that lose something have the most still, but for one, as not each sum can be divided.
      assert(left[owner]! >= highest - 1);
    }
  }));
});
