/** Counts and throttle of errors that no caller takes. */
import { FaultLog } from "../../../lib/process/fault_log.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("FaultLog tells the first error of an entry at once, and counts those it suppresses", () => {
  const log = new FaultLog();
  assertEquals(log.add("a", 0), 0);
  for (let i = 0; i < 100_000; i++) assertEquals(log.add("a", 1 + i / 20), -1);
  assertEquals(log.add("b", 2), 0);
  assertEquals(log.add("a", 10_000), 100_000);
  assertEquals(log.add("a", 20_000), 0);
  assertEquals(log.counts(), { a: 100_003, b: 1 });
});
