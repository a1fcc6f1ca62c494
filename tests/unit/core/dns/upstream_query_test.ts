/** Shows what the judgement of a message that has come back costs. */
import { parse } from "../../../../lib/core/dns/message.ts";
import { judge } from "../../../../lib/core/dns/upstream_query.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { addressData, buildAnswer, buildQuery } from "../../../support/dns/messages.ts";

Deno.test("a message to another query is known by its id, whatever else is in it", () => {
  const asked = buildQuery({ id: 0x1234 });
  const records = Array.from({ length: 1_000 }, () => ({
    timeToLive: 60,
    data: addressData("192.0.2.1"),
  }));
  const answer = buildAnswer(buildQuery({ id: 0x1235 }), { answers: records });
  let looks = 0;
  const message = new Proxy(answer, {
    get: (target, key) => {
      looks++;
      const value = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const question = parse(asked)!;
  assertEquals(judge(asked, message, { question, anyCase: true }), "wrong");
  assert(looks < 10, `${looks} looks`);
});
