/** Shows what is said of a name that is blocked, byte by byte. */
import { blockedAnswer } from "../../../../lib/core/dns/own_answer.ts";
import { parse } from "../../../../lib/core/dns/message.ts";
import { wireName } from "../../../../lib/core/dns/wire_name.ts";
import { assertEquals } from "../../../support/assert.ts";
import {
  buildAnswer,
  buildQuery,
  encodeName,
  TYPE_A,
  TYPE_SOA,
  TYPE_TXT,
} from "../../../support/dns/messages.ts";

const TYPE_AAAA = 28;
const NAME_ERROR = 3;
/** Response, authoritative, recursion desired and available. */
const FLAGS = 0x8580;

function soa(domain: string) {
  return {
    name: encodeName(domain),
    type: TYPE_SOA,
    timeToLive: 60,
    data: [
      ...encodeName(domain),
      ...encodeName("nobody.invalid"),
      ...[0, 0, 0, 1, 0, 0, 14, 16, 0, 0, 2, 88, 0, 1, 81, 128, 0, 0, 0, 60],
    ],
  };
}

Deno.test("a host that is blocked has the address of nowhere, and nothing else", () => {
  for (const [type, size] of [[TYPE_A, 4], [TYPE_AAAA, 16]] as const) {
    const query = buildQuery({ name: "ads.example", type });
    assertEquals(
      blockedAnswer(query, parse(query)!, null, 512),
      buildAnswer(query, {
        flags: FLAGS,
        answers: [{ type, timeToLive: 60, data: new Array<number>(size).fill(0) }],
      }),
    );
  }
  const query = buildQuery({ name: "ads.example", type: TYPE_TXT });
  assertEquals(
    blockedAnswer(query, parse(query)!, null, 512),
    buildAnswer(query, { flags: FLAGS, authorities: [soa("ads.example")] }),
  );
});

Deno.test("a domain that is blocked is not there, nor is anything below it", () => {
  const query = buildQuery({ name: "a.b.bad.example" });
  assertEquals(
    blockedAnswer(query, parse(query)!, wireName("bad.example"), 512),
    buildAnswer(query, { flags: FLAGS | NAME_ERROR, authorities: [soa("bad.example")] }),
  );
});
