/** Tests of lib/core/threads/record_ring.ts: by every order in which its two threads may go on. */
import { createRing, RingReader, RingWriter } from "../../../../lib/core/threads/record_ring.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { everyInterleaving } from "../../../support/interleavings.ts";
import { Random } from "../../../support/random.ts";

/** Writes a record that is `length` times its kind; false where there is no room. */
function write(writer: RingWriter, kind: number, length: number): boolean {
  const at = writer.begin(kind, length);
  if (at < 0) return false;
  writer.bytes.fill(kind, at, at + length);
  writer.commit();
  return true;
}

/** Reads a record, which must be whole. Returns its kind and its length; null for none. */
function read(reader: RingReader): [number, number] | null {
  const kind = reader.next();
  if (kind === 0) return null;
  const { offset, length } = reader;
  const payload = reader.bytes.slice(offset, offset + length);
  assert(payload.every((byte) => byte === kind), `record ${kind} is ${payload}`);
  reader.done();
  return [kind, length];
}

Deno.test("records arrive whole and in order, whatever the order in which the threads go on", () => {
  const lengths = [4, 20, 12, 8];
  let complete = 0;
  const count = everyInterleaving(() => {
    const memory = createRing(64);
    return {
      threads: [
        () => {
          const writer = new RingWriter(memory);
          let written = 0;
          for (let tries = 0; tries < 4; tries++) {
            if (write(writer, written + 1, lengths[written]!)) written++;
          }
          return Array.from({ length: written }, (_, i) => [i + 1, lengths[i]!]);
        },
        () => {
          const reader = new RingReader(memory);
          return [0, 1, 2].flatMap(() => {
            const record = read(reader);
            return record === null ? [] : [record];
          });
        },
      ],
      check: ([written, taken]) => {
        assertEquals(taken, written!.slice(0, taken!.length));
        if (taken!.length === 3) complete++;
      },
    };
  });
  assert(count > 500 && complete > 20, `${complete} of ${count}`);
});

Deno.test("a ring that is full takes no record, and has room for it when others have been read", () => {
  const memory = createRing(64);
  const [writer, reader] = [new RingWriter(memory), new RingReader(memory)];
  assert(write(writer, 1, 24));
  assert(write(writer, 2, 24));
  assertEquals(write(writer, 3, 8), false);
  assertEquals(read(reader), [1, 24]);
  assert(write(writer, 3, 24));
  assertEquals([read(reader), read(reader), read(reader)], [[2, 24], [3, 24], null]);
});

Deno.test("what has been read is zeroed, and its writer knows that it is done", () => {
  const memory = createRing(256);
  const [writer, reader] = [new RingWriter(memory), new RingReader(memory)];
  write(writer, 9, 100);
  assertEquals([writer.count, writer.isDone(1)], [1, false]);
  read(reader);
  assertEquals([writer.isDone(1), writer.isDone(2)], [true, false]);
  assert(new Uint8Array(memory, 128).every((byte) => byte === 0));
});

Deno.test("records of any length go round the ring", () => {
  const random = new Random(7);
  const memory = createRing(1 << 10);
  const [writer, reader] = [new RingWriter(memory), new RingReader(memory)];
  const expected: [number, number][] = [];
  for (let i = 0; i < 20_000; i++) {
    const record: [number, number] = [1 + i % 250, random.below(400)];
    if (random.chance(0.6) && write(writer, ...record)) expected.push(record);
    if (random.chance(0.5)) assertEquals(read(reader), expected.shift() ?? null);
  }
});

Deno.test("what may only fill a share of the ring leaves the rest to what must get through", () => {
  const memory = createRing(128);
  const writer = new RingWriter(memory);
  let count = 0;
  for (; writer.begin(1, 8, 1 / 4) >= 0; count++) writer.commit();
  assertEquals(count, 2);
  assert(write(writer, 2, 8));
  assertEquals(writer.begin(1, 8, 1 / 4), -1);
  const reader = new RingReader(memory);
  for (; count > 0; count--) {
    assertEquals(reader.next(), 1);
    reader.done();
  }
  assert(writer.begin(1, 0, 1 / 4) >= 0);
});

Deno.test("records that are passed rather than done stay as they are, and make room all the same", () => {
  const memory = createRing(64);
  const [writer, reader] = [new RingWriter(memory), new RingReader(memory)];
  for (let i = 1; i <= 200; i++) {
    const length = i % 20;
    assert(write(writer, i, length), `record ${i}`);
    assertEquals([reader.next(), reader.length], [i, length]);
    const { offset } = reader;
    reader.passed();
    const left = reader.bytes.slice(offset, offset + length);
    assert(left.every((byte) => byte === (i & 255)));
    assert(writer.isDone(i));
  }
  assertEquals(reader.next(), 0);
});
