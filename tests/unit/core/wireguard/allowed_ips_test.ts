/** Tests of lib/core/wireguard/allowed_ips.ts, mostly against a table that is searched from end to end. */
import fc from "../../../support/property.ts";
import { AllowedIps } from "../../../../lib/core/wireguard/allowed_ips.ts";
import {
  formatCidr,
  parseCidr,
  parseIpv4,
  prefixMask,
} from "../../../../lib/core/wire/ipv4_text.ts";
import { assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";

function insert(table: AllowedIps<string>, cidr: string, owner: string): void {
  const prefix = parseCidr(cidr)!;
  table.insert(prefix.address, prefix.prefixLength, owner);
}

function lookup(table: AllowedIps<string>, address: string): string | null {
  return table.lookup(parseIpv4(address)!);
}

function list(table: AllowedIps<string>, owner: string): string[] {
  return table.entries(owner).map(formatCidr);
}

Deno.test("lookup() finds nothing when the table is empty", () => {
  assertEquals(lookup(new AllowedIps<string>(), "10.0.0.1"), null);
});

Deno.test("lookup() prefers the longest prefix, whatever the order of insertion", () => {
  const prefixes: [string, string][] = [
    ["0.0.0.0/0", "default"],
    ["10.0.0.0/8", "ten"],
    ["10.66.77.0/24", "subnet"],
    ["10.66.77.2/32", "host"],
    ["192.168.0.0/16", "home"],
    ["128.0.0.0/1", "upper"],
  ];
  for (const order of [prefixes, prefixes.toReversed()]) {
    const table = new AllowedIps<string>();
    for (const [cidr, owner] of order) insert(table, cidr, owner);
    assertEquals(lookup(table, "10.66.77.2"), "host");
    assertEquals(lookup(table, "10.66.77.3"), "subnet");
    assertEquals(lookup(table, "10.66.78.2"), "ten");
    assertEquals(lookup(table, "11.0.0.0"), "default");
    assertEquals(lookup(table, "192.168.255.255"), "home");
    assertEquals(lookup(table, "192.169.0.0"), "upper");
    assertEquals(lookup(table, "255.255.255.255"), "upper");
    assertEquals(lookup(table, "0.0.0.0"), "default");
  }
});

Deno.test("lookup() finds nothing between the prefixes when there is no default", () => {
  const table = new AllowedIps<string>();
  insert(table, "10.66.77.2/32", "a");
  insert(table, "10.66.77.3/32", "b");
  assertEquals(lookup(table, "10.66.77.2"), "a");
  assertEquals(lookup(table, "10.66.77.3"), "b");
  assertEquals(lookup(table, "10.66.77.1"), null);
  assertEquals(lookup(table, "10.66.77.4"), null);
  assertEquals(lookup(table, "138.66.77.2"), null);
});

Deno.test("lookup() walks all 33 prefixes of one address", () => {
  for (const text of ["255.255.255.255", "0.0.0.0", "170.170.170.170"]) {
    const table = new AllowedIps<number>();
    const address = parseIpv4(text)!;
    for (let length = 0; length <= 32; length++) table.insert(address, length, length);
    assertEquals(table.lookup(address), 32);
    for (let bit = 0; bit < 32; bit++) {
      assertEquals(table.lookup((address ^ 1 << (31 - bit)) >>> 0), bit, `${text}, bit ${bit}`);
    }
  }
});

Deno.test("insert() ignores host bits", () => {
  const table = new AllowedIps<string>();
  insert(table, "10.66.77.200/24", "a");
  assertEquals(lookup(table, "10.66.77.1"), "a");
  assertEquals(list(table, "a"), ["10.66.77.0/24"]);
});

Deno.test("insert() moves a prefix that another value has", () => {
  const table = new AllowedIps<string>();
  insert(table, "10.0.0.0/8", "a");
  insert(table, "10.66.77.2/32", "a");
  insert(table, "10.66.77.2/32", "b");
  assertEquals(lookup(table, "10.66.77.2"), "b");
  assertEquals(list(table, "a"), ["10.0.0.0/8"]);
  assertEquals(list(table, "b"), ["10.66.77.2/32"]);
});

Deno.test("insert() gives a value to a prefix at which the trie only forked", () => {
  const table = new AllowedIps<string>();
  insert(table, "10.66.0.0/24", "low");
  insert(table, "10.66.128.0/24", "high");
  assertEquals(lookup(table, "10.66.64.1"), null);
  insert(table, "10.66.0.0/16", "both");
  assertEquals(lookup(table, "10.66.64.1"), "both");
  assertEquals(lookup(table, "10.66.0.1"), "low");
  assertEquals(lookup(table, "10.66.128.1"), "high");
});

Deno.test("removeByValue() uncovers the shorter prefixes of others", () => {
  const table = new AllowedIps<string>();
  insert(table, "0.0.0.0/0", "a");
  insert(table, "10.66.77.0/24", "b");
  insert(table, "10.66.77.2/32", "a");
  table.removeByValue("b");
  assertEquals(lookup(table, "10.66.77.9"), "a");
  assertEquals(list(table, "b"), []);
  assertEquals(list(table, "a"), ["0.0.0.0/0", "10.66.77.2/32"]);
  table.removeByValue("a");
  assertEquals(lookup(table, "10.66.77.2"), null);
});

Deno.test("removeByValue() does nothing when the value has no prefix", () => {
  const table = new AllowedIps<string>();
  table.removeByValue("a");
  insert(table, "10.0.0.0/8", "b");
  table.removeByValue("a");
  assertEquals(lookup(table, "10.0.0.1"), "b");
});

/** The obvious table: every prefix in a list, the longest match searched from end to end. */
class LinearTable {
  readonly #prefixes = new Map<string, [network: number, length: number, owner: number]>();

  insert(address: number, length: number, owner: number): void {
    const network = (address & prefixMask(length)) >>> 0;
    this.#prefixes.set(`${network}/${length}`, [network, length, owner]);
  }

  removeByValue(owner: number): void {
    for (const [key, prefix] of this.#prefixes) {
      if (prefix[2] === owner) this.#prefixes.delete(key);
    }
  }

  lookup(address: number): number | null {
    let best: [number, number, number] | null = null;
    for (const prefix of this.#prefixes.values()) {
      const inside = (address & prefixMask(prefix[1])) >>> 0 === prefix[0];
      if (inside && (best === null || prefix[1] > best[1])) best = prefix;
    }
    return best === null ? null : best[2];
  }

  entries(owner: number): string[] {
    return [...this.#prefixes.values()]
      .filter((prefix) => prefix[2] === owner)
      .sort((a, b) => a[0] - b[0] || a[1] - b[1])
      .map(([address, prefixLength]) => formatCidr({ address, prefixLength }));
  }
}

Deno.test("AllowedIps agrees with a linear scan after any inserts and removals", () => {
  // Few distinct bits, so that prefixes nest, meet and move often.
  const address = fc.tuple(fc.nat(7), fc.nat(3), fc.nat(7)).map(([high, middle, low]) =>
    (high << 29 | middle << 12 | low) >>> 0
  );
  const action = fc.oneof(
    { weight: 6, arbitrary: fc.tuple(address, fc.nat(32), fc.nat(4)) },
    { weight: 1, arbitrary: fc.tuple(fc.nat(4)) },
  );
  const actions = fc.array(action, { maxLength: 60, size: "max" });
  fc.assert(
    fc.property(
      actions,
      fc.array(address, { maxLength: 50, size: "max" }),
      (actions, addresses) => {
        const table = new AllowedIps<number>();
        const reference = new LinearTable();
        for (const step of actions) {
          if (step.length === 1) {
            table.removeByValue(step[0]);
            reference.removeByValue(step[0]);
          } else {
            table.insert(...step);
            reference.insert(...step);
          }
        }
        for (const each of addresses) assertEquals(table.lookup(each), reference.lookup(each));
        for (let owner = 0; owner <= 4; owner++) {
          assertEquals(table.entries(owner).map(formatCidr), reference.entries(owner));
        }
      },
    ),
    { seed: 1, numRuns: 500 },
  );
});

Deno.test("AllowedIps agrees with a linear scan with a thousand random prefixes", () => {
  const random = new Random(1);
  const table = new AllowedIps<number>();
  const reference = new LinearTable();
  const addresses: number[] = [];
  for (let owner = 0; owner < 1000; owner++) {
    const address = random.uint32();
    const length = random.pick([0, 1, 8, 12, 16, 20, 24, 30, 31, 32]);
    table.insert(address, length, owner % 100);
    reference.insert(address, length, owner % 100);
    addresses.push(address, (address ^ 1) >>> 0, random.uint32());
  }
  for (let owner = 0; owner < 50; owner++) {
    table.removeByValue(owner);
    reference.removeByValue(owner);
  }
  for (const address of addresses) assertEquals(table.lookup(address), reference.lookup(address));
});

Deno.test("removeByValue() visits no other owner's prefixes: a hundred thousand owners can be replaced", () => {
  const table = new AllowedIps<number>();
  const count = 100_000;
  for (let round = 0; round < 2; round++) {
    for (let owner = 0; owner < count; owner++) {
      table.removeByValue(owner);
      table.insert(0x0a00_0000 + owner, 32, owner);
    }
  }
  for (let owner = 0; owner < count; owner++) {
    assertEquals(table.lookup(0x0a00_0000 + owner), owner);
    assertEquals(table.entries(owner).length, 1);
    table.removeByValue(owner);
  }
  assertEquals(table.lookup(0x0a00_0000), null);
});
