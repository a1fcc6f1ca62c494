/** Shows that moments are noticed on time, whatever the wall clock does. */
import { ExpiryWatch } from "../../../lib/control/expiry_watch.ts";
import { assertEquals } from "../../support/assert.ts";
import { FakeTimers } from "../../support/time/fake_timers.ts";

const START = 1_800_000_000_000;

/** A watch, and how often it has told of a turn; the wall clock follows the timers' but for what is added to it. */
function stage(timers: FakeTimers, moments: readonly number[]) {
  const state = { wall: START, turns: 0 };
  const watch = new ExpiryWatch({ now: () => state.wall, onTurn: () => void state.turns++ });
  watch.watch(moments.map((moment) => START + moment), START);
  return {
    state,
    watch,
    async pass(ms: number): Promise<void> {
      for (let left = ms; left > 0; left--) {
        state.wall++;
        await timers.advance(1);
      }
    },
  };
}

Deno.test("a moment is noticed when it comes, to the millisecond", async () => {
  using timers = new FakeTimers();
  const { state, watch, pass } = stage(timers, [40, 20]);
  using _watch = watch;
  for (const [ms, turns] of [[19, 0], [1, 1], [19, 1], [1, 2], [60, 2]] as const) {
    await pass(ms);
    assertEquals(state.turns, turns, `${state.wall - START} ms`);
  }
});

Deno.test("a step of the clock, forward or back, is noticed within a second", async () => {
  using timers = new FakeTimers();
  const hour = 3_600_000;
  const { state, watch } = stage(timers, [hour]);
  using _watch = watch;
  await timers.advance(5_000);
  assertEquals(state.turns, 0);
  state.wall += 2 * hour;
  await timers.advance(1_000);
  assertEquals(state.turns, 1);
  state.wall -= 2 * hour;
  await timers.advance(1_000);
  assertEquals(state.turns, 2);
  // Also where no timer ran while it went on, as in a machine that sleeps.
  state.wall += 9 * hour;
  await timers.advance(1_000);
  assertEquals(state.turns, 3);
});

Deno.test("what has passed since the caller looked at the clock is told at once", async () => {
  using timers = new FakeTimers();
  let turns = 0;
  using watch = new ExpiryWatch({ now: () => START + 10, onTurn: () => turns++ });
  watch.watch([START + 5], START);
  await timers.advance(0);
  assertEquals(turns, 1);
});

Deno.test("there is no timer while there is nothing to wait for, and none after the end", async () => {
  using timers = new FakeTimers();
  const { watch } = stage(timers, []);
  assertEquals(timers.size, 0);
  watch.watch([START + 1], START);
  assertEquals(timers.size, 1);
  watch[Symbol.dispose]();
  watch.watch([START + 1], START);
  await timers.advance(10);
  assertEquals(timers.size, 0);
});
