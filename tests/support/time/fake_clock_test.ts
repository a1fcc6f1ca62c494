/** Tests of tests/support/time/fake_clock.ts. */
import { assertEquals, assertThrows } from "../assert.ts";
import { FakeClock } from "./fake_clock.ts";

Deno.test("FakeClock moves only forwards and only when told to", () => {
  const clock = new FakeClock(500);
  assertEquals(clock.now, 500);
  assertEquals(clock.advance(250), 750);
  assertEquals(clock.advanceTo(1_000), 1_000);
  assertEquals(clock.now, 1_000);
  assertThrows(() => clock.advance(-1), Error, "current time is 1000");
  assertThrows(() => clock.advanceTo(Number.NaN), Error, "Cannot set the clock");
});
