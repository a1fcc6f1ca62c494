/** Shows that those who ask at about the same time share an answer which is no older than their questions. */
import { joint } from "../../../../lib/core/limits/joint_answer.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";

/** A joint question whose answers the test gives. */
function setUp() {
  const asked: PromiseWithResolvers<string>[] = [];
  const ask = joint(() => {
    asked.push(Promise.withResolvers());
    return asked.at(-1)!.promise;
  });
  return { asked, ask };
}

Deno.test("joint() puts a question once for all who ask while an answer is under way", async () => {
  const { asked, ask } = setUp();
  const first = ask();
  const others = [ask(), ask(), ask()];
  assertEquals(asked.length, 1);
  asked[0]!.resolve("a");
  assertEquals(await first, "a");
  await Promise.resolve();
  assertEquals(asked.length, 2);
  const last = ask();
  asked[1]!.resolve("b");
  assertEquals(await Promise.all(others), ["b", "b", "b"]);
  await Promise.resolve();
  assertEquals(asked.length, 3);
  asked[2]!.resolve("c");
  assertEquals(await last, "c");
});

Deno.test("joint() asks again where nothing is under way, and an error is nobody's but of those who asked", async () => {
  const { asked, ask } = setUp();
  const [first, second] = [ask(), ask()];
  asked[0]!.reject(new Error("gone"));
  await assertRejects(() => first, Error, "gone");
  await Promise.resolve();
  asked[1]!.resolve("back");
  assertEquals(await second, "back");
  const third = ask();
  asked[2]!.resolve("again");
  assertEquals(await third, "again");
});
