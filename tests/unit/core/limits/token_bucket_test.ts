/** Tests of the bound on a rate: how much passes, how soon, and what is owed. */
import { TokenBucket } from "../../../../lib/core/limits/token_bucket.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";

/** More bytes than any test here lets through. */
const ENDLESS = 1e10;

/** Bytes that pass from `start` on in `ms`, where packets of `length` bytes never cease. */
function passed(bucket: TokenBucket, { start, ms, length = 1_400 }: {
  start: number;
  ms: number;
  length?: number;
}): number {
  let bytes = 0;
  for (let now = start; now < start + ms; now += 0.25) {
    while (bucket.take(length, now, false)) {
      bytes += length;
      assert(bytes < ENDLESS, "there is no limit");
    }
  }
  return bytes;
}

Deno.test("take() lets the rate through, exactly, over any time, and 10 ms of it before", () => {
  for (const rate of [10_000, 1_000_000, 20_000_000, 1_000_000_000]) {
    const bucket = new TokenBucket(rate);
    const burst = rate / 8 / 100;
    const first = passed(bucket, { start: 0, ms: 1 });
    assert(first >= burst && first <= burst + rate / 8_000 + 1_400);
    let start = 1;
    for (const ms of [10_000, 50_000]) {
      const bytes = passed(bucket, { start, ms });
      assert(Math.abs(bytes - rate / 8 * ms / 1000) <= 1_400 + rate / 8_000, `${rate}: ${bytes}`);
      start += ms;
    }
  }
});

Deno.test("take() lets packets of any length through, and none of the rate is lost to what is left over", () => {
  for (const length of [20, 1_499, 65_535]) {
    const bucket = new TokenBucket(80_000);
    const bytes = passed(bucket, { start: 0, ms: 60_000, length });
    assert(Math.abs(bytes - 600_000) <= length + 100, `${length}: ${bytes}`);
  }
});

Deno.test("take() saves up 10 ms, however long nothing came; a quarter of a second where packets wait", () => {
  for (const [isLate, ms] of [[false, 10], [true, 250]] as const) {
    const bucket = new TokenBucket(8_000_000);
    passed(bucket, { start: 0, ms: 10 });
    let bytes = 0;
    while (bucket.take(1_000, 1e9, isLate)) bytes += 1_000;
    assertEquals(bytes, ms * 1_000 + 1_000);
  }
});

Deno.test("what was saved up while packets waited is not there for those that come when none do", () => {
  const bucket = new TokenBucket(8_000_000);
  passed(bucket, { start: 0, ms: 10 });
  assert(bucket.take(1_000, 1_000, true));
  let bytes = 0;
  while (bucket.take(1_000, 1_000, false)) bytes += 1_000;
  assertEquals(bytes, 11_000);
});

Deno.test("take() gets nothing from a clock that goes back, and loses nothing", () => {
  const bucket = new TokenBucket(8_000);
  assert(bucket.take(1_010, 1_000, false));
  assertEquals(
    [-1e9, 0, 1_000, 1_999, 2_000].map((now) => bucket.take(1, now, false)),
    [false, false, false, false, true],
  );
});

Deno.test("wait() says when the next packet may pass: not a ms before, and then", () => {
  const random = new Random(3);
  for (let round = 0; round < 200; round++) {
    const bucket = new TokenBucket(random.between(1_000, 1_000_000_000));
    let now = random.float() * 1_000;
    for (let i = 0; i < 50; i++) {
      while (bucket.take(random.between(20, 1_500), now, true));
      const wait = bucket.wait();
      assert(wait > 0 && Number.isInteger(wait));
      if (wait > 1) assert(!bucket.take(0, now + wait - 1.001, true));
      now += wait + 1e-6;
      assert(bucket.take(0, now, true));
    }
  }
});

Deno.test("take() keeps the bound: in no interval more than 10 ms, the rate's time and a packet", () => {
  const random = new Random(1);
  for (let round = 0; round < 50; round++) {
    const rate = 1_000 + random.below(50_000_000);
    const bucket = new TokenBucket(rate);
    const taken: { now: number; length: number }[] = [];
    let now = 0;
    for (let i = 0; i < 200; i++) {
      now += random.float() * 20;
      const length = 20 + random.below(1_480);
      if (bucket.take(length, now, false)) taken.push({ now, length });
    }
    for (let from = 0; from < taken.length; from += 7) {
      let bytes = 0;
      for (const { now, length } of taken.slice(from)) {
        bytes += length;
        assert(bytes <= rate / 800 + 1_500 + rate / 8000 * (now - taken[from]!.now) + 0.001);
      }
    }
  }
});
