/**
 * Tests with hostile bytes as DNS messages, of clients and of upstreams: nothing throws, nothing is read beyond the
 * message.
 */
import {
  addressesIn,
  answerFor,
  cacheKey,
  failure,
  parse,
  RCODE_FORMAT_ERROR,
  truncated,
} from "../../../lib/core/dns/message.ts";
import { BlockReader } from "../../../lib/core/dns/block_reader.ts";
import { LocalZone } from "../../../lib/core/dns/local_zone.ts";
import { blockedAnswer, questionOf } from "../../../lib/core/dns/own_answer.ts";
import { domainsOf, wireName } from "../../../lib/core/dns/wire_name.ts";
import { atOnce } from "../../../lib/core/config/at_once.ts";
import { relevantAnswer } from "../../../lib/core/dns/relevant_answer.ts";
import { judge, randomSize, upstreamQuery } from "../../../lib/core/dns/upstream_query.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { fuzz } from "../../support/fuzz.ts";
import type { Random } from "../../support/random.ts";
import {
  addressData,
  buildAnswer,
  buildQuery,
  soaData,
  TYPE_OPT,
  TYPE_SOA,
} from "../../support/dns/messages.ts";

const QUERY = buildQuery();
const DATA = addressData("198.51.100.77");
const COOKIE = { name: [0], type: TYPE_OPT, recordClass: 1232, timeToLive: 0 };
const TYPE_CNAME = 5;
const TYPE_PTR = 12;

const QUERIES = [QUERY, buildQuery({ udpSize: 1232, dnssecOk: true })];
const ANSWERS = [
  buildAnswer(QUERY, { answers: [{ data: DATA }], additional: [COOKIE] }),
  buildAnswer(QUERY, { authorities: [{ type: TYPE_SOA, data: soaData(60) }] }),
  // An alias of a name in the question's domain, by a compression pointer.
  buildAnswer(QUERY, { answers: [{ type: TYPE_CNAME, data: [1, 97, 0xc0, 12] }] }),
];

function hostile(random: Random, seeds: readonly Uint8Array<ArrayBuffer>[]): Uint8Array {
  return random.chance(0.1) ? random.bytes(random.below(80)) : random.mutate(random.pick(seeds), 6);
}

Deno.test("no message makes the functions throw, whatever it says", () => {
  let taken = 0;
  fuzz((random) => {
    const message = hostile(random, [...QUERIES, ...ANSWERS]);
    if (message.length >= 12) failure(message, RCODE_FORMAT_ERROR);
    const parsed = parse(message);
    if (parsed === null) return;
    taken++;
    cacheKey(parsed);
    addressesIn(message, parsed);
    answerFor(message, message, { parsed, age: 1 });
    truncated(message, parsed.questionEnd);
    assert(parsed.questionEnd <= message.length);
    for (const at of parsed.timeToLiveOffsets) assert(at + 4 <= message.length);
  });
  assert(taken > 0, "none was taken");
});

Deno.test("what is kept of a hostile answer is a message that answers the same question", () => {
  let kept = 0;
  fuzz((random) => {
    const message = hostile(random, ANSWERS);
    const relevant = relevantAnswer(message, { dnssecOk: random.chance(0.5) });
    if (relevant === null) return;
    kept++;
    const { answer, parsed } = relevant;
    assertEquals(parse(answer)?.question, parsed.question);
    assert(parsed.timeToLive >= 0, `${parsed.timeToLive} s`);
  });
  assert(kept > 0, "none was kept");
});

Deno.test("a hostile query is asked in bytes of ours, and no hostile answer to another is taken", () => {
  let [asked, right] = [0, 0];
  fuzz((random) => {
    const query = hostile(random, QUERIES);
    const question = parse(query);
    if (question === null) return;
    asked++;
    const ours = upstreamQuery(query, question, random.bytes(randomSize(question)));
    assertEquals(parse(ours)?.question, question.question);
    const answer = random.mutate(buildAnswer(random.pick([ours, query])), random.below(3));
    const judgement = judge(ours, answer, { question, anyCase: false });
    if (judgement !== "right") return;
    right++;
    assertEquals(answer.slice(0, 2), ours.slice(0, 2));
    assertEquals(
      answer.slice(12, question.questionEnd),
      ours.slice(12, question.questionEnd),
    );
  });
  assert(asked > 0 && right > 0, `${asked} asked, ${right} right`);
});

Deno.test("what the proxy itself answers to a hostile query is a message that answers the same question", () => {
  const zone = new LocalZone({
    domain: "example",
    hosts: [{ name: "www", addresses: [1, 2] }, { name: "a.b", addresses: [] }],
    networks: [{ address: 0x0a00_0000, mask: 0xff00_0000 }],
  });
  const queries = [
    ...QUERIES,
    buildQuery({ name: "x.a.b.example", type: TYPE_SOA }),
    buildQuery({ name: "4.3.2.10.in-addr.arpa", type: TYPE_PTR, udpSize: 512 }),
  ];
  let answered = 0;
  fuzz((random) => {
    const query = hostile(random, queries);
    const parsed = parse(query);
    if (parsed === null) return;
    const { name } = questionOf(parsed);
    const limit = random.chance(0.1) ? 40 : 512;
    const domain = [...domainsOf(name)].at(-1) ?? null;
    const answers = [
      zone.answer(query, parsed, limit),
      blockedAnswer(query, parsed, domain, limit),
    ];
    for (const answer of answers) {
      if (answer === null) continue;
      answered++;
      assertEquals(parse(answer)?.question, parsed.question);
      assertEquals([answer[0], answer[1]], [query[0], query[1]]);
    }
  });
  assert(answered > 0, "none was answered");
});

Deno.test("no bytes make a block list of names that they do not have, nor the reader throw", () => {
  const lines =
    "0.0.0.0 ads.example\n||bad.example^\r\n@@||ok.example^\n# x\nplain.example\n*.y.example\n";
  const seed = new TextEncoder().encode(lines);
  let names = 0;
  fuzz((random) => {
    const bytes = random.chance(0.1) ? random.bytes(random.below(80)) : random.mutate(seed, 6);
    const taken: string[] = [];
    const reader = new BlockReader({
      add: ({ bytes, start, end }) =>
        taken.push(String.fromCharCode(...bytes.subarray(start, end))),
    });
    for (let at = 0; at < bytes.length;) {
      const size = 1 + random.below(40);
      atOnce(reader.take(bytes.subarray(at, at + size)));
      at += size;
    }
    reader.end();
    names += taken.length;
    const text = String.fromCharCode(...bytes).toLowerCase();
    for (const name of taken) {
      assert(text.includes(name), `${name} in ${text}`);
      assert(wireName(name) !== null && /^[a-z0-9_.-]+$/.test(name), name);
    }
  });
  assert(names > 0, "no name was taken");
});
