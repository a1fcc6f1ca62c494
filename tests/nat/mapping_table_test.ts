/** Tests of the table of mappings: found from either side, made and removed, counted by client. */
import { type Mapping, MappingTable } from "../../lib/nat/mapping_table.ts";
import { assert, assertEquals, assertStrictEquals } from "../support/assert.ts";
import { Random } from "../support/random.ts";

const PROTOCOLS = [1, 6, 17];

function table(quota = 65_536): MappingTable {
  const random = new Random(1);
  return new MappingTable({
    ports: { first: 1024, last: 65_535 },
    quota,
    clientOf: (address) => address >> 8,
    random: () => random.uint32(),
  });
}

Deno.test("mappings are found from either side, whichever others are made and removed", () => {
  const mappings = table();
  const random = new Random(2);
  const all = new Map<string, Mapping>();
  // More than there are buckets, so that many share one.
  for (let round = 0; round < 60_000; round++) {
    const protocol = random.pick(PROTOCOLS);
    const address = random.pick([0x0a424d02, 0x0a424d03, -1_062_731_519]);
    const port = random.below(20_000);
    const key = `${protocol}/${address}/${port}`;
    const known = all.get(key);
    assertStrictEquals(mappings.findInner(protocol, address, port), known ?? null);
    if (known === undefined) {
      const made = mappings.create(protocol, address, port, 0);
      assert(typeof made !== "string");
      all.set(key, made);
    } else if (random.chance(0.7)) {
      mappings.remove(known, 0);
      all.delete(key);
      assertStrictEquals(mappings.findExternal(protocol, known.externalPort), null);
    }
  }
  assert(all.size > 20_000);
  assertEquals(mappings.size, all.size);
  for (const mapping of all.values()) {
    const { protocol, innerAddress, innerPort, externalPort } = mapping;
    assertStrictEquals(mappings.findInner(protocol, innerAddress, innerPort), mapping);
    assertStrictEquals(mappings.findExternal(protocol, externalPort), mapping);
  }
});

Deno.test("nothing is found for other protocols", () => {
  const mappings = table();
  mappings.create(6, 1, 40_000, 0);
  for (const protocol of [0, 1, 17, 47, 255]) {
    assertEquals(mappings.findInner(protocol, 1, 40_000), null);
    for (let port = 0; port < 65_536; port++) {
      assertEquals(mappings.findExternal(protocol, port), null);
    }
  }
});

Deno.test("a client is known as long as it holds mappings", () => {
  const mappings = table(2);
  const [first, second] = [mappings.create(6, 0x100, 1, 0), mappings.create(17, 0x101, 1, 0)];
  assertEquals(mappings.create(6, 0x1ff, 2, 0), "quota");
  assertEquals(mappings.client(0x100)?.mappings, 2);
  assertEquals(mappings.client(0x200), null);
  mappings.remove(first as Mapping, 0);
  // Twice is once.
  mappings.remove(first as Mapping, 0);
  assertEquals(mappings.client(0x1ff)?.mappings, 1);
  mappings.remove(second as Mapping, 0);
  assertEquals(mappings.client(0x100), null);
});
