/** Shows how lines of bars are drawn. */
import { sparkline } from "../../../lib/cli/sparkline.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("sparkline() draws each value against the highest, and nothing as a blank", () => {
  assertEquals(sparkline([0, 1, 2, 3, 4, 5, 6, 7, 8], 9), " ▂▃▄▅▆▇██");
  assertEquals(sparkline([1000, 1], 2), "█▁");
});

Deno.test("sparkline() is as wide as asked for: old values go, missing ones are blanks", () => {
  assertEquals(sparkline([9, 9, 1, 8], 2), "▂█");
  assertEquals(sparkline([8], 4), "   █");
  assertEquals(sparkline([], 3), "   ");
});

Deno.test("sparkline() of nothing but zeros is blank", () => {
  assertEquals(sparkline([0, 0, 0], 3), "   ");
});
