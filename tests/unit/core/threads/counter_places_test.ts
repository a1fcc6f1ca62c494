/** Tests of lib/core/threads/counter_places.ts: by every order in which the threads may go on. */
import { CounterPlaces } from "../../../../lib/core/threads/counter_places.ts";
import { Outbox } from "../../../../lib/core/threads/outbox.ts";
import { createRing, RingReader, RingWriter } from "../../../../lib/core/threads/record_ring.ts";
import { SharedCounter, Turn } from "../../../../lib/core/threads/shared_counter.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import { everyInterleaving } from "../../../support/interleavings.ts";

const BEGUN = 1;
const ENDED = 2;

Deno.test("nobody uses a counter twice under one key, though places are used again", () => {
  let reused = 0;
  const count = everyInterleaving(() => {
    const words = new Int32Array(2);
    const memory = createRing(64);
    return {
      threads: [
        // The device's thread: ends a session, and begins another one.
        () => {
          const outbox = new Outbox(new RingWriter(memory));
          const places = new CounterPlaces(words, [outbox]);
          const old = places.take();
          assertEquals(old, 0);
          outbox.post(BEGUN, new Uint8Array(4));
          outbox.post(ENDED, new Uint8Array(4));
          places.release(old);
          const next = places.take();
          const counter = new SharedCounter(words, next, new Turn());
          return [counter.take(), counter.take()].map((low) => `new ${next} ${low}`);
        },
        // A worker: seals under the old key until it hears of its end.
        () => {
          const reader = new RingReader(memory);
          const counter = new SharedCounter(words, 0, new Turn());
          const taken: string[] = [];
          let isBegun = false;
          for (let i = 0; i < 3; i++) {
            const kind = reader.next();
            if (kind !== 0) reader.done();
            if (kind === ENDED) break;
            isBegun ||= kind === BEGUN;
            if (isBegun) taken.push(`old ${counter.take()}`);
          }
          return taken;
        },
      ],
      check: (results) => {
        const all = results.flat();
        assertEquals(new Set(all).size, all.length, JSON.stringify(results));
        if (all.includes("new 0 0")) reused++;
      },
    };
  });
  assert(reused > 10 && reused < count, `${reused} of ${count}`);
});

Deno.test("a place comes free when all the others have been told, and not before", () => {
  const memories = [createRing(256), createRing(256)];
  const outboxes = memories.map((memory) => new Outbox(new RingWriter(memory)));
  const places = new CounterPlaces(new Int32Array(2), outboxes);
  const [first] = [places.take(), places.take()];
  for (const outbox of outboxes) outbox.post(ENDED, new Uint8Array(4));
  places.release(first!);
  assertThrows(() => places.take(), RangeError, "all places are taken");
  for (const memory of memories) {
    assertThrows(() => places.take(), RangeError);
    const reader = new RingReader(memory);
    reader.next();
    reader.done();
  }
  assertEquals(places.take(), first);
});

Deno.test("what waits for room in a ring counts as not told", () => {
  const memory = createRing(64);
  const outbox = new Outbox(new RingWriter(memory));
  const places = new CounterPlaces(new Int32Array(1), [outbox]);
  const place = places.take();
  for (let i = 0; i < 4; i++) outbox.post(ENDED, new Uint8Array(24));
  places.release(place);
  const reader = new RingReader(memory);
  let done = 0;
  while (done < 4) {
    assertThrows(() => places.take(), RangeError);
    if (reader.next() === 0) outbox.flush();
    else {
      reader.done();
      done++;
    }
  }
  assertEquals(places.take(), place);
});

Deno.test("a place begins at counter 0 whatever was drawn from it before", () => {
  const words = new Int32Array(1);
  const places = new CounterPlaces(words, []);
  const place = places.take();
  words[place] = 77;
  places.release(place);
  assertEquals([places.take(), words[place]], [place, 0]);
});

Deno.test("all places are taken until the others have been told of the end of one", () => {
  let isDone = false;
  const places = new CounterPlaces(new Int32Array(2), [{ posted: 0, isDone: () => isDone }]);
  const place = places.take();
  assertEquals(places.isFull, false);
  places.take();
  assertEquals(places.isFull, true);
  places.release(place);
  assertEquals(places.isFull, true);
  isDone = true;
  assertEquals(places.isFull, false);
  assertEquals(places.take(), place);
});
