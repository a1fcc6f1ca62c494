/**
 * Tests of `lib/core/dns/forwarder.ts`: which upstream is asked, what a dead one costs, and when TCP is used; upstreams
 * are scripted.
 */
import { parse } from "../../../../lib/core/dns/message.ts";
import { assertEquals } from "../../../support/assert.ts";
import {
  ANSWER_FLAGS,
  buildAnswer,
  buildQuery,
  questionOf,
  TRUNCATED,
} from "../../../support/dns/messages.ts";
import {
  answerTo,
  DATA,
  failing,
  FIRST,
  SECOND,
  settled,
  Stage,
  voidless,
} from "../../../support/dns/forwarder_stage.ts";

const NAME_ERROR = 3;

/** Its header alone. */
function withoutQuestion(message: Uint8Array): Uint8Array {
  const header = message.slice(0, 12);
  header.fill(0, 4);
  return header;
}

Deno.test("answer() asks the second upstream when the first is silent or fails", async () => {
  const silent = new Stage(({ upstream, query }) => upstream === FIRST ? [] : [answerTo(query)]);
  assertEquals(await silent.ask(buildQuery()), answerTo(buildQuery()));
  assertEquals(silent.asked, ["1 udp", "2 udp"]);
  const failed = new Stage(({ upstream, query }) => [
    upstream === FIRST ? failing(query) : answerTo(query),
  ]);
  assertEquals(await failed.ask(buildQuery()), answerTo(buildQuery()));
});

Deno.test("answer() asks the second upstream when the first says that it cannot help, with the question or without", async () => {
  // FORMERR, SERVFAIL, NOTIMP, REFUSED.
  for (const code of [1, 2, 4, 5]) {
    for (const isBare of [false, true]) {
      const script = new Stage(({ upstream, query }) => {
        if (upstream === SECOND) return [answerTo(query)];
        const failed = buildAnswer(query, { flags: ANSWER_FLAGS | code });
        return [isBare ? withoutQuestion(failed) : failed];
      });
      assertEquals(await script.ask(buildQuery()), answerTo(buildQuery()), `code ${code}`);
      assertEquals(script.asked, ["1 udp", "2 udp"]);
      assertEquals(script.forwarder.counts.wrongAnswers, 0);
    }
  }
  // What is an answer about a name needs its question; and what has another id is nobody's answer.
  for (const bare of [0, NAME_ERROR]) {
    const script = new Stage(({ query }) => [
      withoutQuestion(buildAnswer(query, { flags: ANSWER_FLAGS | bare })),
      withoutQuestion(buildAnswer(query, { id: parse(query)!.id ^ 1, flags: ANSWER_FLAGS | 5 })),
      answerTo(query),
    ]);
    assertEquals(await script.ask(buildQuery()), answerTo(buildQuery()));
  }
});

Deno.test("answer() says SERVFAIL when no upstream answers, and keeps nothing of it", async () => {
  const script = new Stage(() => []);
  const query = buildQuery();
  assertEquals(await script.ask(query), failing(query));
  await script.ask(query);
  assertEquals(script.exchanges.length, 4);
});

Deno.test("a dead upstream costs its time once: the next question goes to the second at once", async () => {
  const script = new Stage(({ upstream, query }) => upstream === FIRST ? [] : [answerTo(query)]);
  for (let i = 0; i < 4; i++) await script.ask(buildQuery({ name: `${i}.example` }));
  assertEquals(script.asked, ["1 udp", "2 udp", "2 udp", "2 udp", "2 udp"]);
});

Deno.test("a dead upstream is probed beside the one that answers, and comes first again once it answers", async () => {
  let isDead = true;
  const script = new Stage(({ upstream, query }) =>
    isDead && upstream === FIRST ? [] : [answerTo(query)]
  );
  await script.ask(buildQuery());
  script.clock.advance(2_500);
  await script.ask(buildQuery({ name: "1.example" }));
  await settled();
  assertEquals(script.asked.slice(2), ["1 udp", "2 udp"]);
  isDead = false;
  script.clock.advance(5_000);
  await script.ask(buildQuery({ name: "2.example" }));
  await settled();
  assertEquals(script.asked.slice(4), ["1 udp", "2 udp"]);
  await script.ask(buildQuery({ name: "3.example" }));
  assertEquals(script.asked.slice(6), ["1 udp"]);
});

Deno.test("a client waits for no probe of a dead upstream", async () => {
  let isProbe = false;
  const script = new Stage(({ upstream, query }) => {
    if (upstream === SECOND) return [answerTo(query)];
    return isProbe ? new Promise<never>(() => {}) : [];
  });
  await script.ask(buildQuery());
  isProbe = true;
  script.clock.advance(2_500);
  const query = buildQuery({ name: "1.example" });
  assertEquals(await script.ask(query), answerTo(query));
});

Deno.test("where all upstreams are dead, all are asked at once, and the first that answers is alive", async () => {
  let isDead = true;
  const held = new Promise<never>(() => {});
  const script = new Stage(({ upstream, query }) =>
    isDead ? [] : upstream === FIRST ? held : [answerTo(query)]
  );
  assertEquals(await script.ask(buildQuery()), failing(buildQuery()));
  assertEquals(script.asked, ["1 udp", "2 udp"]);
  isDead = false;
  assertEquals(await script.ask(buildQuery()), answerTo(buildQuery()));
  assertEquals(script.asked.slice(2), ["1 udp", "2 udp"]);
  await script.ask(buildQuery({ name: "1.example" }));
  assertEquals(script.asked.slice(4), ["2 udp"]);
});

Deno.test("a name that takes too long makes no dead upstream of one that answers others meanwhile", async () => {
  const gate = Promise.withResolvers<void>();
  const script = new Stage(async ({ upstream, query }) => {
    if (upstream === FIRST && questionOf(query).name.toLowerCase() === "slow.example") {
      await gate.promise;
      return [];
    }
    return [answerTo(query)];
  });
  const slow = script.ask(buildQuery({ name: "slow.example" }));
  await script.ask(buildQuery());
  gate.resolve();
  await slow;
  await script.ask(buildQuery({ name: "1.example" }));
  assertEquals(script.asked.at(-1), "1 udp");
  assertEquals(script.health, []);
});

Deno.test("a question that nobody waits for any more says nothing of its upstream's health", async () => {
  const script = new Stage(voidless);
  for (let i = 0; i < 520; i++) script.ask(buildQuery({ name: `void${i}.example` }));
  await settled();
  const query = buildQuery({ name: "good.example" });
  assertEquals(await script.ask(query, { client: "other" }), answerTo(query));
  assertEquals(script.asked.at(-1), "1 udp");
});

Deno.test("a client is told of a failure at once where only a dead upstream is left to ask", async () => {
  const script = new Stage(({ upstream, query }) => upstream === FIRST ? [] : [failing(query)]);
  await script.ask(buildQuery());
  assertEquals(await script.ask(buildQuery()), failing(buildQuery()));
  assertEquals(script.asked, ["1 udp", "2 udp", "2 udp"]);
});

Deno.test("answer() asks by TCP when the answer by UDP was cut short", async () => {
  const long = Array.from({ length: 100 }, () => ({ timeToLive: 60, data: DATA }));
  const script = new Stage(({ query, transport }) => [
    transport === "udp"
      ? buildAnswer(query, { flags: ANSWER_FLAGS | TRUNCATED })
      : buildAnswer(query, { answers: long }),
  ]);
  const query = buildQuery();
  const whole = buildAnswer(query, { answers: long });
  assertEquals(await script.ask(query, { transport: "tcp" }), whole);
  assertEquals(script.asked, ["1 udp", "1 tcp"]);
  // By UDP as much as the asker has room for: all, or the word to come again by TCP.
  const cut = buildAnswer(query, { flags: ANSWER_FLAGS | TRUNCATED });
  assertEquals(await script.ask(query), cut);
  assertEquals(script.exchanges.length, 2);
  const roomy = buildQuery({ udpSize: 4096 });
  assertEquals((await script.ask(roomy))!.length, whole.length);
  const close = buildQuery({ udpSize: whole.length - 1 });
  assertEquals((await script.ask(close))!.length, cut.length);
});

Deno.test("answer() goes on to the second upstream when the first has no TCP", async () => {
  const script = new Stage(({ upstream, query, transport }) => {
    if (transport === "tcp") return [];
    const flags = upstream === FIRST ? ANSWER_FLAGS | TRUNCATED : ANSWER_FLAGS;
    return [buildAnswer(query, { flags, answers: [{ timeToLive: 60, data: DATA }] })];
  });
  assertEquals(await script.ask(buildQuery()), answerTo(buildQuery()));
  assertEquals(script.asked, ["1 udp", "1 tcp", "2 udp"]);
});
