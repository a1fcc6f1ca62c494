/** Shows that bytes are collected in one buffer, however they come. */
import { CollectedBytes } from "../../../../lib/core/limits/collected_bytes.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

Deno.test("take() returns what was added, and begins again", () => {
  const collected = new CollectedBytes(1_000);
  for (let i = 0; i < 1_000; i++) assert(collected.add(Uint8Array.of(i)));
  assertEquals(collected.length, 1_000);
  assertEquals(collected.take(), Uint8Array.from({ length: 1_000 }, (_, i) => i));
  assertEquals([collected.length, collected.take().length], [0, 0]);
});

Deno.test("add() takes no more than is allowed, and nothing of a part that is more", () => {
  const collected = new CollectedBytes(4);
  assert(collected.add(Uint8Array.of(1, 2, 3)));
  assert(!collected.add(Uint8Array.of(4, 5)));
  assert(collected.add(Uint8Array.of(6)));
  assertEquals(collected.take(), Uint8Array.of(1, 2, 3, 6));
  assert(!new CollectedBytes(4).add(new Uint8Array(5)));
});

Deno.test("what was added and taken is memory of its own", () => {
  const collected = new CollectedBytes(4);
  const part = Uint8Array.of(1, 2);
  collected.add(part);
  part.fill(9);
  const taken = collected.take();
  collected.add(Uint8Array.of(7, 7));
  assertEquals(taken, Uint8Array.of(1, 2));
});
