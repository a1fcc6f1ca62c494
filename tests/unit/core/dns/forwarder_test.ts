/** Tests of `lib/core/dns/forwarder.ts`: whom it asks, what it takes for an answer, what it keeps; upstreams are scripted. */
import { Forwarder, type Transport } from "../../../../lib/core/dns/forwarder.ts";
import { parse, responseCode } from "../../../../lib/core/dns/message.ts";
import type { Exchange, Verdict } from "../../../../lib/core/dns/upstream.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { FakeClock } from "../../../support/time/fake_clock.ts";
import { Random } from "../../../support/random.ts";
import {
  addressData,
  ANSWER_FLAGS,
  buildAnswer,
  buildQuery,
  questionOf,
  RESPONSE,
  TRUNCATED,
  TYPE_OPT,
} from "../../../support/dns/messages.ts";

const FIRST = 1;
const SECOND = 2;
const SERVER_FAILURE = 2;
const NAME_ERROR = 3;
const NOT_IMPLEMENTED = 4;
const DATA = addressData("198.51.100.77");
const FORGED = addressData("203.0.113.66");
const COOKIE = { name: [0], type: TYPE_OPT, recordClass: 1232, timeToLive: 0 };

const CLIENT = "client";

interface Asked {
  readonly upstream: number;
  readonly transport: Transport;
  readonly query: Uint8Array;
}

/** What an upstream says to a query: each message in turn, until one is taken. */
type Script = (asked: Asked) => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;

/** A forwarder in front of scripted upstreams. */
class Stage {
  readonly clock = new FakeClock();
  readonly exchanges: Asked[] = [];
  readonly errors: unknown[] = [];
  /** What was told of upstreams. */
  readonly health: string[] = [];
  readonly forwarder: Forwarder;
  /** Exchanges under way. */
  open = 0;

  constructor(script: Script, upstreams: readonly number[] = [FIRST, SECOND]) {
    const random = new Random(7);
    this.forwarder = new Forwarder({
      upstreams,
      exchange: (upstream, query, transport, verdict) =>
        this.#exchange(script, { upstream, transport, query }, verdict),
      now: () => this.clock.now,
      random: (size) => random.bytes(size),
      onError: (error) => this.errors.push(error),
      onHealth: (address, isAlive) => this.health.push(`${address} ${isAlive ? "alive" : "dead"}`),
    });
  }

  /** Who was asked, in order. */
  get asked(): string[] {
    return this.exchanges.map(({ upstream, transport }) => `${upstream} ${transport}`);
  }

  ask(
    query: Uint8Array,
    { transport = "udp", client = CLIENT }: { transport?: Transport; client?: string } = {},
  ): Promise<Uint8Array | null> {
    return this.forwarder.answer(query, { transport, client });
  }

  #exchange(
    script: Script,
    asked: Asked,
    verdict: (message: Uint8Array) => Verdict,
  ): Exchange {
    this.exchanges.push(asked);
    this.open++;
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | null>();
    const run = async () => {
      for (const message of await script(asked)) {
        const judgement = verdict(message);
        if (judgement !== "wait") return judgement === "take" ? message : null;
      }
      return null;
    };
    run().then(resolve, reject);
    return {
      answer: promise.finally(() => this.open--),
      cancel: () => resolve(null),
    };
  }
}

const right: Script = ({ query }) => [answerTo(query)];

function answerTo(query: Uint8Array, timeToLive = 60): Uint8Array {
  return buildAnswer(query, { answers: [{ timeToLive, data: DATA }] });
}

/** Its header alone. */
function withoutQuestion(message: Uint8Array): Uint8Array {
  const header = message.slice(0, 12);
  header.fill(0, 4);
  return header;
}

function failing(query: Uint8Array): Uint8Array {
  return buildAnswer(query, { flags: ANSWER_FLAGS | SERVER_FAILURE });
}

Deno.test("answer() brings the first upstream's answer under the asker's id", async () => {
  const script = new Stage(right);
  const query = buildQuery({ id: 77 });
  assertEquals(await script.ask(query), answerTo(query));
  assertEquals(script.asked, ["1 udp"]);
});

Deno.test("setUpstreams() has others asked from then on, while what is under way goes on", async () => {
  const late = Promise.withResolvers<Uint8Array[]>();
  const stage = new Stage((asked) => asked.upstream === FIRST ? late.promise : right(asked), [
    FIRST,
  ]);
  const waiting = stage.ask(buildQuery({ id: 1, name: "a.example" }));
  stage.forwarder.setUpstreams([SECOND]);
  const query = buildQuery({ id: 2, name: "b.example" });
  assertEquals(await stage.ask(query), answerTo(query));
  late.resolve([]);
  // The one from before has nothing to say: that is no fault, and no verdict on the new one.
  await waiting;
  assertEquals(stage.asked.at(-1), "2 udp");
  assertEquals([stage.errors, stage.health], [[], []]);
});

Deno.test("answer() asks under ids of its own, which differ", async () => {
  const script = new Stage(right);
  for (let i = 0; i < 20; i++) {
    await script.ask(buildQuery({ id: 77, name: `${i}.example` }));
  }
  const ids = script.exchanges.map(({ query }) => parse(query)!.id);
  assertEquals(new Set(ids).size, 20);
  assert(!ids.includes(77), `${ids}`);
});

Deno.test("answer() asks nobody when it has the answer still, and counts its time down", async () => {
  const script = new Stage(right);
  await script.ask(buildQuery());
  script.clock.advance(20_500);
  const query = buildQuery({ id: 9, name: "WWW.example" });
  assertEquals(await script.ask(query, { transport: "tcp" }), answerTo(query, 40));
  assertEquals(script.asked.length, 1);
  script.clock.advance(39_500);
  assertEquals(await script.ask(query), answerTo(query));
  assertEquals(script.asked.length, 2);
});

Deno.test("answer() keeps that there is no such name, and not that somebody failed", async () => {
  for (
    const [code, timeToLive, count] of [[NAME_ERROR, 60, 1], [SERVER_FAILURE, 60, 2]] as const
  ) {
    const authority = {
      type: 6,
      timeToLive,
      data: [...new Array<number>(18).fill(0), 0, 0, 0, 60],
    };
    const script = new Stage(({ query }) => [
      buildAnswer(query, { flags: ANSWER_FLAGS | code, authorities: [authority] }),
    ], [FIRST]);
    for (let i = 0; i < 2; i++) {
      const answer = await script.ask(buildQuery());
      assertEquals(responseCode(parse(answer!)!.flags), code);
    }
    assertEquals(script.exchanges.length, count, `code ${code}`);
  }
});

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

Deno.test("answer() passes no cookies on, neither way, and no OPT to whom has none", async () => {
  const script = new Stage(({ query }) => [
    buildAnswer(query, {
      answers: [{ timeToLive: 60, data: DATA }],
      additional: parse(query)!.hasExtension ? [{ ...COOKIE, data: [0, 10, 0, 2, 7, 7] }] : [],
    }),
  ]);
  const plain = buildQuery();
  // As `buildAnswer()` makes it, with the counts of a query.
  const cookie = buildAnswer(plain, {
    flags: 0x0100,
    additional: [{ ...COOKIE, data: [0, 10, 0, 2, 1, 2] }],
  });
  const bare = { answers: [{ timeToLive: 60, data: DATA }], additional: [COOKIE] };
  for (let i = 0; i < 2; i++) {
    assertEquals(await script.ask(cookie), buildAnswer(plain, bare));
  }
  const asked = script.exchanges[0]!.query;
  assertEquals(inLowerCase(asked).subarray(2), buildQuery({ udpSize: 1232 }).subarray(2));
  assertEquals(await script.ask(plain), answerTo(plain));
});

Deno.test("answer() keeps silent about answers and fragments of a header", async () => {
  const script = new Stage(right);
  assertEquals(await script.ask(answerTo(buildQuery())), null);
  const response = buildQuery({ flags: RESPONSE });
  assertEquals(await script.ask(response), null);
  assertEquals(await script.ask(buildQuery().subarray(0, 11)), null);
  assertEquals(script.exchanges, []);
});

Deno.test("answer() forwards queries only, and well-formed ones", async () => {
  const script = new Stage(right);
  const code = async (query: Uint8Array) => (await script.ask(query))![3]! & 15;
  // Opcode 5: UPDATE.
  assertEquals(await code(buildQuery({ flags: 5 << 11 })), NOT_IMPLEMENTED);
  assertEquals(await code(buildQuery().subarray(0, 20)), 1);
  assertEquals(script.exchanges, []);
});

Deno.test("answer() makes room again when an exchange throws", async () => {
  let broken = true;
  const script = new Stage(({ query }) => {
    if (broken) throw new Error("no more sockets");
    return [answerTo(query)];
  });
  for (let i = 0; i < 600; i++) {
    assertEquals(await script.ask(buildQuery()), failing(buildQuery()));
  }
  assertEquals(script.errors.length, 600);
  broken = false;
  assertEquals(await script.ask(buildQuery()), answerTo(buildQuery()));
});

// What somebody off the path would have to guess.

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

Deno.test("equal questions under way are one question upstream, no matter who asks them in which spelling", async () => {
  const gate = Promise.withResolvers<void>();
  const script = new Stage(async ({ query }) => {
    await gate.promise;
    return [answerTo(query, 0)];
  });
  const queries = Array.from(
    { length: 256 },
    (_, id) => buildQuery({ id, name: id % 2 === 0 ? "www.example" : "WWW.example" }),
  );
  const answers = queries.map((query, i) => script.ask(query, { client: `${i % 3}` }));
  gate.resolve();
  for (const [i, answer] of (await Promise.all(answers)).entries()) {
    assertEquals(answer, answerTo(queries[i]!, 0));
  }
  assertEquals(script.asked, ["1 udp"]);
  assertEquals(script.forwarder.counts.merged, 255);
  // And it is asked again when it is answered.
  await script.ask(buildQuery());
  assertEquals(script.asked.length, 2);
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

// Who fills the table loses his own place first.

/** Answers what is not about nothing. */
const voidless: Script = ({ query }) =>
  questionOf(query).name.toLowerCase().startsWith("void")
    ? new Promise<never>(() => {})
    : [answerTo(query)];

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

Deno.test("no bytes of clients or upstreams end anything, and what is answered is a message", async () => {
  const random = new Random(11);
  const script = new Stage(({ query }) => {
    const answers = [
      answerTo(query),
      buildAnswer(query, { answers: [{ type: 5, data: [1, 97, 0xc0, 12] }] }),
    ];
    return Array.from({ length: 3 }, () => {
      const message = random.mutate(random.pick(answers), 6);
      // Some with the right id and name, so that more than their head is read.
      if (random.below(2) === 0) message.set(query.subarray(0, Math.min(30, message.length)));
      return message;
    });
  });
  const queries = [
    buildQuery({ name: "www.Some-name.example" }),
    buildQuery({ udpSize: 1232, dnssecOk: true }),
  ];
  let answered = 0;
  for (let round = 0; round < 5_000; round++) {
    script.clock.advance(5);
    const query = round % 10 === 0
      ? random.bytes(random.below(80))
      : random.mutate(random.pick(queries), 4);
    const transport = random.pick(["udp", "tcp"] as const);
    const answer = await script.ask(query, { transport });
    if (answer === null) continue;
    answered++;
    assertEquals([answer[0], answer[1]], [query[0], query[1]]);
    assert((answer[2]! & 0x80) !== 0);
    if (parse(query) !== null) assert(parse(answer) !== null);
  }
  assert(answered > 1_000, `${answered} were answered`);
  assertEquals(script.errors, []);
});

/** Lets all promises go on that can. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0));
}

/** A message with its name in lower case, as a server that knows no better repeats it. */
function inLowerCase(message: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(message);
  for (let at = 12; copy[at] !== 0; at++) {
    if (copy[at]! >= 0x41 && copy[at]! <= 0x5a) copy[at]! |= 0x20;
  }
  return copy;
}
