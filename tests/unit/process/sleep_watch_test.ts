/** Tests of the notice that the machine has slept. */
import { watchSleep } from "../../../lib/process/sleep_watch.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("watchSleep() calls once for each sleep of a second and more, and not after it is disposed of", async () => {
  let slept = 500;
  let calls = 0;
  let looks = 0;
  const watch = watchSleep(() => (looks++, slept), () => calls++, { interval: 1 });
  const someLooks = async () => {
    const enough = looks + 3;
    while (looks < enough) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  await someLooks();
  assertEquals(calls, 0);
  slept += 999;
  await someLooks();
  assertEquals(calls, 0);
  slept += 60_000;
  await someLooks();
  assertEquals(calls, 1);
  watch[Symbol.dispose]();
  const last = looks;
  slept += 60_000;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals([calls, looks], [1, last]);
});
