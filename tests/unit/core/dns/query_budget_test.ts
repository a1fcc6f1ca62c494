/** Tests of `lib/core/dns/query_budget.ts`: how many queries a client has, and that they are its own. */
import { QueryBudget, QuestionBudget } from "../../../../lib/core/dns/query_budget.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

Deno.test("a client's flood takes its own budget and nobody else's", () => {
  const budget = new QueryBudget();
  let taken = 0;
  for (let i = 0; i < 100_000; i++) {
    if (budget.take("hostile", i / 100)) taken++;
    if (i % 100 === 0) assert(budget.take("honest", i / 100), `${i}`);
  }
  // 4,000 at once and 2,000 in the second that it takes.
  assert(Math.abs(taken - 6_000) <= 2, `${taken}`);
  assertEquals(budget.refused, 100_000 - taken);
});

Deno.test("a budget fills again, also when the clock was asked out of order", () => {
  const budget = new QueryBudget();
  for (let i = 0; i < 4_000; i++) assert(budget.take("one", 0));
  assertEquals(budget.take("one", 0), false);
  assertEquals([budget.take("one", 1), budget.take("one", 1), budget.take("one", 0)], [
    true,
    true,
    false,
  ]);
});

Deno.test("long answers count as many queries, of their client alone, and none for ever", () => {
  const budget = new QueryBudget();
  let taken = 0;
  for (let i = 0; i < 100_000; i++) {
    if (!budget.take("hostile", i / 100)) continue;
    taken++;
    budget.charge("hostile", 65_000, i / 100);
  }
  // 4,000 at once and 2,000 in the second that it takes, by 1 and 15 each.
  assert(Math.abs(taken - 6_000 / 16) <= 2, `${taken}`);
  assert(budget.take("honest", 1_000));
  budget.charge("honest", 4_000, 1_000);
  for (let i = 0; i < 3_999; i++) assert(budget.take("honest", 1_000));
  assert(budget.take("hostile", 1_020));
});

Deno.test("a client alone has what others do not use, and each has its own whatever others do", () => {
  const budget = new QuestionBudget();
  const taken = (client: string, count: number, now: number) =>
    Array.from({ length: count }, () => budget.take(client, now)).filter((each) => each).length;
  assertEquals(taken("large", 10_000, 0), 1_000);
  for (let i = 0; i < 10; i++) assertEquals(taken(`small ${i}`, 500, 0), 500);
  assertEquals(taken("large", 10_000, 0), 0);
  // Half a second: the common one is not half full, so that there is its own alone.
  assertEquals(taken("large", 10_000, 500), 100);
  assertEquals(taken("small 0", 10_000, 500), 100);
  // Three seconds later it is full, and its own has as much as comes in them.
  assertEquals(taken("large", 10_000, 3_500), 1_000);
});

Deno.test("questions by TCP count as many, so that one client's long answers take no more than their part", () => {
  const budget = new QuestionBudget();
  const taken = (client: string, count: number, now: number) =>
    Array.from({ length: count }, () => budget.takeTcp(client, now)).filter((each) => each).length;
  // 500 of its own and 1,000 that nobody uses, by 32.
  assertEquals(taken("hostile", 10_000, 0), 15 + 17);
  assertEquals(taken("honest", 10, 0), 10);
  // What a second brings: its own, and of the common one what is above the half.
  assertEquals(taken("hostile", 10_000, 1_000), 6 + 15);
});
