/** Tests of lib/core/wireguard/allowed_ips6.ts, mostly against a table that is searched from end to end. */
import fc from "../../../support/property.ts";
import { AllowedIps6 } from "../../../../lib/core/wireguard/allowed_ips6.ts";
import { assertEquals } from "../../../support/assert.ts";
import { bytes6 } from "../../../support/packets/packet_builder6.ts";

function lookup<T extends NonNullable<unknown>>(table: AllowedIps6<T>, address: string): T | null {
  return table.lookup(new DataView(bytes6(address).buffer), 0);
}

Deno.test("lookup() finds nothing when the table is empty", () => {
  assertEquals(lookup(new AllowedIps6<string>(), "2001:db8::1"), null);
});

Deno.test("lookup() prefers the longest prefix, whatever the order of insertion", () => {
  const prefixes: [string, string][] = [
    ["::/0", "default"],
    ["2000::/3", "internet"],
    ["2001:db8::/32", "documentation"],
    ["2001:db8:7::/48", "site"],
    ["2001:db8:7:1::/64", "network"],
    ["2001:db8:7:1::2/128", "host"],
    ["8000::/1", "upper"],
  ];
  for (const order of [prefixes, prefixes.toReversed()]) {
    const table = new AllowedIps6<string>();
    for (const [prefix, owner] of order) table.insert(prefix, owner);
    assertEquals(lookup(table, "2001:db8:7:1::2"), "host");
    assertEquals(lookup(table, "2001:db8:7:1::3"), "network");
    assertEquals(lookup(table, "2001:db8:7:1:8000::2"), "network");
    assertEquals(lookup(table, "2001:db8:7:2::2"), "site");
    assertEquals(lookup(table, "2001:db8:8::2"), "documentation");
    assertEquals(lookup(table, "2a00::1"), "internet");
    assertEquals(lookup(table, "fd00::1"), "upper");
    assertEquals(lookup(table, "1::"), "default");
  }
});

Deno.test("lookup() walks all 129 prefixes of one address", () => {
  for (
    const text of ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::", "aaaa:5555:aaaa:5555::aaaa"]
  ) {
    const table = new AllowedIps6<number>();
    for (let length = 0; length <= 128; length++) table.insert(`${text}/${length}`, length);
    const bytes = bytes6(text);
    const view = new DataView(bytes.buffer);
    assertEquals(table.lookup(view, 0), 128);
    for (let bit = 0; bit < 128; bit++) {
      bytes[bit >> 3]! ^= 0x80 >> (bit & 7);
      assertEquals(table.lookup(view, 0), bit, `${text}, bit ${bit}`);
      bytes[bit >> 3]! ^= 0x80 >> (bit & 7);
    }
  }
});

Deno.test("insert() ignores host bits, and moves a prefix that another value has", () => {
  const table = new AllowedIps6<string>();
  table.insert("fd00:7::9/64", "a");
  table.insert("fd00:7::2/128", "a");
  table.insert("fd00:7::/64", "b");
  assertEquals(lookup(table, "fd00:7::9"), "b");
  assertEquals(lookup(table, "fd00:7::2"), "a");
  assertEquals(table.entries("a"), ["fd00:7::2/128"]);
  assertEquals(table.entries("b"), ["fd00:7::/64"]);
});

Deno.test("removeByValue() uncovers the shorter prefixes of others", () => {
  const table = new AllowedIps6<string>();
  table.insert("::/0", "a");
  table.insert("fd00::/64", "b");
  table.insert("fd00::2/128", "a");
  table.removeByValue("b");
  table.removeByValue("nobody");
  assertEquals(lookup(table, "fd00::9"), "a");
  assertEquals(table.entries("b"), []);
  table.removeByValue("a");
  assertEquals(lookup(table, "fd00::2"), null);
});

/** The obvious table: prefixes as texts of bits, the longest match searched from end to end. */
class LinearTable {
  readonly #prefixes = new Map<string, number>();

  insert(bits: string, length: number, owner: number): void {
    this.#prefixes.set(bits.slice(0, length), owner);
  }

  removeByValue(owner: number): void {
    for (const [prefix, its] of this.#prefixes) if (its === owner) this.#prefixes.delete(prefix);
  }

  lookup(bits: string): number | null {
    const matches = [...this.#prefixes].filter(([prefix]) => bits.startsWith(prefix));
    return matches.sort(([a], [b]) => b.length - a.length)[0]?.[1] ?? null;
  }

  count(owner: number): number {
    return [...this.#prefixes.values()].filter((its) => its === owner).length;
  }
}

Deno.test("AllowedIps6 agrees with a linear scan after any inserts and removals", () => {
  // Few distinct bits, in each of the four words, so that prefixes nest, meet and move often.
  const address = fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3), fc.nat(3)).map((parts) =>
    parts.map((part) => `${(part >> 1 << 15).toString(16)}:${part & 1}`).join(":")
  );
  const bitsOf = (text: string) =>
    Array.from(bytes6(text), (byte) => byte.toString(2).padStart(8, "0")).join("");
  const length = fc.oneof(fc.nat(128), fc.constantFrom(0, 1, 31, 32, 33, 64, 96, 127, 128));
  const action = fc.oneof(
    { weight: 6, arbitrary: fc.tuple(address, length, fc.nat(4)) },
    { weight: 1, arbitrary: fc.tuple(fc.nat(4)) },
  );
  fc.assert(
    fc.property(
      fc.array(action, { maxLength: 60, size: "max" }),
      fc.array(address, { maxLength: 30, size: "max" }),
      (actions, addresses) => {
        const table = new AllowedIps6<number>();
        const reference = new LinearTable();
        for (const step of actions) {
          if (step.length === 1) {
            table.removeByValue(step[0]);
            reference.removeByValue(step[0]);
          } else {
            const [text, prefixLength, owner] = step;
            table.insert(`${text}/${prefixLength}`, owner);
            reference.insert(bitsOf(text), prefixLength, owner);
          }
        }
        for (const each of addresses) {
          assertEquals(lookup(table, each), reference.lookup(bitsOf(each)));
        }
        for (let owner = 0; owner <= 4; owner++) {
          assertEquals(table.entries(owner).length, reference.count(owner));
        }
      },
    ),
    { seed: 1, numRuns: 300 },
  );
});
