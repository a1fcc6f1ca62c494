/** Tests of the DNS forwarder with resolvers that are asked by TLS. */
import { parse, responseCode } from "../../../../lib/core/dns/message.ts";
import { assertEquals, assertNotEquals } from "../../../support/assert.ts";
import {
  answerTo,
  FIRST,
  inLowerCase,
  right,
  SECOND,
  SERVER_FAILURE,
  Stage,
} from "../../../support/dns/forwarder_stage.ts";
import { buildQuery } from "../../../support/dns/messages.ts";

const SECURE = { address: FIRST, tlsName: "dns.example" };
const OTHER = { address: SECOND, tlsName: "dns2.example" };
const QUERY = buildQuery({ name: "www.example" });
const CODE = (answer: Uint8Array | null) => responseCode(parse(answer!)!.flags);

Deno.test("a resolver with a name is asked by TLS alone, in the client's spelling, under an id of ours", async () => {
  const stage = new Stage(right, [SECURE]);
  assertEquals(CODE(await stage.ask(QUERY)), 0);
  assertEquals(stage.asked, [`${FIRST} tls`]);
  const [{ query }] = stage.exchanges as [typeof stage.exchanges[0]];
  assertEquals(query.subarray(12), QUERY.subarray(12));
  assertNotEquals(query.subarray(0, 2), QUERY.subarray(0, 2));
});

Deno.test("one that does not answer by TLS is asked no other way: the next is asked", async () => {
  const silent = new Stage(() => [], [SECURE]);
  assertEquals(CODE(await silent.ask(QUERY)), SERVER_FAILURE);
  assertEquals(silent.asked, [`${FIRST} tls`]);
  const stage = new Stage((asked) => asked.upstream === FIRST ? [] : right(asked), [SECURE, OTHER]);
  assertEquals(CODE(await stage.ask(QUERY)), 0);
  assertEquals(stage.asked, [`${FIRST} tls`, `${SECOND} tls`]);
});

Deno.test("answers to other questions on the same connection are passed over", async () => {
  const other = buildQuery({ name: "other.example" });
  const stage = new Stage(({ query }) => [answerTo(other), answerTo(query)], [SECURE]);
  assertEquals(CODE(await stage.ask(QUERY)), 0);
});

Deno.test("the spelling of an answer does not matter by TLS, where nobody else can answer", async () => {
  const stage = new Stage(({ query }) => [inLowerCase(answerTo(query))], [SECURE]);
  assertEquals(CODE(await stage.ask(buildQuery({ name: "WWW.Example" }))), 0);
  assertEquals(stage.asked, [`${FIRST} tls`]);
});

Deno.test("the same resolver with and without a name is two", async () => {
  const open = { address: FIRST, tlsName: null };
  const stage = new Stage((asked) => asked.transport === "tls" ? [] : right(asked), [SECURE, open]);
  assertEquals(CODE(await stage.ask(QUERY)), 0);
  assertEquals(stage.asked, [`${FIRST} tls`, `${FIRST} udp`]);
});
