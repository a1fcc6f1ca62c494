/**
 * Tests with hostile bytes for what reads the control socket: a request is read, refused, or its connection is ended.
 */
import { LineSplitter } from "../../../lib/control/lines.ts";
import { parseRequest, RequestError } from "../../../lib/control/protocol.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { fuzz } from "../../support/fuzz.ts";
import { mutateText } from "../../support/source/grammar.ts";

const REQUESTS = [
  '{"id":1,"method":"status","params":{}}',
  '{"id":"a","method":"peers.add","params":{"peer":{"publicKey":"x","allowedIps":["10.0.0.1/32"]}}}',
  '{"id":1e400,"method":"__proto__","params":{"__proto__":{"a":1}}}',
  '{"id":null,"method":5,"params":[]}',
  "[".repeat(300),
];

Deno.test("parseRequest() reads a hostile line or refuses it with RequestError", () => {
  let [read, refused] = [0, 0];
  fuzz((random) => {
    const line = random.pick(REQUESTS);
    try {
      const request = parseRequest(random.chance(0.7) ? mutateText(random, line) : line);
      read++;
      assert(typeof request.method === "string");
      assert(Object.getPrototypeOf(request.params) === Object.prototype, "params is plain");
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      refused++;
    }
  });
  assert(read > 0 && refused > 0, `${read} read, ${refused} refused`);
});

Deno.test("LineSplitter gives the same lines however its bytes are cut, and none beyond the limit", () => {
  const limit = 20;
  let tooLong = 0;
  fuzz((random) => {
    const bytes = random.bytes(random.below(120)).map((byte) => byte % 7 === 0 ? 0x0a : byte);
    const splitter = new LineSplitter(limit);
    const lines: (string | null)[] = [];
    for (let at = 0; at < bytes.length && lines.at(-1) !== null;) {
      const end = Math.min(bytes.length, at + random.between(1, 30));
      lines.push(...splitter.push(bytes.subarray(at, end)));
      at = end;
    }
    if (lines.at(-1) === null) {
      tooLong++;
      lines.pop();
    }
    const decoder = new TextDecoder();
    const expected: string[] = [];
    for (let at = 0; expected.length < lines.length;) {
      const end = bytes.indexOf(0x0a, at);
      assert(end >= 0 && end - at <= limit, "a line that is not there, or is too long");
      expected.push(decoder.decode(bytes.subarray(at, end)));
      at = end + 1;
    }
    assertEquals(lines, expected);
  });
  assert(tooLong > 0, "no line was too long");
});
