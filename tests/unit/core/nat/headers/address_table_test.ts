/** Tests of the table that numbers IPv6 addresses. */
import {
  AddressTable,
  AS_IT_IS,
  UNKNOWN,
} from "../../../../../lib/core/nat/headers/address_table.ts";
import { assert, assertEquals, assertNotEquals } from "../../../../support/assert.ts";
import { bytes6 } from "../../../../support/packets/packet_builder6.ts";
import { Random } from "../../../../support/random.ts";

function viewOf(text: string): DataView {
  return new DataView(bytes6(text).buffer);
}

function enter(table: AddressTable, text: string): number {
  return table.enter(viewOf(text), 0);
}

function find(table: AddressTable, text: string): number {
  return table.find(viewOf(text), 0);
}

Deno.test("an address has one number as long as anything holds it, and none behind that", () => {
  const table = new AddressTable(1);
  const number = enter(table, "2001:db8::1");
  assertEquals(enter(table, "2001:db8::1"), number);
  assertNotEquals(enter(table, "2001:db8::2"), number);
  table.retain(number);
  table.retain(number);
  table.release(number);
  table.tidy();
  assertEquals([find(table, "2001:db8::1"), table.size], [number, 1]);
  table.release(number);
  // Until the packet that is under way has gone its way.
  assertEquals(find(table, "2001:db8::1"), number);
  table.tidy();
  assertEquals([find(table, "2001:db8::1"), table.size], [UNKNOWN, 0]);
});

Deno.test("an address that is held again before it is forgotten stays", () => {
  const table = new AddressTable(1);
  const number = enter(table, "2001:db8::1");
  table.retain(number);
  table.release(number);
  table.retain(number);
  table.tidy();
  assertEquals(find(table, "2001:db8::1"), number);
  table.release(number);
  table.tidy();
  assertEquals(table.size, 0);
});

Deno.test("what is looked up is not entered, and nothing is done for what stands for no address", () => {
  const table = new AddressTable(1);
  assertEquals(find(table, "2001:db8::1"), UNKNOWN);
  for (const none of [UNKNOWN, AS_IT_IS]) {
    table.retain(none);
    table.release(none);
    assertEquals(table.view.getInt32(table.offsetOf(none)), 0);
  }
  table.tidy();
  assertEquals(table.size, 0);
});

Deno.test("addresses come and go as in a plain map, however many there are", () => {
  const table = new AddressTable(7);
  const random = new Random(3);
  const known = new Map<string, { number: number; holds: number }>();
  const numbers = new Set<number>();
  // Many that differ in a single word, and more than there is room for at first.
  const draw = () => {
    const groups = ["2001", "db8", "0", "0", "0", "0", "0", "0"];
    groups[random.below(8)] = random.below(400).toString(16);
    return groups.join(":");
  };
  for (let round = 0; round < 60_000; round++) {
    const text = draw();
    const entry = known.get(text);
    assertEquals(find(table, text), entry?.number ?? UNKNOWN);
    if (random.chance(0.6)) {
      const number = enter(table, text);
      assertEquals(number, entry?.number ?? number);
      if (entry === undefined) assert(!numbers.has(number), `${number} is another's`);
      numbers.add(number);
      table.retain(number);
      known.set(text, { number, holds: (entry?.holds ?? 0) + 1 });
      const at = table.offsetOf(number);
      assertEquals(
        Array.from({ length: 16 }, (_, i) => table.view.getUint8(at + i)),
        [...bytes6(text)],
      );
    } else if (entry !== undefined) {
      table.release(entry.number);
      if (--entry.holds === 0) {
        known.delete(text);
        numbers.delete(entry.number);
        table.tidy();
      }
    }
    assertEquals(table.size, known.size);
  }
  for (const { number, holds } of known.values()) {
    for (let i = 0; i < holds; i++) table.release(number);
  }
  table.tidy();
  assertEquals(table.size, 0);
});
