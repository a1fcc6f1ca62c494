/** Tests of lib/core/threads/shared_token_bucket.ts: as many threads as there are have one limit. */
import { TokenBucket } from "../../../../lib/core/limits/token_bucket.ts";
import { SharedTokenBucket } from "../../../../lib/core/threads/shared_token_bucket.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { everyInterleaving } from "../../../support/interleavings.ts";

Deno.test("threads together take no more than there is and a packet each, whatever their order", () => {
  const count = everyInterleaving(() => {
    const words = new Int32Array(2);
    // 10,000 bytes at once, and 1,000 in each ms.
    new SharedTokenBucket(8e6, words, 0).fill(0);
    const take = (now: number, lengths: readonly number[]) => () => {
      const bucket = new SharedTokenBucket(8e6, words, 0);
      return lengths.filter((length) => bucket.take(length, now, false));
    };
    return {
      threads: [take(10, [8_000, 3_000]), take(8, [4_000])],
      check: (results) => {
        const passed = results.flat().reduce((sum, length) => sum + length, 0);
        assert(passed > 10_000 && passed <= 15_000, `${passed}`);
        // What is owed is owed by all of them.
        const bucket = new SharedTokenBucket(8e6, words, 0);
        const owed = passed - 10_000;
        assert(bucket.take(1, 10 + owed / 1_000 + 1, false));
      },
    };
  });
  assert(count > 100, `${count} orders`);
});

Deno.test("over time, several threads pass what one would, at low rates and at high ones", () => {
  for (const rate of [8_000, 100_000, 1_500_000, 1e9, 40e9]) {
    const words = new Int32Array(2);
    const threads = [0, 1, 2].map(() => new SharedTokenBucket(rate, words, 0));
    threads[0]!.fill(0);
    const alone = new TokenBucket(rate);
    const passed = [0, 0];
    for (let ms = 0; ms < 20_000; ms++) {
      for (let i = 0; i < 3; i++) {
        const length = Math.max(64, Math.round(rate / 8 / 1000));
        if (threads[i]!.take(length, ms, false)) passed[0]! += length;
        if (alone.take(length, ms, false)) passed[1]! += length;
      }
    }
    assert(Math.abs(passed[0]! / passed[1]! - 1) < 0.01, `${rate}: ${passed}`);
  }
});

Deno.test("a pause of any length fills the bucket once, and a thread whose time is behind takes nothing away", () => {
  for (const pause of [1_000, 86_400_000, 30 * 86_400_000, 60 * 86_400_000]) {
    const words = new Int32Array(2);
    const bucket = new SharedTokenBucket(1e6, words, 0);
    const all = (now: number, isLate: boolean) => {
      let bytes = 0;
      while (bucket.take(1_250, now, isLate)) bytes += 1_250;
      return bytes;
    };
    bucket.fill(5_000);
    assertEquals(all(5_000, false), 2_500);
    assertEquals(bucket.take(1, 5_000, false), false);
    assertEquals(all(5_000 + pause, true), 31_250 + 1_250, `after ${pause} ms`);
    assertEquals(bucket.take(1, 4_000 + pause, true), false);
  }
});

Deno.test("the longest packet is owed for at any rate, and wait() says for how long", () => {
  for (const rate of [8_000, 1e6, 1e9, 40e9]) {
    const words = new Int32Array(2);
    const bucket = new SharedTokenBucket(rate, words, 0);
    bucket.fill(0);
    assert(bucket.take(65_535, 0, false));
    const owed = Math.max(0, 65_535 - rate / 800) / (rate / 8_000);
    const wait = bucket.wait();
    assert(Math.abs(wait - owed) <= 1 + owed / 1_000, `${rate}: ${wait}, ${owed}`);
    if (wait > 2) assert(!bucket.take(1, wait - 2, true));
    assert(bucket.take(1, wait + 1, true));
  }
});
