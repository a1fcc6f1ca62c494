/** Tests of the demo's limits of time. */
import { patient } from "../../../../lib/commands/demo/patience.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("patient() keeps the limit where processes start as quickly as usual", () => {
  assertEquals(patient(60_000, 250), 60_000);
  assertEquals(patient(5, 1_000), 5);
});

Deno.test("patient() lengthens the limit as much as the start was slow, to a whole number", () => {
  assertEquals(patient(60_000, 8_000), 480_000);
  assertEquals(patient(5, 1_234), 7);
});
