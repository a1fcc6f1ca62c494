/** Tests of CoDel: what it leaves alone, when it begins to drop, how fast, and when it ends. */
import { Codel } from "../../../../lib/core/limits/codel.ts";
import { assertEquals } from "../../../support/assert.ts";

const RATE = 20e6;
const LONG = 100_000;

/** When it drops of packets, one in each ms, that have waited so long. */
function dropsOf(codel: Codel, { from, to, waited, bytes = LONG, rate = RATE }: {
  from: number;
  to: number;
  waited: number;
  bytes?: number;
  rate?: number;
}): number[] {
  const times: number[] = [];
  for (let now = from; now < to; now++) if (codel.drops(waited, bytes, rate, now)) times.push(now);
  return times;
}

Deno.test("what waits less than the target is never dropped, nor the last two packets of a queue", () => {
  assertEquals(dropsOf(new Codel(), { from: 1, to: 5_000, waited: 14.9 }), []);
  assertEquals(dropsOf(new Codel(), { from: 1, to: 5_000, waited: 500, bytes: 3_000 }), []);
});

Deno.test("a queue may be long for an interval; then drops come ever sooner, by the square root of their count", () => {
  assertEquals(dropsOf(new Codel(), { from: 1, to: 500, waited: 50 }), [
    101,
    201,
    272,
    330,
    380,
    425,
    465,
  ]);
});

Deno.test("one packet in time ends it, and an interval begins again", () => {
  const codel = new Codel();
  assertEquals(dropsOf(codel, { from: 1, to: 250, waited: 50 }), [101, 201]);
  assertEquals(dropsOf(codel, { from: 250, to: 251, waited: 5 }), []);
  assertEquals(dropsOf(codel, { from: 251, to: 351, waited: 50 }), []);
});

Deno.test("where it has just been dropping, it goes on at the rate that had helped; after long, from the first", () => {
  for (const [pause, second] of [[10, 50], [5_000, 100]] as const) {
    const codel = new Codel();
    dropsOf(codel, { from: 1, to: 400, waited: 50 });
    dropsOf(codel, { from: 400, to: 400 + pause, waited: 5 });
    const from = 400 + pause;
    const [first, next] = dropsOf(codel, { from, to: from + 300, waited: 50 });
    assertEquals([first! - from, next! - first!], [100, second]);
  }
});

Deno.test("at a low rate the target is the time of two packets, and the interval that of four", () => {
  // 3,000 bytes at 100 kbit/s take 240 ms.
  assertEquals(dropsOf(new Codel(), { from: 1, to: 5_000, waited: 239, rate: 1e5 }), []);
  assertEquals(dropsOf(new Codel(), { from: 1, to: 600, waited: 241, rate: 1e5 }), [481]);
});
