/** Tests of lib/core/limits/fair_shares.ts: who is evicted, against a slow reference as well. */
import fc from "../../../support/property.ts";
import { FairShares, type Place } from "../../../../lib/core/limits/fair_shares.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

/** Shares of numbered entries, and what was evicted from them. */
class Table {
  readonly evicted: number[] = [];
  readonly places = new Map<number, Place<string, number>>();
  readonly shares: FairShares<string, number>;
  #next = 1;

  constructor(capacity: number, share?: number) {
    const evict = (item: number) => {
      this.evicted.push(item);
      this.places.delete(item);
    };
    this.shares = new FairShares({ capacity, evict, ...(share === undefined ? {} : { share }) });
  }

  /** @returns the entry's number; 0 where it was refused */
  add(owner: string): number {
    const item = this.#next++;
    const place = this.shares.add(owner, item);
    if (place === null) return 0;
    this.places.set(item, place);
    return item;
  }

  addMany(owner: string, count: number): void {
    for (let i = 0; i < count; i++) this.add(owner);
  }

  prove(item: number): void {
    this.shares.prove(this.places.get(item)!);
  }

  touch(item: number): void {
    this.shares.touch(this.places.get(item)!);
  }

  remove(item: number): void {
    this.shares.remove(this.places.get(item)!);
    this.places.delete(item);
  }
}

Deno.test("an owner at its share loses its own oldest entry, however empty the table", () => {
  const table = new Table(100, 2);
  table.addMany("a", 4);
  assertEquals(table.evicted, [1, 2]);
  assertEquals(table.shares.countOf("a"), 2);
});

Deno.test("in a full table the largest owner loses its oldest entry, and the others keep theirs", () => {
  const table = new Table(10);
  table.add("quiet");
  table.addMany("flood", 1000);
  assert(table.places.has(1));
  assertEquals(table.shares.countOf("flood"), 9);
  assertEquals(table.add("late") > 0, true);
  assertEquals(table.shares.countOf("flood"), 8);
});

Deno.test("a flood of forged owners evicts in the order of arrival", () => {
  const table = new Table(3);
  for (const owner of ["a", "b", "c", "d", "e"]) table.add(owner);
  assertEquals(table.evicted, [1, 2]);
});

Deno.test("a proven entry is not evicted for an unproven one of another owner", () => {
  const table = new Table(3);
  table.prove(table.add("client"));
  table.prove(table.add("client"));
  for (let i = 0; i < 100; i++) table.add(`forged ${i}`);
  assertEquals(table.shares.countOf("client"), 2);
});

Deno.test("in a table of proven entries, an owner with more than its part makes room", () => {
  const table = new Table(3);
  for (let i = 0; i < 3; i++) table.prove(table.add("greedy"));
  assert(table.add("other") > 0);
  assertEquals(table.evicted, [1]);
});

Deno.test("in a table of one proven entry for each owner, the newcomer is refused", () => {
  const table = new Table(2);
  table.prove(table.add("a"));
  table.prove(table.add("b"));
  assertEquals(table.add("c"), 0);
  assertEquals(table.evicted, []);
  assertEquals(table.shares.size, 2);
});

Deno.test("an entry in use is evicted after those that are not", () => {
  const table = new Table(3, 3);
  table.addMany("a", 3);
  table.touch(1);
  table.add("a");
  assertEquals(table.evicted, [2]);
});

Deno.test("an entry that has ended frees its place, and ending it again does nothing", () => {
  const table = new Table(2);
  const place = table.shares.add("a", 1)!;
  table.shares.remove(place);
  table.shares.remove(place);
  table.shares.prove(place);
  table.shares.touch(place);
  assertEquals([table.shares.size, table.shares.countOf("a")], [0, 0]);
});

/** The same rules by looking at everything each time. */
class Reference {
  entries: { owner: string; item: number; isProven: boolean }[] = [];
  /** In the order in which owners reached their counts, the latest last. */
  reached: Record<"unproven" | "proven", string[]> = { unproven: [], proven: [] };

  constructor(readonly capacity: number, readonly share: number) {}

  of(owner: string, isProven?: boolean) {
    return this.entries.filter((entry) =>
      entry.owner === owner && (isProven === undefined || entry.isProven === isProven)
    );
  }

  #changed(owner: string, isProven: boolean) {
    const order = this.reached[isProven ? "proven" : "unproven"];
    const at = order.indexOf(owner);
    if (at >= 0) order.splice(at, 1);
    order.push(owner);
  }

  add(owner: string, item: number): { evicted: number | null; isRefused: boolean } {
    let evicted: number | null = null;
    if (this.of(owner).length >= this.share) evicted = this.#evict(owner);
    else if (this.entries.length >= this.capacity) {
      const victim = this.#victim(owner);
      if (victim === null) return { evicted: null, isRefused: true };
      evicted = this.#evict(victim);
    }
    this.entries.push({ owner, item, isProven: false });
    this.#changed(owner, false);
    return { evicted, isRefused: false };
  }

  #victim(newcomer: string): string | null {
    const hasUnproven = this.entries.some(({ isProven }) => !isProven);
    const order = this.reached[hasUnproven ? "unproven" : "proven"];
    const count = (owner: string) => this.of(owner, !hasUnproven).length;
    const most = Math.max(...order.map(count));
    if (count(newcomer) === most) return newcomer;
    if (!hasUnproven && most <= count(newcomer) + 1) return null;
    return order.find((owner) => count(owner) === most)!;
  }

  #evict(owner: string): number {
    const { item } = (this.of(owner, false)[0] ?? this.of(owner, true)[0])!;
    this.remove(item);
    return item;
  }

  remove(item: number): void {
    const at = this.entries.findIndex((entry) => entry.item === item);
    if (at < 0) return;
    const [entry] = this.entries.splice(at, 1);
    this.#changed(entry!.owner, entry!.isProven);
  }

  prove(item: number): void {
    const at = this.entries.findIndex((entry) => entry.item === item);
    if (at < 0 || this.entries[at]!.isProven) return;
    const [entry] = this.entries.splice(at, 1);
    this.#changed(entry!.owner, false);
    this.entries.push({ ...entry!, isProven: true });
    this.#changed(entry!.owner, true);
  }
}

Deno.test("whatever is done to it, the table evicts as the slow reference", () => {
  const operation = fc.record({
    kind: fc.constantFrom("add", "add", "add", "prove", "remove"),
    owner: fc.constantFrom("a", "b", "c", "d"),
    pick: fc.nat(1000),
  });
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 6 }),
    fc.integer({ min: 1, max: 6 }),
    fc.array(operation, { maxLength: 60 }),
    (capacity, share, operations) => {
      const table = new Table(capacity, share);
      const reference = new Reference(capacity, share);
      for (const [i, { kind, owner, pick }] of operations.entries()) {
        if (kind === "add") {
          const before = table.evicted.length;
          const item = table.add(owner);
          const expected = reference.add(owner, i);
          assertEquals(item === 0, expected.isRefused);
          assertEquals(table.evicted.length > before, expected.evicted !== null);
          if (item !== 0) reference.entries.at(-1)!.item = item;
        } else if (reference.entries.length > 0) {
          const { item } = reference.entries[pick % reference.entries.length]!;
          table[kind](item);
          reference[kind](item);
        }
        const held = [...table.places.keys()].sort((a, b) => a - b);
        assertEquals(held, reference.entries.map(({ item }) => item).sort((a, b) => a - b));
        assertEquals(table.shares.size, held.length);
      }
    },
  ));
});
