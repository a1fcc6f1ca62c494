/** Tests of `lib/core/nat/late_table.ts`: it has all its places, and its memory when one is taken. */
import { LateTable, PLACES } from "../../../../lib/core/nat/late_table.ts";
import { assert, assertEquals, assertStrictEquals } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

Deno.test("LateTable has each place to itself, from the first to the last", () => {
  const table = new LateTable<string>();
  for (const place of [0, 1, 63, 64, 40_000, PLACES - 1]) table.set(place, `${place}`);
  for (let place = 0; place < PLACES; place++) {
    const isTaken = [0, 1, 63, 64, 40_000, PLACES - 1].includes(place);
    assertEquals(table.get(place), isTaken ? `${place}` : null);
  }
});

Deno.test("LateTable gives a place back by null, and leaves another table's alone", () => {
  const [table, other] = [new LateTable<string>(), new LateTable<string>()];
  table.set(5, null);
  assertStrictEquals(table.get(5), null);
  table.set(5, "five");
  assertStrictEquals(other.get(5), null);
  table.set(5, null);
  assertStrictEquals(table.get(5), null);
});

hostTest(
  "LateTable takes no memory before something is put there, and that of an array then",
  () => {
    const array = 8 * PLACES;
    const before = Deno.memoryUsage().heapUsed;
    const tables = Array.from({ length: 16 }, () => new LateTable<object>());
    const empty = (Deno.memoryUsage().heapUsed - before) / tables.length;
    assert(empty < array / 16, `${empty} bytes of the heap for a table with nothing in it`);
    for (const table of tables) table.set(0, tables);
    const used = (Deno.memoryUsage().heapUsed - before) / tables.length;
    assert(used < 1.5 * array, `${used} bytes of the heap for one with something in it`);
  },
);
