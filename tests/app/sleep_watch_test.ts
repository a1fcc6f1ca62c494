/** Tests of the notice that the machine has slept. */
import { FakeTime } from "@std/testing/time.js";
import { watchSleep } from "../../lib/app/sleep_watch.ts";
import { assertEquals } from "../support/assert.ts";

Deno.test("watchSleep() calls once for each sleep of a second and more, and not after it is disposed of", () => {
  using time = new FakeTime();
  let slept = 500;
  let calls = 0;
  const watch = watchSleep(() => slept, () => calls++);
  time.tick(5_000);
  assertEquals(calls, 0);
  slept += 999;
  time.tick(1_000);
  assertEquals(calls, 0);
  slept += 60_000;
  time.tick(5_000);
  assertEquals(calls, 1);
  watch[Symbol.dispose]();
  slept += 60_000;
  time.tick(5_000);
  assertEquals(calls, 1);
});
