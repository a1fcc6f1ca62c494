/**
 * Tests of `lib/core/dns/forwarder.ts`: what an attacker off the path would have to guess, and what is believed of an
 * answer; upstreams are scripted.
 */
import { parse } from "../../../../lib/core/dns/message.ts";
import { assertEquals } from "../../../support/assert.ts";
import { addressData, buildAnswer, buildQuery, questionOf } from "../../../support/dns/messages.ts";
import {
  answerTo,
  DATA,
  failing,
  FIRST,
  inLowerCase,
  Stage,
} from "../../../support/dns/forwarder_stage.ts";

const FORGED = addressData("203.0.113.66");

Deno.test("answer() takes no answer that is not to its question (RFC 5452)", async () => {
  const forgeries: readonly ((query: Uint8Array) => Uint8Array)[] = [
    (query) => buildAnswer(query, { id: parse(query)!.id ^ 1, answers: [{ data: FORGED }] }),
    (query) =>
      buildAnswer(buildQuery({ id: parse(query)!.id, name: "wwv.example" }), {
        answers: [{ data: FORGED }],
      }),
    (query) =>
      buildAnswer(buildQuery({ id: parse(query)!.id, type: 28 }), { answers: [{ data: FORGED }] }),
    // The query itself, as an echo server sends it back.
    (query) => query,
    (query) => query.slice(0, 13),
    () => new Uint8Array(),
  ];
  for (const [index, forge] of forgeries.entries()) {
    const script = new Stage(({ query }) => [forge(query), answerTo(query)]);
    const answer = await script.ask(buildQuery());
    assertEquals(answer, answerTo(buildQuery()), `forgery ${index}`);
    // And nothing of it was kept.
    assertEquals(await script.ask(buildQuery()), answer);
    const alone = new Stage(({ query }) => [forge(query)], [FIRST]);
    assertEquals(await alone.ask(buildQuery()), failing(buildQuery()));
  }
});

Deno.test("the name is asked for in a spelling that is drawn for each question, and answered in the asker's", async () => {
  const script = new Stage(({ query }) => [answerTo(query, 0)]);
  const query = buildQuery({ name: "wwW.Some-Long-Name.Example" });
  for (let i = 0; i < 20; i++) assertEquals(await script.ask(query), answerTo(query, 0));
  const spellings = script.exchanges.map((asked) => questionOf(asked.query).name);
  assertEquals(new Set(spellings).size, 20);
  for (const spelling of spellings) {
    assertEquals(spelling.toLowerCase(), "www.some-long-name.example");
  }
});

Deno.test("an answer in another spelling is not taken: TCP decides", async () => {
  const script = new Stage(({ query, transport }) => [
    transport === "udp"
      ? buildAnswer(inLowerCase(query), { answers: [{ data: FORGED }] })
      : answerTo(query),
  ]);
  assertEquals(await script.ask(buildQuery()), answerTo(buildQuery()));
  assertEquals(script.asked, ["1 udp", "1 tcp"]);
  assertEquals(script.forwarder.counts.wrongAnswers, 1);
  // That was a forger, so the next question is asked with as much care.
  await script.ask(buildQuery({ name: "other-name.example" }));
  assertEquals(script.asked.slice(2), ["1 udp", "1 tcp"]);
});

Deno.test("a server that changes the spelling by TCP as well is asked without that check from then on", async () => {
  const script = new Stage(({ query }) => [answerTo(inLowerCase(query))]);
  const query = buildQuery({ name: "WWW.Example" });
  assertEquals(await script.ask(query), answerTo(query));
  const other = buildQuery({ name: "OTHER.example" });
  assertEquals(await script.ask(other), answerTo(other));
  assertEquals(script.asked, ["1 udp", "1 tcp", "1 udp"]);
});

Deno.test("a server that changes the spelling and has no TCP answers all the same, at once from its second question on", async () => {
  const script = new Stage(
    ({ query, transport }) => transport === "tcp" ? [] : [answerTo(inLowerCase(query))],
  );
  const query = buildQuery({ name: "WWW.Example" });
  assertEquals(await script.ask(query), answerTo(query));
  const other = buildQuery({ name: "OTHER.example" });
  assertEquals(await script.ask(other), answerTo(other));
  assertEquals(script.asked, ["1 udp", "1 tcp", "1 udp", "1 udp"]);
});

Deno.test("one forged spelling, where the server has no TCP, costs it another question and no check of later ones", async () => {
  let isForged = true;
  const script = new Stage(({ query, transport }) => {
    if (transport === "tcp") return [];
    const forged = buildAnswer(inLowerCase(query), { answers: [{ data: FORGED }] });
    const messages = isForged ? [forged] : [answerTo(query)];
    isForged = false;
    return messages;
  }, [FIRST]);
  assertEquals(await script.ask(buildQuery()), answerTo(buildQuery()));
  assertEquals(script.asked, ["1 udp", "1 tcp", "1 udp"]);
  isForged = true;
  await script.ask(buildQuery({ name: "other-name.example" }));
  assertEquals(script.asked.slice(3), ["1 udp", "1 tcp", "1 udp"]);
});

Deno.test("wrong answers that keep coming end UDP for the question: TCP decides, and all are counted", async () => {
  const wrong = (query: Uint8Array, difference: number) =>
    buildAnswer(query, {
      id: parse(query)!.id ^ difference,
      answers: [{ data: FORGED }],
    });
  const script = new Stage(({ query, transport }) =>
    transport === "tcp"
      ? [answerTo(query)]
      : [1, 2, 3].map((difference) => wrong(query, difference)).concat(
        buildAnswer(query, { answers: [{ data: FORGED }] }),
      )
  );
  assertEquals(await script.ask(buildQuery()), answerTo(buildQuery()));
  assertEquals(script.asked, ["1 udp", "1 tcp"]);
  assertEquals(script.forwarder.counts.wrongAnswers, 3);
});

Deno.test("what an answer says of other names answers no question for them", async () => {
  const bank = [4, 98, 97, 110, 107, 7, 101, 120, 97, 109, 112, 108, 101, 0];
  const evil = { name: bank, data: FORGED };
  const script = new Stage(({ query }) => [
    questionOf(query).name.toLowerCase() === "bank.example" ? answerTo(query) : buildAnswer(query, {
      answers: [{ timeToLive: 60, data: DATA }, evil],
      authorities: [{ ...evil, type: 2, data: bank }],
      additional: [evil],
    }),
  ]);
  assertEquals(await script.ask(buildQuery()), answerTo(buildQuery()));
  const query = buildQuery({ name: "bank.example" });
  assertEquals(await script.ask(query), answerTo(query));
  assertEquals(script.asked.length, 2);
});
