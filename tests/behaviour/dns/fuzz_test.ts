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
