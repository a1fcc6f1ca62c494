/** Shows what lines of block lists say, read as strings and as bytes that come in any pieces. */
import { atOnce } from "../../../../lib/core/config/at_once.ts";
import { BlockListBuilder, BlockRule } from "../../../../lib/core/dns/block_list.ts";
import { BlockReader } from "../../../../lib/core/dns/block_reader.ts";
import { blockRules } from "../../../../lib/core/dns/block_rules.ts";
import { wireName } from "../../../../lib/core/dns/wire_name.ts";
import { assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";

const NAMES: Readonly<Record<number, string>> = {
  [BlockRule.host]: "host",
  [BlockRule.domain]: "domain",
  [BlockRule.allowed]: "allowed",
};

/** As in `host ads.example`; null for what is not understood. */
function said(line: string): string[] | null {
  return blockRules(line)?.map(({ name, rule }) => `${NAMES[rule]} ${name}`) ?? null;
}

const CASES: readonly (readonly [line: string, rules: readonly string[] | null])[] = [
  ["0.0.0.0 ads.example", ["host ads.example"]],
  ["127.0.0.1\tads.example  b.example # two", ["host ads.example", "host b.example"]],
  [":: ads.example", ["host ads.example"]],
  ["0.0.0.0 Ads.Example.\r", ["host ads.example"]],
  ["  ads.example  ", ["host ads.example"]],
  ["*.ads.example", ["domain ads.example"]],
  ["||ads.example^", ["domain ads.example"]],
  ["||*.ads.example^", ["domain ads.example"]],
  ["||ads.example^$important", ["domain ads.example"]],
  ["||zip^", ["domain zip"]],
  ["@@||good.example^", ["allowed good.example"]],
  ["||xn--80a1acc.example^", ["domain xn--80a1acc.example"]],
  ["_x.ads.example", ["host _x.ads.example"]],
  // What a hosts file has of the host itself.
  ["127.0.0.1 localhost", []],
  ["0.0.0.0 0.0.0.0", []],
  ["::1 ip6-loopback", []],
  ["", []],
  ["# 0.0.0.0 ads.example", []],
  ["! ||ads.example^", []],
  ["[Adblock Plus 2.0]", []],
  // About something else than whole names, or nothing.
  ["192.168.1.5 nas.example", null],
  ["||ads.example", null],
  ["||ads.example/path^", null],
  ["||ads.example^$third-party", null],
  ["||ads.*^", null],
  ["@@ads.example", null],
  ["/regexp/", null],
  ["example.org##.banner", null],
  ["ads .example", null],
  ["0.0.0.0 -x.example", null],
  ["a..example", null],
  [`${"a".repeat(64)}.example`, null],
  [`${"a.".repeat(127)}example`, null],
  [`0.0.0.0 ${"a".repeat(2_000)}`, null],
  ["b\u00fccher.example", null],
];

Deno.test("blockRules() reads hosts files, lists of domains and AdBlock's rules, and nothing else", () => {
  for (const [line, rules] of CASES) assertEquals(said(line), rules, line);
});

Deno.test("BlockReader takes from bytes what blockRules() takes from lines, whatever pieces they come in", () => {
  const random = new Random(3);
  const lines = CASES.map(([line]) => line);
  for (let round = 0; round < 60; round++) {
    const text = Array.from({ length: 40 }, () => lines[random.below(lines.length)]!).join("\n") +
      (round % 2 === 0 ? "\n" : "");
    const expected = text.split("\n").slice(0, round % 2 === 0 ? -1 : undefined).map(blockRules);
    const builder = new BlockListBuilder();
    const reader = new BlockReader(builder);
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) {
      const size = 1 + random.below(round % 3 === 0 ? 3 : 900);
      atOnce(reader.take(bytes.subarray(at, at + size)));
      at += size;
    }
    reader.end();
    const rules = expected.flatMap((each) => each ?? []);
    assertEquals(reader.skipped, expected.filter((each) => each === null).length);
    assertEquals(builder.count, rules.length);
    const list = atOnce(builder.finish(round));
    for (const { name } of rules) {
      const has = (rule: BlockRule) =>
        rules.some((each) =>
          each.rule === rule && (each.name === name || name.endsWith(`.${each.name}`))
        );
      const found = list.find(wireName(name)!);
      if (has(BlockRule.allowed)) assertEquals(found, null);
      else assertEquals(found?.kind, has(BlockRule.domain) ? "domain" : "host", name);
    }
  }
});
