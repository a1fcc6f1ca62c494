/**
 * Tests of `lib/core/dns/forwarder.ts`: a client that fills the table of questions loses its own places first;
 * upstreams are scripted.
 */
import { parse, responseCode } from "../../../../lib/core/dns/message.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import {
  ANSWER_FLAGS,
  buildAnswer,
  buildQuery,
  questionOf,
  TRUNCATED,
} from "../../../support/dns/messages.ts";
import {
  answerTo,
  failing,
  FIRST,
  SERVER_FAILURE,
  settled,
  Stage,
  voidless,
} from "../../../support/dns/forwarder_stage.ts";

Deno.test("a client's unanswered questions are refused to nobody else: it loses its own oldest", async () => {
  const script = new Stage(voidless);
  const outcomes: (number | null)[] = [];
  const flood = Array.from({ length: 900 }, async (_, i) => {
    const answer = await script.ask(buildQuery({ name: `void${i}.example` }), {
      client: "hostile",
    });
    outcomes[i] = responseCode(parse(answer!)!.flags);
  });
  await settled();
  // As many sockets as places, however many questions.
  assertEquals(script.open, 512);
  assertEquals(script.forwarder.counts.evicted, flood.length - 512);
  for (let i = 0; i < flood.length; i++) {
    assertEquals(outcomes[i], i < flood.length - 512 ? SERVER_FAILURE : undefined, `${i}`);
  }
  // Slow questions of others stay where they are while the flood goes on.
  const gate = Promise.withResolvers<void>();
  const slow = new Stage(async ({ query }) => {
    if (questionOf(query).name.toLowerCase().startsWith("void")) {
      return await new Promise<never>(() => {});
    }
    await gate.promise;
    return [answerTo(query)];
  });
  const honest = Array.from(
    { length: 20 },
    (_, i) => slow.ask(buildQuery({ name: `slow${i}.example` }), { client: "honest" }),
  );
  for (let i = 0; i < 2_000; i++) {
    slow.ask(buildQuery({ name: `void${i}.example` }), { client: "hostile" });
  }
  await settled();
  gate.resolve();
  for (const answer of await Promise.all(honest)) {
    assertEquals(responseCode(parse(answer!)!.flags), 0);
  }
});

Deno.test("a client's flood of names becomes no flood upstream, and takes nobody else's questions", async () => {
  const script = new Stage(voidless);
  let honest = 0;
  for (let i = 0; i < 60_000; i++) {
    script.clock.advance(0.1);
    script.ask(buildQuery({ name: `void${i}.example` }), { client: "hostile" });
    if (i % 100 !== 0) continue;
    const query = buildQuery({ name: `good${i}.example` });
    assertEquals(await script.ask(query, { client: "honest" }), answerTo(query));
    honest++;
  }
  // Six seconds at 1,000 in each, and what may be asked at once.
  const asked = script.exchanges.length;
  assert(asked <= 8_100, `${asked} questions upstream`);
  assertEquals(script.forwarder.counts.overBudget, 60_000 + honest - asked);
});

Deno.test("a client's questions that need TCP are bounded apart, and take nobody else's", async () => {
  const script = new Stage(({ query, transport }) => [
    transport === "tcp" ? answerTo(query) : buildAnswer(query, { flags: ANSWER_FLAGS | TRUNCATED }),
  ], [FIRST]);
  for (let i = 0; i < 200; i++) {
    await script.ask(buildQuery({ name: `${i}.hostile` }), { client: "hostile" });
  }
  const byTcp = script.asked.filter((each) => each === "1 tcp").length;
  assert(byTcp > 10 && byTcp < 50, `${byTcp}`);
  assertEquals(script.forwarder.counts.overBudget, 200 - byTcp);
  const query = buildQuery({ name: "www.honest" });
  assertEquals(await script.ask(query, { client: "honest" }), answerTo(query));
});

Deno.test("who has asked first and may ask by TCP no more takes the answer from nobody who joins", async () => {
  const gate = Promise.withResolvers<void>();
  let isHeld = false;
  const script = new Stage(async ({ query, transport }) => {
    if (transport === "tcp") return [answerTo(query)];
    if (isHeld) await gate.promise;
    return [buildAnswer(query, { flags: ANSWER_FLAGS | TRUNCATED })];
  }, [FIRST]);
  for (const client of ["hostile", "other"]) {
    for (let i = 0; i < 100; i++) {
      await script.ask(buildQuery({ name: `${i}.${client}` }), { client });
    }
  }
  // By now the hostile one has questions again, but none by TCP.
  script.clock.advance(100);
  isHeld = true;
  const query = buildQuery({ name: "www.honest" });
  const answers = ["hostile", "honest"].map((client) => script.ask(query, { client }));
  gate.resolve();
  assertEquals(await Promise.all(answers), [answerTo(query), answerTo(query)]);
});

Deno.test("a question that several wait for is given up when the last of them has lost its place", async () => {
  const script = new Stage(voidless);
  const shared = buildQuery({ name: "void-shared.example" });
  const first = script.ask(shared, { client: "hostile" });
  let isAnswered = false;
  script.ask(shared, { client: "honest" }).then(() => isAnswered = true);
  for (let i = 0; i < 600; i++) {
    script.ask(buildQuery({ name: `void${i}.example` }), { client: "hostile" });
  }
  assertEquals(await first, failing(shared));
  await settled();
  assertEquals(isAnswered, false);
  // 511 of the hostile client's, and the shared one.
  assertEquals(script.open, 512);
});
