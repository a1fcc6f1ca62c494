/** Tests of `explainSilence()`: each reason why nobody answers has its own words, and says what to do. */
import {
  explainSilence,
  type Silence,
  triedProtocols,
} from "../../../../lib/commands/client/unanswered.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

const NOTHING: Silence = {
  refusal: null,
  sendError: null,
  unfitting: 0,
  refusesOthers: false,
  protocols: ["UDP"],
  port: 51_820,
};
const FROM = 0xc0000201;

function explain(seen: Partial<Silence>): string {
  return explainSilence({ ...NOTHING, ...seen });
}

const CASES: readonly (readonly [Partial<Silence>, RegExp])[] = [
  [{}, /^check that the server runs, .* no firewall drops UDP to that port$/],
  [{ refusesOthers: true }, /^its host rejects other ports but not this one: .* keys do not match/],
  [{ unfitting: 1 }, /^an answer arrived, but cannot be decrypted: the preshared keys differ: /],
  [{ sendError: "EPERM" }, /^this host's own firewall blocks packets to it \(EPERM\): /],
  [{ sendError: "ENETUNREACH" }, /^this host has no route to it \(ENETUNREACH\): /],
  [{ sendError: "ENETDOWN" }, /^this host has no route to it \(ENETDOWN\): /],
  [
    { sendError: "EACCES" },
    /^a route of this host forbids it \(EACCES\): .* prohibit or blackhole$/,
  ],
  [
    { sendError: "EINVAL" },
    /^a route of this host forbids it \(EINVAL\): .* prohibit or blackhole$/,
  ],
  [
    { refusal: { kind: "refused", words: "port unreachable", from: FROM } },
    /^no program listens on that port, says 192\.0\.2\.1 \(ICMP port unreachable\): start the server/,
  ],
  [
    { refusal: { kind: "unreachable", words: "host unreachable", from: FROM } },
    /^its host or network is unreachable, says 192\.0\.2\.1 \(ICMP host unreachable\): /,
  ],
  [
    { refusal: { kind: "prohibited", words: "host administratively prohibited", from: FROM } },
    /^a firewall blocks it, says 192\.0\.2\.1 .*: open UDP port 51820 there$/,
  ],
];

Deno.test("explainSilence() has words of its own for each reason", () => {
  for (const [seen, words] of CASES) assertMatch(explain(seen), words);
  assertEquals(new Set(CASES.map(([seen]) => explain(seen))).size, CASES.length);
});

Deno.test("explainSilence() believes an answer, and this host's kernel, more than ICMP", () => {
  const refusal = { kind: "refused", words: "port unreachable", from: FROM } as const;
  assertMatch(explain({ refusal, unfitting: 1 }), /preshared keys differ/);
  assertMatch(explain({ refusal, sendError: "EPERM" }), /own firewall/);
});

Deno.test("explainSilence() names the protocols that a firewall may drop", () => {
  assertMatch(explain({ protocols: triedProtocols("auto") }), /no firewall drops UDP or TCP to/);
  assertMatch(explain({ protocols: triedProtocols("faketcp") }), /no firewall drops TCP to/);
});
