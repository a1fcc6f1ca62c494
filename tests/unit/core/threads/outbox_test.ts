/** Tests of lib/core/threads/outbox.ts. */
import { Outbox } from "../../../../lib/core/threads/outbox.ts";
import { createRing, RingReader, RingWriter } from "../../../../lib/core/threads/record_ring.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

function site(): { outbox: Outbox; reader: RingReader; next: () => number } {
  const memory = createRing(64);
  const reader = new RingReader(memory);
  return {
    outbox: new Outbox(new RingWriter(memory)),
    reader,
    next: () => {
      const kind = reader.next();
      if (kind !== 0) reader.done();
      return kind;
    },
  };
}

/** Writes a record of this size that may be lost; false where it is. */
function offer(outbox: Outbox, kind: number, size: number): boolean {
  if (outbox.begin(kind, size, 1) < 0) return false;
  outbox.ring.commit();
  return true;
}

Deno.test("what a ring has no room for is not lost, and comes in order", () => {
  const { outbox, next } = site();
  for (let kind = 1; kind <= 10; kind++) outbox.post(kind, new Uint8Array(16).fill(kind));
  assert(outbox.isWaiting);
  assertEquals(outbox.posted, 10);
  const taken: number[] = [];
  while (taken.length < 10) {
    const kind = next();
    if (kind === 0) outbox.flush();
    else taken.push(kind);
  }
  assertEquals(taken, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assertEquals([outbox.isWaiting, outbox.isDone(10), outbox.isDone(11)], [false, true, false]);
});

Deno.test("what is only offered is not kept, and overtakes nothing that waits", () => {
  const { outbox, next } = site();
  while (offer(outbox, 1, 16));
  outbox.post(2, new Uint8Array(16));
  while (next() !== 0);
  assertEquals(offer(outbox, 3, 1), false);
  outbox.flush();
  assert(offer(outbox, 3, 1));
  assertEquals([next(), next()], [2, 3]);
});

Deno.test("a record is a copy, which is zeroed when it has been handed over", () => {
  const { outbox, next, reader } = site();
  const key = new Uint8Array(40).fill(7);
  outbox.post(1, key);
  outbox.post(2, key);
  key.fill(0);
  next();
  outbox.flush();
  assertEquals(reader.next(), 2);
  const { offset, length } = reader;
  assertEquals([...reader.bytes.subarray(offset, offset + length)], Array(40).fill(7));
  reader.done();
  assert(reader.bytes.subarray(128).every((byte) => byte === 0));
});
