/** Tests of `lib/dataplane/thread/answers.ts`: each answer reaches who asked, in any order, and so does a failure. */
import { Answers } from "../../../../lib/dataplane/thread/answers.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";

Deno.test("answers reach those who asked, once, whatever their order is", async () => {
  const answers = new Answers<{ id: number; text: string }>();
  const [one, other, third] = [answers.expect(), answers.expect(), answers.expect()];
  answers.take({ id: other.id, text: "second" });
  answers.refuse(third.id, new Error("refused"));
  answers.take({ id: other.id, text: "again" });
  answers.take({ id: 99, text: "nobody's" });
  assertEquals((await other.answer).text, "second");
  await assertRejects(() => third.answer, Error, "refused");
  answers.fail(new Error("it has ended"));
  await assertRejects(() => one.answer, Error, "it has ended");
});
