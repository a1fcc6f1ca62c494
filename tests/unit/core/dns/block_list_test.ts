/** Shows that a block list blocks the names in it, none besides, and what it takes. */
import { atOnce } from "../../../../lib/core/config/at_once.ts";
import {
  type BlockList,
  BlockListBuilder,
  BlockRule,
} from "../../../../lib/core/dns/block_list.ts";
import { domainsOf, wireName } from "../../../../lib/core/dns/wire_name.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";

function listOf(names: Iterable<readonly [name: string, rule: BlockRule]>, seed = 7): BlockList {
  const builder = new BlockListBuilder();
  for (const [name, rule] of names) {
    const bytes = new TextEncoder().encode(name);
    builder.add({ bytes, start: 0, end: bytes.length }, rule);
  }
  return atOnce(builder.finish(seed));
}

/** By which domain a name is blocked; "itself" where it alone is, null where it is not. */
function blocked(list: BlockList, name: string): string | null {
  const found = list.find(wireName(name)!);
  if (found === null) return null;
  if (found.kind === "host") return "itself";
  const domains = [...domainsOf(found.domain)];
  return domains.map((domain) => domain.slice(1, 1 + domain.charCodeAt(0))).join(".");
}

Deno.test("a host's rule blocks its name alone, a domain's all names below as well", () => {
  const list = listOf([["ads.example", BlockRule.host], ["bad.example", BlockRule.domain]]);
  assertEquals(list.count, 2);
  for (
    const [name, by] of [
      ["ads.example", "itself"],
      ["x.ads.example", null],
      ["example", null],
      ["bad.example", "bad.example"],
      ["a.b.bad.example", "bad.example"],
      ["notbad.example", null],
      ["bad.example.org", null],
    ] as const
  ) {
    assertEquals(blocked(list, name), by, name);
  }
});

Deno.test("what is allowed is not blocked, nor what is below it, and the longest domain blocks", () => {
  const list = listOf([
    ["example", BlockRule.domain],
    ["bad.example", BlockRule.domain],
    ["ok.bad.example", BlockRule.allowed],
    ["ok.bad.example", BlockRule.domain],
    ["ok.bad.example", BlockRule.host],
  ]);
  assertEquals(list.count, 3);
  assertEquals(blocked(list, "x.bad.example"), "bad.example");
  assertEquals(blocked(list, "www.example"), "example");
  for (const name of ["ok.bad.example", "x.ok.bad.example"]) {
    assertEquals(blocked(list, name), null);
  }
});

Deno.test("an empty list blocks nothing", () => {
  assertEquals(blocked(listOf([]), "www.example"), null);
});

Deno.test("a list finds what a set of the same names finds, whatever they are", () => {
  const random = new Random(5);
  const label = () => "abc"[random.below(3)]! + "ab"[random.below(2)]!.repeat(random.below(3));
  const name = () => Array.from({ length: 1 + random.below(4) }, label).join(".");
  for (let round = 0; round < 50; round++) {
    const rules = Array.from(
      { length: random.below(40) },
      () =>
        [name(), [BlockRule.host, BlockRule.domain, BlockRule.allowed][random.below(3)]!] as const,
    );
    const has = (text: string, rule: BlockRule) =>
      rules.some(([each, given]) => each === text && given === rule);
    const list = listOf(rules, round * 7919);
    assertEquals(list.count, new Set(rules.map(([each]) => each)).size);
    for (let asked = 0; asked < 200; asked++) {
      const text = name();
      const domains = text.split(".").map((_, index, all) => all.slice(index).join("."));
      const by = domains.find((domain) => has(domain, BlockRule.domain));
      const expected = domains.some((domain) => has(domain, BlockRule.allowed))
        ? null
        : by ?? (has(text, BlockRule.host) ? "itself" : null);
      assertEquals(blocked(list, text), expected, text);
    }
  }
});

Deno.test("names of 253 characters and labels of 63 are found, over the ends of blocks", () => {
  const longest = (number: number) =>
    ["a", "b", "c"].map((letter) => letter.repeat(63)).join(".") + `.d${number}`.padEnd(62, "d");
  const numbers = Array.from({ length: 6_000 }, (_, number) => number);
  const list = listOf(numbers.map((number) => [longest(number), BlockRule.host] as const));
  assertEquals(longest(0).length, 253);
  assert(numbers.every((number) => list.find(wireName(longest(number))!) !== null));
  assertEquals(list.find(wireName(longest(6_000))!), null);
});

Deno.test("a million names take less than 60 MB, and none of a million others is taken for one", () => {
  const nameAt = (number: number) =>
    `tracker-${number.toString(36)}.ads.example-${number % 997}.com`;
  const million = 1_000_000;
  function* names(): Generator<readonly [string, BlockRule]> {
    for (let number = 0; number < million; number++) yield [nameAt(number), BlockRule.host];
  }
  const list = listOf(names());
  assertEquals(list.count, million);
  assert(list.size < 60e6, `${list.size} bytes`);
  let found = 0;
  for (let number = 0; number < 2 * million; number += 7) {
    const isFound = list.find(wireName(nameAt(number))!) !== null;
    if (isFound !== number < million) throw new Error(`${nameAt(number)}: ${isFound}`);
    found += Number(isFound);
  }
  assertEquals(found, Math.ceil(million / 7));
  assertEquals([...domainsOf(wireName("a.b")!)].length, 2);
});
