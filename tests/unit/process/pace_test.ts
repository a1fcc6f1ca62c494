/** Tests that long work is done in slices, and comes to the same as at once. */
import { atOnce } from "../../../lib/core/config/at_once.ts";
import { chunked, paced } from "../../../lib/process/pace.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { FakeClock } from "../../support/time/fake_clock.ts";

/** Work of so many steps, each of which takes some time. */
function* work(clock: FakeClock, steps: number, ms: number): Generator<void, number> {
  for (let step = 0; step < steps; step++) {
    clock.advance(ms);
    yield;
  }
  return steps;
}

Deno.test("paced() lets others have their turn whenever ten milliseconds have passed", async () => {
  for (const [steps, ms] of [[1_000, 1], [10_000, 0.1], [100, 9], [20, 25]] as const) {
    const clock = new FakeClock();
    const rests: number[] = [];
    const result = await paced(work(clock, steps, ms), {
      now: () => clock.now,
      rest: () => {
        rests.push(clock.now);
        // However long the others take, a slice begins again behind them.
        clock.advance(500);
        return Promise.resolve();
      },
    });
    assertEquals(result, steps);
    assert(rests.length >= Math.floor(steps * ms / (10 + ms)) - 1, `${rests.length} rests`);
    for (const [index, at] of rests.entries()) {
      const begun = index === 0 ? new FakeClock().now : rests[index - 1]! + 500;
      assert(at - begun <= 10 + ms, `a slice of ${at - begun} ms`);
    }
  }
});

Deno.test("paced() does little work without a rest", async () => {
  const clock = new FakeClock();
  const rest = () => Promise.reject(new Error("it rests"));
  assertEquals(await paced(work(clock, 9, 1), { now: () => clock.now, rest }), 9);
});

Deno.test("paced() lets a timer pass between slices", async () => {
  let passed = 0;
  const timer = setInterval(() => passed++, 0);
  function* untilPassed(): Generator<void, void> {
    while (passed < 3) yield;
  }
  await paced(untilPassed());
  clearInterval(timer);
  assert(passed >= 3);
});

Deno.test("of several that are paced at once, one goes on in a turn of the event loop", async () => {
  const timers: (() => void)[] = [];
  const { setTimeout } = globalThis;
  using restored = new DisposableStack();
  restored.defer(() => globalThis.setTimeout = setTimeout);
  const keep = (handler: () => void) => timers.push(handler);
  globalThis.setTimeout = keep as unknown as typeof setTimeout;
  // Each step is a slice.
  let time = 0;
  const now = () => time += 100;
  let isDone = false;
  function* fiveSteps(): Generator<void, void> {
    for (let step = 0; step < 5; step++) yield;
  }
  Promise.all(Array.from({ length: 8 }, () => paced(fiveSteps(), { now }))).then(() =>
    isDone = true
  );
  let turns = 0;
  let most = 0;
  for (; !isDone; turns++) {
    const due = timers.splice(0);
    most = Math.max(most, due.length);
    for (const handler of due) handler();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assertEquals(most, 1);
  assert(turns >= 8 * 5 - 1, `${turns} turns for 40 slices`);
});

function* broken(): Generator<void, void> {
  yield;
  throw new RangeError("no");
}

Deno.test("work in steps comes to the same, and its errors are its caller's", async () => {
  assertEquals(await paced(chunked(["a", "b", "", "c"])), ["abc"]);
  assertEquals(atOnce(chunked(["a", "b", "", "c"])), ["abc"]);
  assertEquals(atOnce(chunked([])), []);
  const long = Array.from({ length: 1_000 }, (_, i) => `${i}`.padStart(100));
  const chunks = atOnce(chunked(long));
  assertEquals(chunks.join(""), long.join(""));
  assert(chunks.length > 2 && chunks.every(({ length }) => length < 33_000));
  let error: unknown;
  try {
    await paced(broken());
  } catch (caught) {
    error = caught;
  }
  assert(error instanceof RangeError);
});
