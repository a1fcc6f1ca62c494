/** Tests of the notice that the machine has slept. */
import { watchSleep } from "../../../lib/process/sleep_watch.ts";
import { assertEquals } from "../../support/assert.ts";
import { FakeTimers } from "../../support/time/fake_timers.ts";

Deno.test("watchSleep() calls once for each sleep of a second and more, and not after it is disposed of", async () => {
  using timers = new FakeTimers();
  let slept = 500;
  let calls = 0;
  const watch = watchSleep(() => slept, () => calls++, { interval: 1_000 });
  await timers.advance(3_000);
  assertEquals(calls, 0);
  slept += 999;
  await timers.advance(3_000);
  assertEquals(calls, 0);
  slept += 60_000;
  await timers.advance(3_000);
  assertEquals(calls, 1);
  watch[Symbol.dispose]();
  slept += 60_000;
  await timers.advance(3_000);
  assertEquals([calls, timers.size], [1, 0]);
});
