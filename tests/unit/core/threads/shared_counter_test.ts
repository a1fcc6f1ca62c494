/** Tests of lib/core/threads/shared_counter.ts: by every order in which threads may draw. */
import {
  MAX_SHARED_COUNTERS,
  SharedCounter,
  Turn,
} from "../../../../lib/core/threads/shared_counter.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { everyInterleaving } from "../../../support/interleavings.ts";

/** Draws as a thread does: as many in each turn. */
function draws(words: Int32Array, turns: readonly number[]): number[] {
  const turn = new Turn();
  const counter = new SharedCounter(words, 0, turn);
  return turns.flatMap((count) => {
    const taken = Array.from({ length: count }, () => counter.take());
    turn.end();
    return taken;
  });
}

function words(value = 0): Int32Array {
  return Int32Array.of(value);
}

Deno.test("no counter is taken twice, whatever the order in which threads draw", () => {
  const plans: readonly (readonly number[])[][] = [
    [[3, 1], [2, 2]],
    [[4], [1, 1, 1]],
    [[2], [2], [1]],
    [[1], [1], [1], [1]],
  ];
  for (const plan of plans) {
    const count = everyInterleaving(() => {
      const shared = words();
      return {
        threads: plan.map((turns) => () => draws(shared, turns)),
        check: (results) => {
          const all = results.flat();
          assertEquals(new Set(all).size, all.length, `${JSON.stringify(results)}`);
          assert(all.every((low) => low >= 0 && low < shared[0]!));
        },
      };
    });
    assert(count > 20, `${count} orders`);
  }
});

Deno.test("each thread's counters rise, and at most half of those drawn in a turn are never used", () => {
  for (let count = 1; count < 500; count++) {
    const shared = words();
    const taken = draws(shared, [count]);
    assert(taken.every((low, i) => i === 0 || low > taken[i - 1]!));
    assert(shared[0]! <= 2 * count, `${shared[0]} drawn for ${count}`);
  }
});

Deno.test("a thread that was held up uses no counter that is 4,096 behind the others'", () => {
  const shared = words();
  const turn = new Turn();
  const slow = new SharedCounter(shared, 0, turn);
  for (let i = 0; i < 100; i++) slow.take();
  draws(shared, [5_000]);
  const next = slow.take();
  assert(shared[0]! - next <= 64, `${shared[0]! - next} behind`);
});

Deno.test("counters of one turn and the next are apart by what was left of a block", () => {
  const shared = words();
  // Blocks of 1, 2 and 4, of which two are left over.
  assertEquals(draws(shared, [5, 1]), [0, 1, 2, 3, 4, 7]);
});

Deno.test("where all counters are used up, none is given, and the word does not come round", () => {
  const shared = words(MAX_SHARED_COUNTERS - 1);
  const taken = draws(shared, Array.from({ length: 1_000 }, () => 3));
  assertEquals(taken.slice(0, 2), [MAX_SHARED_COUNTERS - 1, -1]);
  assert(taken.slice(1).every((low) => low === -1));
  assert(shared[0]! > 0);
});

Deno.test("a counter is untouched until one of the threads has drawn", () => {
  const shared = words();
  const [one, other] = [0, 1].map(() => new SharedCounter(shared, 0, new Turn()));
  assert(one!.isUntouched);
  other!.take();
  assert(!one!.isUntouched);
});
