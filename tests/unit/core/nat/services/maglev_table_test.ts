/** Tests of the Maglev table: against the slow way to fill it, its balance, and what changes hands. */
import { MaglevTable } from "../../../../../lib/core/nat/services/maglev_table.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import fc from "../../../../support/property.ts";

function names(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `web-${i}:8443`);
}

function filled(all: readonly string[], isEligible: (index: number) => boolean): MaglevTable {
  const table = new MaglevTable(all);
  table.fill(isEligible);
  return table;
}

/** By place. */
function ownersOf(table: MaglevTable): number[] {
  return Array.from({ length: table.size }, (_, place) => table.at(place));
}

function counts(owners: readonly number[], count: number): number[] {
  return Array.from(
    { length: count },
    (_, index) => owners.filter((owner) => owner === index).length,
  );
}

/** Which back ends, as a bit each. */
const SUBSETS = fc.integer({ min: 1, max: 12 }).chain((count) =>
  fc.tuple(fc.constant(count), fc.integer({ min: 0, max: (1 << count) - 1 }))
);

Deno.test("each that may be chosen has as many places as any other, give or take one", () => {
  fc.assert(fc.property(SUBSETS, ([count, subset]) => {
    const isEligible = (index: number) => (subset >> index & 1) !== 0;
    const all = counts(ownersOf(filled(names(count), isEligible)), count);
    const eligible = all.filter((_, index) => isEligible(index));
    assert(all.every((places, index) => isEligible(index) || places === 0));
    if (eligible.length === 0) return;
    assert(Math.max(...eligible) - Math.min(...eligible) <= 1, all.join(", "));
  }));
});

Deno.test("when a back end goes, the places of the others hardly change", () => {
  for (const count of [2, 3, 5, 10]) {
    for (let gone = 0; gone < count; gone++) {
      const before = ownersOf(filled(names(count), () => true));
      const after = ownersOf(filled(names(count), (index) => index !== gone));
      const moved = before.filter((owner, place) =>
        owner !== gone && owner !== after[place]
      ).length;
      const others = before.filter((owner) => owner !== gone).length;
      // Hashing by the remainder of a division would move half of them and more.
      assert(moved / others < 0.08, `${moved} of ${others} moved, ${count} back ends`);
    }
  }
});

Deno.test("the order in which back ends are configured does not matter", () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(names(9), { minLength: 9 }), (shuffled) => {
      const owner = (all: readonly string[]) => {
        const owners = ownersOf(filled(all, () => true));
        return owners.map((index) => all[index]);
      };
      assertEquals(owner(shuffled), owner(names(9)));
    }),
    { numRuns: 10 },
  );
});

Deno.test("every hash, of either sign, has a back end, and none where none may be chosen", () => {
  const table = filled(names(3), () => true);
  for (const hash of [0, 1, -1, 0x7fffffff, -0x80000000]) assert(table.at(hash) >= 0);
  table.fill(() => false);
  assertEquals(table.at(-1), -1);
  assertEquals(new MaglevTable([]).at(5), -1);
});

Deno.test("a table has a hundred places for each back end", () => {
  for (const [count, size] of [[1, 1021], [10, 1021], [11, 4093], [160, 16_381], [600, 65_521]]) {
    assertEquals(new MaglevTable(names(count)).size, size);
  }
});
