/** Tests that those who ask at about the same time share one answer. */
import { shared } from "../../../../lib/services/metrics/shared.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";

/** A shared question whose answers the test gives. */
function setUp() {
  const asked: PromiseWithResolvers<string>[] = [];
  const clock = { now: 1_000 };
  const ask = shared(() => {
    asked.push(Promise.withResolvers());
    return asked.at(-1)!.promise;
  }, { lifetime: 250, now: () => clock.now });
  return { asked, clock, ask };
}

Deno.test("shared() asks once while an answer is under way, however long it takes", async () => {
  const { asked, clock, ask } = setUp();
  const one = ask();
  clock.now += 10_000;
  const other = ask();
  assertEquals(asked.length, 1);
  asked[0]!.resolve("a");
  assertEquals([await one, await other], ["a", "a"]);
});

Deno.test("shared() gives the last answer for its lifetime, and then asks again", async () => {
  const { asked, clock, ask } = setUp();
  const first = ask();
  clock.now += 100;
  asked[0]!.resolve("a");
  await first;
  clock.now += 250;
  assertEquals(await ask(), "a");
  clock.now += 1;
  const second = ask();
  assertEquals(asked.length, 2);
  clock.now += 10_000;
  const third = ask();
  assertEquals(asked.length, 2);
  asked[1]!.resolve("b");
  assertEquals([await second, await third], ["b", "b"]);
});

Deno.test("shared() passes an error on to all, and asks again later", async () => {
  const { asked, clock, ask } = setUp();
  const [one, other] = [ask(), ask()];
  asked[0]!.reject(new Error("gone"));
  await assertRejects(() => one, Error, "gone");
  await assertRejects(() => other, Error, "gone");
  clock.now += 251;
  const second = ask();
  asked[1]!.resolve("back");
  assertEquals(await second, "back");
});
