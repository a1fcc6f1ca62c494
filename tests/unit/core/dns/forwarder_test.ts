/**
 * Tests of `lib/core/dns/forwarder.ts`: what is answered, what is kept in the cache, and what is not forwarded;
 * upstreams are scripted.
 */
import { parse, responseCode } from "../../../../lib/core/dns/message.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";
import {
  ANSWER_FLAGS,
  buildAnswer,
  buildQuery,
  RESPONSE,
  TYPE_OPT,
} from "../../../support/dns/messages.ts";
import {
  answerTo,
  DATA,
  failing,
  FIRST,
  inLowerCase,
  inTheOpen,
  right,
  SECOND,
  SERVER_FAILURE,
  Stage,
} from "../../../support/dns/forwarder_stage.ts";

const NAME_ERROR = 3;
const NOT_IMPLEMENTED = 4;
const COOKIE = { name: [0], type: TYPE_OPT, recordClass: 1232, timeToLive: 0 };

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
  stage.forwarder.setUpstreams([inTheOpen(SECOND)]);
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
