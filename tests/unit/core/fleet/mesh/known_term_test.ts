/** Tests of lib/core/fleet/mesh/known_term.ts. */
import { KnownTerm } from "../../../../../lib/core/fleet/mesh/known_term.ts";
import { weightOf } from "../../../../../lib/core/fleet/rendezvous.ts";
import { assertEquals } from "../../../../support/assert.ts";
import { FIRST_HEARTBEAT } from "../../../../support/fleet/heartbeats.ts";

const KEY = 1;
const says = (term: number, holder: number | null, needsStore = false, holds = true) => ({
  ...FIRST_HEARTBEAT,
  term,
  holder,
  needsStore,
  holds,
});
const read = ({ term, holder, needsStore }: KnownTerm) => [term, holder, needsStore];

Deno.test("a later term is learned from anyone, and that its holder does not need the store from itself alone", () => {
  const known = new KnownTerm(0, KEY);
  assertEquals(read(known), [0, null, true]);
  known.heard(2, says(5, 1));
  assertEquals(read(known), [5, 1, true]);
  known.heard(1, says(5, 1));
  assertEquals(read(known), [5, 1, false]);
  known.heard(2, says(5, 1, true));
  assertEquals(read(known), [5, 1, false]);
  known.heard(1, says(5, 1, true));
  assertEquals(read(known), [5, 1, true]);
  known.heard(2, says(4, 2));
  known.heard(2, says(9, null));
  assertEquals(read(known), [5, 1, true]);
});

Deno.test("a gateway that is told that it holds the address, and does not, says so: it has been started again", () => {
  const known = new KnownTerm(0, KEY);
  known.heard(2, says(5, 0, true));
  assertEquals(read(known), [5, 0, false]);
  known.stored({ term: 6, holder: 0, voters: [] });
  assertEquals(read(known), [6, 0, false]);
  known.stored({ term: 7, holder: 1, voters: [] });
  assertEquals(read(known), [7, 1, true]);
});

Deno.test("of two that have taken the same term, the store's entry says which one has it", () => {
  const known = new KnownTerm(0, KEY);
  known.heard(1, says(5, 1));
  known.stored({ term: 5, holder: 2, voters: [] });
  assertEquals(read(known), [5, 2, true]);
  known.stored({ term: 4, holder: 1, voters: [] });
  assertEquals(read(known), [5, 2, true]);
});

Deno.test("of two that have taken the same term unseen by the store, the one with the store's word has it, else the greater weight", () => {
  const [less, greater] = weightOf(KEY, 1) < weightOf(KEY, 2) ? [1, 2] : [2, 1];
  const known = new KnownTerm(0, KEY);
  known.heard(less, says(5, less));
  known.heard(greater, says(5, greater, false, false));
  assertEquals(read(known), [5, less, false]);
  known.heard(greater, says(5, greater));
  assertEquals(read(known), [5, greater, false]);
  known.heard(less, says(5, less));
  assertEquals(read(known), [5, greater, false]);
  known.heard(less, says(5, less, true));
  assertEquals(read(known), [5, less, true]);
  known.heard(greater, says(5, greater));
  assertEquals(read(known), [5, less, true]);
});
