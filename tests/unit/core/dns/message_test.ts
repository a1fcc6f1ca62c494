/** Tests of `lib/core/dns/message.ts`: messages taken apart and rebuilt. Any bytes at all: `fuzz_test.ts`. */
import {
  addressesIn,
  answerFor,
  cacheKey,
  failure,
  isQuery,
  parse,
  RCODE_FORMAT_ERROR,
  RCODE_SERVER_FAILURE,
  responseCode,
  truncated,
} from "../../../../lib/core/dns/message.ts";
import { assert, assertEquals, assertNotEquals } from "../../../support/assert.ts";
import {
  addressData,
  ANSWER_FLAGS,
  buildAnswer,
  buildQuery,
  soaData,
  TRUNCATED,
  TYPE_OPT,
  TYPE_SOA,
  TYPE_TXT,
} from "../../../support/dns/messages.ts";

const NAME_ERROR = 3;
const CHECKING_DISABLED = 0x0010;
const AUTHENTIC_DATA = 0x0020;
const DATA = addressData("198.51.100.77");
const query = buildQuery();
/** An OPT record with a cookie (RFC 7873), as `dig` sends it. */
const COOKIE = {
  name: [0],
  type: TYPE_OPT,
  recordClass: 1232,
  timeToLive: 0,
  data: [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
};

function u32(message: Uint8Array, at: number): number {
  return new DataView(message.buffer, message.byteOffset).getUint32(at);
}

Deno.test("parse() reads id, question and sizes of a query", () => {
  const parsed = parse(buildQuery({ id: 0xabcd, name: "a.example" }))!;
  assertEquals([parsed.id, parsed.flags], [0xabcd, 0x0100]);
  assertEquals(parsed.questionEnd, 12 + 11 + 4);
  assertEquals([parsed.hasExtension, parsed.udpSize, parsed.dnssecOk], [false, 512, false]);
  assert(isQuery(parsed.flags));
});

Deno.test("parse() reads the sender's UDP size, at least 512, and whether it wants DNSSEC", () => {
  const sizes = [0, 511, 512, 1232, 65535].map((udpSize) =>
    parse(buildQuery({ udpSize }))!.udpSize
  );
  assertEquals(sizes, [512, 512, 512, 1232, 65535]);
  const { hasExtension, dnssecOk } = parse(buildQuery({ udpSize: 1232, dnssecOk: true }))!;
  assertEquals([hasExtension, dnssecOk], [true, true]);
});

Deno.test("parse() gives the same question whatever the case of its letters", () => {
  const question = (name: string, type?: number) =>
    parse(buildQuery(type === undefined ? { name } : { name, type }))!.question;
  assertEquals(question("WWW.eXample"), question("www.example"));
  assertNotEquals(question("www.example", 28), question("www.example"));
  assertNotEquals(question("wwwx.example"), question("www.example"));
  // Type and class are numbers, not letters.
  assertNotEquals(question("www.example", 0x41), question("www.example", 0x61));
});

Deno.test("parse() tells bytes of a name apart that are no letters of ASCII", () => {
  const withByte = (byte: number) => {
    const message = buildQuery({ name: "x.example" });
    message[13] = byte;
    return parse(message)!.question;
  };
  assertNotEquals(withByte(0xc3), withByte(0xe3));
  assertNotEquals(withByte(0x40), withByte(0x60));
});

Deno.test("parse() takes the shortest time to live of the answers", () => {
  const answer = buildAnswer(query, {
    answers: [{ timeToLive: 300, data: DATA }, { timeToLive: 60, data: DATA }],
    authorities: [{ timeToLive: 5, data: DATA }],
    additional: [{ ...COOKIE, timeToLive: 1 }],
  });
  assertEquals(parse(answer)!.timeToLive, 60);
});

Deno.test("parse() takes a time to live with its highest bit set for 0", () => {
  const answer = buildAnswer(query, { answers: [{ timeToLive: 0x8000_0000, data: DATA }] });
  assertEquals(parse(answer)!.timeToLive, 0);
});

Deno.test("parse() keeps what does not exist as long as the SOA says (RFC 2308)", () => {
  const negative = (timeToLive: number, minimum: number, code = NAME_ERROR) =>
    parse(buildAnswer(query, {
      flags: ANSWER_FLAGS | code,
      authorities: [{ type: TYPE_SOA, timeToLive, data: soaData(minimum) }],
    }))!.timeToLive;
  assertEquals(negative(900, 60), 60);
  assertEquals(negative(30, 60), 30);
  assertEquals(negative(900, 60, 0), 60);
  assertEquals(negative(900, 60, RCODE_SERVER_FAILURE), 0);
  assertEquals(parse(buildAnswer(query, { flags: ANSWER_FLAGS | NAME_ERROR }))!.timeToLive, 0);
  const cut = { type: TYPE_SOA, timeToLive: 900, data: [1, 2, 3] };
  assertEquals(parse(buildAnswer(query, { authorities: [cut] }))!.timeToLive, 0);
});

Deno.test("parse() takes nothing but messages with one question", () => {
  for (const count of [0, 2, 0xffff]) {
    const message = query.slice();
    new DataView(message.buffer).setUint16(4, count);
    assertEquals(parse(message), null);
  }
});

Deno.test("parse() takes no message that is cut short anywhere", () => {
  const answer = buildAnswer(query, { answers: [{ data: DATA }], additional: [COOKIE] });
  for (let length = 0; length < answer.length; length++) {
    assertEquals(parse(answer.subarray(0, length)), null, `${length} bytes`);
  }
  assert(parse(answer) !== null);
});

Deno.test("parse() takes no name that is too long or has an unknown label type", () => {
  const long = buildQuery({ name: Array.from({ length: 5 }, () => "x".repeat(60)).join(".") });
  assertEquals(parse(long), null);
  // 255 bytes with all lengths, the last one's included (RFC 1035 section 2.3.4), and 256.
  const labels = ["x", "x", "x"].map((letter) => letter.repeat(63));
  assert(parse(buildQuery({ name: [...labels, "x".repeat(61)].join(".") })) !== null);
  assertEquals(parse(buildQuery({ name: [...labels, "x".repeat(62)].join(".") })), null);
  const unknown = query.slice();
  unknown[12] = 0x41;
  assertEquals(parse(unknown), null);
});

Deno.test("parse() takes no question whose name is a pointer: nothing is before it but the header", () => {
  const pointing = query.slice();
  pointing.set([0xc0, 0], 12);
  assertEquals(parse(pointing), null);
  // The same bytes as labels and then a pointer.
  assertEquals(
    parse(Uint8Array.from([...query.subarray(0, 12), 1, 97, 0xc0, 12, 0, 1, 0, 1])),
    null,
  );
});

Deno.test("parse() follows no compression pointer, so none can lead it in circles", () => {
  const loop = buildAnswer(query, { answers: [{ name: [0xc0, 33], data: DATA }] });
  assert(parse(loop) !== null);
  const atEnd = buildAnswer(query, { answers: [{ name: [0xc0], data: [] }] });
  assertEquals(parse(atEnd), null);
});

Deno.test("cacheKey() differs by all that an answer depends on", () => {
  const keys = [
    buildQuery(),
    buildQuery({ name: "other.example" }),
    buildQuery({ type: 28 }),
    buildQuery({ flags: 0 }),
    buildQuery({ flags: 0x0100 | CHECKING_DISABLED }),
    buildQuery({ flags: 0x0100 | AUTHENTIC_DATA }),
    buildQuery({ udpSize: 1232 }),
    buildQuery({ udpSize: 1232, dnssecOk: true }),
  ].map((message) => cacheKey(parse(message)!));
  assertEquals(new Set(keys).size, keys.length);
  const same = [buildQuery({ id: 1 }), buildQuery({ id: 2, name: "WWW.example" })];
  for (const message of same) assertEquals(cacheKey(parse(message)!), keys[0]);
});

Deno.test("answerFor() has the asker's id and spelling, and times to live that have run on", () => {
  const kept = buildAnswer(query, {
    answers: [{ timeToLive: 300, data: DATA }],
    additional: [{ ...COOKIE, timeToLive: 0x8000 }],
  });
  const parsed = parse(kept)!;
  const asker = buildQuery({ id: 7, name: "WWW.Example" });
  assertEquals(
    answerFor(asker, kept, { parsed, age: 100 }),
    buildAnswer(asker, {
      answers: [{ timeToLive: 200, data: DATA }],
      // No time to live, but flags.
      additional: [{ ...COOKIE, timeToLive: 0x8000 }],
    }),
  );
  const [offset] = parsed.timeToLiveOffsets;
  assertEquals(u32(answerFor(asker, kept, { parsed, age: 301 }), offset!), 0);
  assertEquals(u32(kept, offset!), 300);
});

Deno.test("answerFor() cuts what is longer than the asker takes, and copies none of it", () => {
  const asked = buildQuery({ id: 9, name: "WWW.example" });
  const answer = buildAnswer(query, { answers: [{ timeToLive: 60, data: DATA }] });
  const parsed = parse(answer)!;
  const limited = (limit: number) => answerFor(asked, answer, { parsed, age: 20, limit });
  assertEquals(limited(answer.length - 1), buildAnswer(asked, { flags: ANSWER_FLAGS | TRUNCATED }));
  assertEquals(limited(answer.length - 1).buffer.byteLength, parsed.questionEnd);
  assertEquals(
    limited(answer.length),
    buildAnswer(asked, { answers: [{ timeToLive: 40, data: DATA }] }),
  );
});

Deno.test("truncated() keeps the question and nothing else", () => {
  const answer = buildAnswer(query, { answers: [{ data: DATA }], additional: [COOKIE] });
  const cut = truncated(answer, parse(answer)!.questionEnd);
  assertEquals(cut, buildAnswer(query, { flags: ANSWER_FLAGS | TRUNCATED }));
});

Deno.test("failure() answers the question with the code, or the header where there is none", () => {
  const refused = failure(buildQuery({ udpSize: 1232 }), RCODE_SERVER_FAILURE);
  assertEquals(refused, buildAnswer(query, { flags: ANSWER_FLAGS | RCODE_SERVER_FAILURE }));
  const malformed = failure(query.subarray(0, 20), RCODE_FORMAT_ERROR);
  assertEquals(malformed.length, 12);
  assertEquals(responseCode(malformed[3]!), RCODE_FORMAT_ERROR);
  assertEquals([...malformed.subarray(4)], [0, 0, 0, 0, 0, 0, 0, 0]);
});

Deno.test("addressesIn() finds the addresses among the answers, whatever else is there", () => {
  const message = buildAnswer(query, {
    answers: [
      { type: TYPE_TXT, data: [3, 1, 2, 3] },
      { data: DATA },
      { data: addressData("203.0.113.9") },
      { data: [1, 2, 3] },
    ],
    additional: [{ data: addressData("192.0.2.1") }],
  });
  assertEquals(addressesIn(message, parse(message)!), [0xc633644d, 0xcb007109]);
  assertEquals(addressesIn(query, parse(query)!), []);
});
