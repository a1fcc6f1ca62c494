/**
 * Tests of `lib/core/dns/relevant_answer.ts`: what belongs to a question, how long it may be kept, and that nothing
 * else is left.
 */
import { parse } from "../../../../lib/core/dns/message.ts";
import { relevantAnswer } from "../../../../lib/core/dns/relevant_answer.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";
import {
  addressData,
  ANSWER_FLAGS,
  buildAnswer,
  buildQuery,
  encodeName,
  type RecordFields,
  soaData,
  TYPE_OPT,
  TYPE_SOA,
  TYPE_TXT,
} from "../../../support/dns/messages.ts";

const NAME_ERROR = 3;
const TYPE_NS = 2;
const TYPE_CNAME = 5;
const TYPE_MX = 15;
const TYPE_DNAME = 39;
const TYPE_RRSIG = 46;
const TYPE_NSEC = 47;
const DATA = addressData("198.51.100.77");
const EVIL = { name: encodeName("bank.example"), data: addressData("203.0.113.66") };
const query = buildQuery({ name: "www.shop.example" });
const OPT = { name: [0], type: TYPE_OPT, recordClass: 1232, timeToLive: 0x8000 };

function kept(fields: Parameters<typeof buildAnswer>[1], dnssecOk = false) {
  return relevantAnswer(buildAnswer(query, fields), { dnssecOk });
}

/** A CNAME, its owner the question's name unless given. */
function alias(target: string, owner?: string): RecordFields {
  return {
    type: TYPE_CNAME,
    data: encodeName(target),
    ...owner === undefined ? {} : { name: encodeName(owner) },
  };
}

const SOA = (owner: string, minimum = 60) => ({
  name: encodeName(owner),
  type: TYPE_SOA,
  timeToLive: 900,
  data: soaData(minimum),
});

/** Counts of answers, authorities and additional records. */
function counts(result: ReturnType<typeof kept>): number[] {
  const view = new DataView(result!.answer.buffer);
  return [6, 8, 10].map((at) => view.getUint16(at));
}

Deno.test("an answer of what belongs to its question stays byte by byte as it is", () => {
  const answer = buildAnswer(query, {
    answers: [{ data: DATA }, { type: TYPE_TXT, data: [1, 65] }],
    additional: [OPT],
  });
  assertEquals(relevantAnswer(answer, { dnssecOk: false })!.answer, answer);
});

Deno.test("records of other names are left out, in whichever section and order they stand", () => {
  const clean = kept({ answers: [{ data: DATA }] })!.answer;
  for (
    const fields of [
      { answers: [{ data: DATA }, EVIL] },
      { answers: [EVIL, { data: DATA }] },
      { answers: [{ data: DATA }], authorities: [{ ...EVIL, type: TYPE_NS, data: [0] }] },
      { answers: [{ data: DATA }], additional: [EVIL] },
      { answers: [{ data: DATA }], additional: [{ data: DATA }] },
      { answers: [{ data: DATA }, { data: DATA, recordClass: 3 }] },
    ]
  ) {
    assertEquals(kept(fields)!.answer, clean);
  }
});

Deno.test("the chain of CNAMEs belongs to the question, in any order, and what hangs on no link of it does not", () => {
  const chain = [
    alias("CDN.example"),
    alias("edge.cdn.example", "cdn.example"),
    { name: encodeName("EDGE.cdn.example"), data: DATA, timeToLive: 30 },
  ];
  for (const answers of [chain, chain.toReversed()]) {
    const result = kept({ answers: [...answers, EVIL, alias("evil.example", "bank.example")] })!;
    assertEquals(counts(result), [3, 0, 0]);
    assertEquals(result.parsed.timeToLive, 30);
  }
  // A loop ends.
  const loop = kept({ answers: [alias("cdn.example"), alias("www.shop.example", "cdn.example")] })!;
  assertEquals(counts(loop), [2, 0, 0]);
});

Deno.test("a question for a CNAME does not lead on", () => {
  const asked = buildQuery({ name: "www.shop.example", type: TYPE_CNAME });
  const message = buildAnswer(asked, {
    answers: [alias("cdn.example"), { name: encodeName("cdn.example"), data: DATA }],
  });
  const result = relevantAnswer(message, { dnssecOk: false })!;
  assertEquals(counts(result), [1, 0, 0]);
  assertEquals(result.parsed.timeToLive, 300);
});

Deno.test("a DNAME above a name of the chain belongs to it, one of another domain does not", () => {
  const name = (owner: string) => ({
    name: encodeName(owner),
    type: TYPE_DNAME,
    data: encodeName("other.example"),
  });
  const rest = [alias("www.other.example"), { name: encodeName("www.other.example"), data: DATA }];
  assertEquals(counts(kept({ answers: [name("shop.example"), ...rest] })), [3, 0, 0]);
  assertEquals(counts(kept({ answers: [name("hop.example"), ...rest] })), [2, 0, 0]);
});

Deno.test("that there is nothing is kept as long as the SOA of a domain above says, three hours at most (RFC 2308)", () => {
  const flags = ANSWER_FLAGS | NAME_ERROR;
  const time = (owner: string, minimum?: number, answers: RecordFields[] = []) =>
    kept({ flags, answers, authorities: [SOA(owner, minimum)] })!.parsed.timeToLive;
  assertEquals(time("shop.example"), 60);
  assertEquals(time("www.shop.example"), 60);
  assertEquals(time("shop.example", 900_000), 900);
  assertEquals(
    kept({ flags, authorities: [{ ...SOA("example", 1e6), timeToLive: 1e6 }] })!.parsed.timeToLive,
    10_800,
  );
  // Of a domain that the name is not in, and of none.
  const foreign = kept({ flags, authorities: [SOA("bank.example")] });
  assertEquals([foreign!.parsed.timeToLive, ...counts(foreign)], [0, 0, 0, 0]);
  assertEquals(kept({ flags })!.parsed.timeToLive, 0);
});

Deno.test("a chain that leads to nothing is kept no longer than that there is nothing", () => {
  const answers = [alias("cdn.example")];
  assertEquals(kept({ answers })!.parsed.timeToLive, 0);
  const result = kept({ answers, authorities: [SOA("example", 20)] })!;
  assertEquals([result.parsed.timeToLive, ...counts(result)], [20, 1, 1, 0]);
});

Deno.test("times to live are at most a day, and 0 with their highest bit set (RFC 2181)", () => {
  const time = (timeToLive: number) => {
    const { parsed, answer } = kept({ answers: [{ data: DATA, timeToLive }] })!;
    const written = new DataView(answer.buffer).getUint32(parsed.timeToLiveOffsets[0]!);
    assertEquals(written, parsed.timeToLive);
    return written;
  };
  assertEquals([59, 86_401, 0x7fff_ffff, 0x8000_0000].map(time), [59, 86_400, 86_400, 0]);
});

Deno.test("what proves an answer is for those who ask for it", () => {
  const signature = { type: TYPE_RRSIG, data: [0, 1, ...new Array<number>(20).fill(0)] };
  const proof = { name: encodeName("v.shop.example"), type: TYPE_NSEC, data: [0] };
  const foreign = { name: encodeName("shop.example"), type: TYPE_NS, data: [0] };
  const fields = { answers: [{ data: DATA }, signature], authorities: [proof, foreign] };
  assertEquals(counts(kept(fields, false)), [2, 0, 0]);
  assertEquals(counts(kept(fields, true)), [2, 1, 0]);
});

Deno.test("names in data are written out where a pointer led to what is left out", () => {
  const asked = buildQuery({ name: "shop.example", type: TYPE_MX });
  // The first record's name is at 12 + 14 + 4; the second one's data point there.
  const message = buildAnswer(asked, {
    answers: [EVIL, { type: TYPE_MX, data: [0, 10, 0xc0, 30] }],
  });
  const expected = buildAnswer(asked, {
    answers: [{ type: TYPE_MX, data: [0, 10, 4, ...new TextEncoder().encode("bank"), 0xc0, 17] }],
  });
  assertEquals(relevantAnswer(message, { dnssecOk: false })!.answer, expected);
});

Deno.test("names whose labels are of other bytes are other names, whatever they look like together", () => {
  // One label "shop\7example" of 12 bytes in place of two.
  const odd = [
    12,
    ...new TextEncoder().encode("shop"),
    7,
    ...new TextEncoder().encode("example"),
    0,
  ];
  const flags = ANSWER_FLAGS | NAME_ERROR;
  const result = kept({ flags, authorities: [{ ...SOA("example"), name: odd }] });
  assertEquals(counts(result), [0, 0, 0]);
});

Deno.test("no message makes it throw, and what it gives is a message that stays as it is", () => {
  const random = new Random(5);
  const seeds = [
    buildAnswer(query, { answers: [alias("cdn.example"), EVIL], additional: [OPT] }),
    buildAnswer(query, { answers: [{ type: TYPE_MX, data: [0, 1, 0xc0, 12] }] }),
    buildAnswer(query, { authorities: [SOA("example")] }),
  ];
  let taken = 0;
  for (let round = 0; round < 20_000; round++) {
    const message = random.mutate(random.pick(seeds), 8);
    const result = relevantAnswer(message, { dnssecOk: true });
    if (result === null) continue;
    taken++;
    assert(parse(result.answer) !== null);
    assertEquals(relevantAnswer(result.answer, { dnssecOk: true })!.answer, result.answer);
  }
  assert(taken > 1_000, `${taken} were taken`);
});
