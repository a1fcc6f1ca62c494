/** Tests of lib/core/wireguard/handshake/rate_limiter.ts, on a fake clock. */
import {
  HANDSHAKE_BURST,
  HandshakeRateLimiter,
  HANDSHAKES_PER_SECOND,
} from "../../../../../lib/core/wireguard/handshake/rate_limiter.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { FakeClock } from "../../../../support/time/fake_clock.ts";
import { Random } from "../../../../support/random.ts";

const ADDRESS = 0xc0000201;

/** How many of `count` handshakes from one address go through at the same moment. */
function burst(limiter: HandshakeRateLimiter, address: number, now: number, count = 50): number {
  let allowed = 0;
  for (let round = 0; round < count; round++) allowed += Number(limiter.allow(address, now));
  return allowed;
}

Deno.test("allow() lets a burst of five through and no more", () => {
  const limiter = new HandshakeRateLimiter(1);
  assertEquals(HANDSHAKE_BURST, 5);
  assertEquals(burst(limiter, ADDRESS, 0), 5);
});

Deno.test("allow() lets twenty a second through over time, however many are sent", () => {
  assertEquals(HANDSHAKES_PER_SECOND, 20);
  const limiter = new HandshakeRateLimiter(1);
  const clock = new FakeClock();
  burst(limiter, ADDRESS, clock.now);
  let allowed = 0;
  for (let ms = 0; ms < 10_000; ms++) {
    allowed += Number(limiter.allow(ADDRESS, clock.advance(1)));
  }
  assertEquals(allowed, 200);
});

Deno.test("allow() never refuses a source that keeps to twenty a second", () => {
  const limiter = new HandshakeRateLimiter(1);
  const clock = new FakeClock();
  for (let round = 0; round < 100; round++) {
    assert(limiter.allow(ADDRESS, clock.advance(50)), `${round}`);
  }
});

Deno.test("allow() gives back one handshake after 50 ms and the whole burst after 250 ms", () => {
  const limiter = new HandshakeRateLimiter(1);
  const clock = new FakeClock();
  burst(limiter, ADDRESS, clock.now);
  assertEquals(burst(limiter, ADDRESS, clock.advance(49)), 0);
  assertEquals(burst(limiter, ADDRESS, clock.advance(1)), 1);
  assertEquals(burst(limiter, ADDRESS, clock.advance(250)), 5);
  assertEquals(burst(limiter, ADDRESS, clock.advance(100_000)), 5);
});

Deno.test("allow() keeps the sources apart, 0.0.0.0 and the highest address included", () => {
  const limiter = new HandshakeRateLimiter(1);
  for (const address of [0, ADDRESS, ADDRESS + 1, 0xffffffff]) {
    assertEquals(burst(limiter, address, 0), 5, `${address}`);
  }
  assertEquals(burst(limiter, ADDRESS, 0), 0);
});

Deno.test("allow() gives nothing extra when the clock stands still", () => {
  const limiter = new HandshakeRateLimiter(1);
  burst(limiter, ADDRESS, 1_000);
  assertEquals(burst(limiter, ADDRESS, 1_000), 0);
});

Deno.test("allow() holds a thousand sources to their rate at once", () => {
  const random = new Random(1);
  const limiter = new HandshakeRateLimiter(random.uint32());
  const addresses = Array.from({ length: 1000 }, () => random.uint32());
  const clock = new FakeClock();
  const allowed = new Map<number, number>();
  for (let round = 0; round < 100; round++) {
    clock.advance(10);
    for (const address of addresses) {
      if (limiter.allow(address, clock.now)) {
        allowed.set(address, (allowed.get(address) ?? 0) + 1);
      }
    }
  }
  assertEquals(allowed.size, 1000);
  // A burst of 5, and 20 within the second of which the first 10 ms came before anything was spent.
  for (const [address, count] of allowed) {
    assert(count === 24 || count === 25, `${address}: ${count}`);
  }
});

Deno.test("allow() still serves a newcomer, and holds the rate soon after, when a million addresses flood", () => {
  const random = new Random(2);
  const limiter = new HandshakeRateLimiter(random.uint32());
  const clock = new FakeClock();
  for (let round = 0; round < 1_000_000; round++) {
    limiter.allow(random.uint32(), clock.now);
    if (round % 1000 === 0) clock.advance(1);
  }
  assertEquals(burst(limiter, ADDRESS, clock.now), 5);
  assertEquals(burst(limiter, ADDRESS, clock.now), 0);
});

Deno.test("the memory of HandshakeRateLimiter stays flat when a million addresses flood", () => {
  const random = new Random(3);
  const limiter = new HandshakeRateLimiter(random.uint32());
  const flood = () => {
    for (let round = 0; round < 500_000; round++) limiter.allow(random.uint32(), round / 100);
  };
  flood();
  const before = Deno.memoryUsage();
  flood();
  const after = Deno.memoryUsage();
  const grown = after.heapUsed + after.external - before.heapUsed - before.external;
  // A table that kept each address would need 500,000 x 20 bytes at the very least.
  assert(grown < 4 * 1024 * 1024, `${grown} bytes more`);
});

Deno.test("wouldAllow() says what allow() would, and pays nothing", () => {
  const limiter = new HandshakeRateLimiter(1);
  for (let round = 0; round < 10; round++) assert(limiter.wouldAllow(ADDRESS, 0));
  assertEquals(burst(limiter, ADDRESS, 0), 5);
  assertEquals(limiter.wouldAllow(ADDRESS, 0), false);
  assertEquals(limiter.wouldAllow(ADDRESS, 49), false);
  assert(limiter.wouldAllow(ADDRESS, 50));
});
