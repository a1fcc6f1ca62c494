/** Tests of `lib/dns/forwarder.ts`: whom it asks, what it takes for an answer, what it keeps; upstreams are scripted. */
import { Forwarder, type Transport } from "../../lib/dns/forwarder.ts";
import { parse, responseCode } from "../../lib/dns/message.ts";
import { assert, assertEquals, assertNotEquals } from "../support/assert.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { Random } from "../support/random.ts";
import {
  addressData,
  ANSWER_FLAGS,
  buildAnswer,
  buildQuery,
  questionOf,
  RESPONSE,
  TRUNCATED,
  TYPE_OPT,
} from "./messages.ts";

const FIRST = 1;
const SECOND = 2;
const SERVER_FAILURE = 2;
const NAME_ERROR = 3;
const NOT_IMPLEMENTED = 4;
const DATA = addressData("198.51.100.77");
const FORGED = addressData("203.0.113.66");
const COOKIE = { name: [0], type: TYPE_OPT, recordClass: 1232, timeToLive: 0 };

interface Exchange {
  readonly upstream: number;
  readonly transport: Transport;
  readonly query: Uint8Array;
}

/** What an upstream says to a query: each message in turn, until one is taken. */
type Upstream = (exchange: Exchange) => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;

/** A forwarder in front of scripted upstreams. */
class Script {
  readonly clock = new FakeClock();
  readonly exchanges: Exchange[] = [];
  readonly forwarder: Forwarder;

  constructor(upstream: Upstream, upstreams: readonly number[] = [FIRST, SECOND]) {
    const random = new Random(7);
    this.forwarder = new Forwarder({
      upstreams,
      exchange: async (upstreamAddress, query, transport, accept) => {
        const exchange = { upstream: upstreamAddress, transport, query };
        this.exchanges.push(exchange);
        return (await upstream(exchange)).find((message) => accept(message)) ?? null;
      },
      now: () => this.clock.now,
      randomId: () => random.below(0x10000),
    });
  }

  /** Who was asked, in order. */
  get asked(): string[] {
    return this.exchanges.map(({ upstream, transport }) => `${upstream} ${transport}`);
  }
}

const right: Upstream = ({ query }) => [answerTo(query)];

function answerTo(query: Uint8Array, timeToLive = 60): Uint8Array {
  return buildAnswer(query, { answers: [{ timeToLive, data: DATA }] });
}

function failing(query: Uint8Array): Uint8Array {
  return buildAnswer(query, { flags: ANSWER_FLAGS | SERVER_FAILURE });
}

Deno.test("answer() brings the first upstream's answer under the asker's id", async () => {
  const script = new Script(right);
  const query = buildQuery({ id: 77 });
  assertEquals(await script.forwarder.answer(query, "udp"), answerTo(query));
  assertEquals(script.asked, ["1 udp"]);
});

Deno.test("answer() asks under ids of its own, which differ", async () => {
  const script = new Script(right);
  for (let i = 0; i < 20; i++) {
    await script.forwarder.answer(buildQuery({ id: 77, name: `${i}.example` }), "udp");
  }
  const ids = script.exchanges.map(({ query }) => parse(query)!.id);
  assertEquals(new Set(ids).size, 20);
  assert(!ids.includes(77), `${ids}`);
});

Deno.test("answer() asks nobody when it has the answer still, and counts its time down", async () => {
  const script = new Script(right);
  await script.forwarder.answer(buildQuery(), "udp");
  script.clock.advance(20_500);
  const query = buildQuery({ id: 9, name: "WWW.example" });
  assertEquals(await script.forwarder.answer(query, "tcp"), answerTo(query, 40));
  assertEquals(script.asked.length, 1);
  script.clock.advance(39_500);
  assertEquals(await script.forwarder.answer(query, "udp"), answerTo(query));
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
    const script = new Script(({ query }) => [
      buildAnswer(query, { flags: ANSWER_FLAGS | code, authorities: [authority] }),
    ], [FIRST]);
    for (let i = 0; i < 2; i++) {
      const answer = await script.forwarder.answer(buildQuery(), "udp");
      assertEquals(responseCode(parse(answer!)!.flags), code);
    }
    assertEquals(script.exchanges.length, count, `code ${code}`);
  }
});

Deno.test("answer() asks the second upstream when the first is silent or fails", async () => {
  const silent = new Script(({ upstream, query }) => upstream === FIRST ? [] : [answerTo(query)]);
  assertEquals(await silent.forwarder.answer(buildQuery(), "udp"), answerTo(buildQuery()));
  assertEquals(silent.asked, ["1 udp", "2 udp"]);
  const failed = new Script(({ upstream, query }) => [
    upstream === FIRST ? failing(query) : answerTo(query),
  ]);
  assertEquals(await failed.forwarder.answer(buildQuery(), "udp"), answerTo(buildQuery()));
});

Deno.test("answer() says SERVFAIL when no upstream answers, and keeps nothing of it", async () => {
  const script = new Script(() => []);
  const query = buildQuery();
  assertEquals(await script.forwarder.answer(query, "udp"), failing(query));
  await script.forwarder.answer(query, "udp");
  assertEquals(script.exchanges.length, 4);
});

Deno.test("answer() asks by TCP when the answer by UDP was cut short", async () => {
  const long = Array.from({ length: 100 }, () => ({ timeToLive: 60, data: DATA }));
  const script = new Script(({ query, transport }) => [
    transport === "udp"
      ? buildAnswer(query, { flags: ANSWER_FLAGS | TRUNCATED })
      : buildAnswer(query, { answers: long }),
  ]);
  const { forwarder } = script;
  const query = buildQuery();
  const whole = buildAnswer(query, { answers: long });
  assertEquals(await forwarder.answer(query, "tcp"), whole);
  assertEquals(script.asked, ["1 udp", "1 tcp"]);
  // By UDP as much as the asker has room for: all, or the word to come again by TCP.
  const cut = buildAnswer(query, { flags: ANSWER_FLAGS | TRUNCATED });
  assertEquals(await forwarder.answer(query, "udp"), cut);
  assertEquals(script.exchanges.length, 2);
  const roomy = buildQuery({ udpSize: 4096 });
  assertEquals((await forwarder.answer(roomy, "udp"))!.length, whole.length);
  const close = buildQuery({ udpSize: whole.length - 1 });
  assertEquals((await forwarder.answer(close, "udp"))!.length, cut.length);
});

Deno.test("answer() goes on to the second upstream when the first has no TCP", async () => {
  const script = new Script(({ upstream, query, transport }) => {
    if (transport === "tcp") return [];
    const flags = upstream === FIRST ? ANSWER_FLAGS | TRUNCATED : ANSWER_FLAGS;
    return [buildAnswer(query, { flags, answers: [{ timeToLive: 60, data: DATA }] })];
  });
  assertEquals(await script.forwarder.answer(buildQuery(), "udp"), answerTo(buildQuery()));
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
    const script = new Script(({ query }) => [forge(query), answerTo(query)]);
    const answer = await script.forwarder.answer(buildQuery(), "udp");
    assertEquals(answer, answerTo(buildQuery()), `forgery ${index}`);
    // And nothing of it was kept.
    assertEquals(await script.forwarder.answer(buildQuery(), "udp"), answer);
    const alone = new Script(({ query }) => [forge(query)], [FIRST]);
    assertEquals(await alone.forwarder.answer(buildQuery(), "udp"), failing(buildQuery()));
  }
});

Deno.test("answer() takes an answer that spells the name in its own way", async () => {
  const script = new Script(({ query }) => {
    const { id } = parse(query)!;
    return [answerTo(buildQuery({ id, name: "www.EXAMPLE" }))];
  });
  const answer = await script.forwarder.answer(buildQuery(), "udp");
  assertEquals(questionOf(answer!).name.toLowerCase(), "www.example");
});

Deno.test("answer() passes no cookies on, neither way, and no OPT to whom has none", async () => {
  const script = new Script(({ query }) => [
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
    assertEquals(await script.forwarder.answer(cookie, "udp"), buildAnswer(plain, bare));
  }
  const asked = script.exchanges[0]!.query;
  assertEquals(asked.subarray(2), buildQuery({ udpSize: 1232 }).subarray(2));
  assertEquals(await script.forwarder.answer(plain, "udp"), answerTo(plain));
});

Deno.test("answer() keeps silent about answers and fragments of a header", async () => {
  const script = new Script(right);
  assertEquals(await script.forwarder.answer(answerTo(buildQuery()), "udp"), null);
  const response = buildQuery({ flags: RESPONSE });
  assertEquals(await script.forwarder.answer(response, "udp"), null);
  assertEquals(await script.forwarder.answer(buildQuery().subarray(0, 11), "udp"), null);
  assertEquals(script.exchanges, []);
});

Deno.test("answer() forwards queries only, and well-formed ones", async () => {
  const script = new Script(right);
  const code = async (query: Uint8Array) => (await script.forwarder.answer(query, "udp"))![3]! & 15;
  // Opcode 5: UPDATE.
  assertEquals(await code(buildQuery({ flags: 5 << 11 })), NOT_IMPLEMENTED);
  assertEquals(await code(buildQuery().subarray(0, 20)), 1);
  assertEquals(script.exchanges, []);
});

Deno.test("answer() refuses at once when too many queries are under way", async () => {
  const gate = Promise.withResolvers<void>();
  const script = new Script(async ({ query }) => {
    await gate.promise;
    return [answerTo(query)];
  });
  const { forwarder } = script;
  const ask = (i: number) => forwarder.answer(buildQuery({ name: `${i}.example` }), "udp");
  const underWay = Array.from({ length: 256 }, (_, i) => ask(i));
  const refused = await ask(256);
  assertEquals(responseCode(parse(refused!)!.flags), SERVER_FAILURE);
  gate.resolve();
  for (const answer of await Promise.all(underWay)) {
    assertEquals(responseCode(parse(answer!)!.flags), 0);
  }
  // And there is room again.
  assertEquals(responseCode(parse((await ask(256))!)!.flags), 0);
  assertNotEquals(script.exchanges.length, 256);
});

Deno.test("answer() makes room again when an exchange throws", async () => {
  let broken = true;
  const script = new Script(({ query }) => {
    if (broken) throw new Error("no more sockets");
    return [answerTo(query)];
  });
  for (let i = 0; i < 300; i++) {
    await script.forwarder.answer(buildQuery(), "udp").catch(() => null);
  }
  broken = false;
  assertEquals(await script.forwarder.answer(buildQuery(), "udp"), answerTo(buildQuery()));
});
