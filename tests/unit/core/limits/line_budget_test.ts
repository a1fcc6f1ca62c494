/** Tests of the budget for log lines about packets. */
import { LineBudget } from "../../../../lib/core/limits/line_budget.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("LineBudget lets so many lines pass in a second, and says how many it refused", () => {
  const budget = new LineBudget(3);
  const taken = Array.from({ length: 1_000 }, (_, i) => budget.take(5_000 + i / 2));
  assertEquals(taken.filter(Boolean).length, 3);
  assertEquals(budget.take(6_000), true);
  assertEquals(budget.takeSuppressed(), 997);
  assertEquals(budget.takeSuppressed(), 0);
});
