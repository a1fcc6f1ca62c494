/** Tests of lib/core/threads/shared_token_bucket.ts: as many threads as there are have one limit. */
import { TokenBucket } from "../../../../lib/core/limits/token_bucket.ts";
import { SharedTokenBucket } from "../../../../lib/core/threads/shared_token_bucket.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { everyInterleaving } from "../../../support/interleavings.ts";

Deno.test("threads together take no more than there is, whatever their order", () => {
  const count = everyInterleaving(() => {
    const words = new Int32Array(2);
    // 65,536 bytes at once, and 125 in each ms.
    new SharedTokenBucket(1e6, words, 0).fill(0);
    const take = (now: number, lengths: readonly number[]) => () => {
      const bucket = new SharedTokenBucket(1e6, words, 0);
      return lengths.filter((length) => bucket.take(length, now));
    };
    return {
      threads: [take(10, [40_000, 20_000]), take(8, [30_000])],
      check: (results) => {
        const passed = results.flat().reduce((sum, length) => sum + length, 0);
        assert(passed <= 65_536 && passed >= 50_000, `${passed}`);
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
        if (threads[i]!.take(length, ms)) passed[0]! += length;
        if (alone.take(length, ms)) passed[1]! += length;
      }
    }
    assert(Math.abs(passed[0]! / passed[1]! - 1) < 0.01, `${rate}: ${passed}`);
  }
});

Deno.test("a pause of any length fills the bucket once, and a thread whose time is behind takes nothing away", () => {
  for (const pause of [1_000, 86_400_000, 30 * 86_400_000, 60 * 86_400_000]) {
    const words = new Int32Array(2);
    const bucket = new SharedTokenBucket(1e6, words, 0);
    bucket.fill(5_000);
    assert(bucket.take(65_000, 5_000));
    assertEquals(bucket.take(65_000, 5_000), false);
    assert(bucket.take(65_000, 5_000 + pause), `after ${pause} ms`);
    assertEquals(bucket.take(65_000, 4_000 + pause), false);
  }
});
