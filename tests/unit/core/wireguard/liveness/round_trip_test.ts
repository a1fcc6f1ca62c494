/** Tests of the smoothed round-trip time. */
import { RoundTrip } from "../../../../../lib/core/wireguard/liveness/round_trip.ts";
import { assertEquals } from "../../../../support/assert.ts";

Deno.test("the first measurement is taken as it is, the others by RFC 6298's eighth and quarter", () => {
  const roundTrip = new RoundTrip();
  assertEquals(roundTrip.smoothed, null);
  roundTrip.measured(100);
  assertEquals([roundTrip.smoothed, roundTrip.variation], [100, 50]);
  roundTrip.measured(180);
  assertEquals([roundTrip.smoothed, roundTrip.variation], [110, 57.5]);
});

Deno.test("answers may come in any order, each counts once, and those of long ago not at all", () => {
  const roundTrip = new RoundTrip();
  const first = roundTrip.next(0);
  const second = roundTrip.next(1_000);
  roundTrip.answered(second, 1_200);
  assertEquals(roundTrip.smoothed, 200);
  roundTrip.answered(first, 1_200);
  assertEquals(roundTrip.smoothed, 200 + (1_200 - 200) / 8);
  const { smoothed } = roundTrip;
  roundTrip.answered(second, 5_000);
  const old = roundTrip.next(2_000);
  for (let i = 0; i < 64; i++) roundTrip.next(3_000);
  roundTrip.answered(old, 9_000);
  for (const never of [0, 1_000, 2 ** 32 - 1]) roundTrip.answered(never, 9_000);
  assertEquals(roundTrip.smoothed, smoothed);
});

Deno.test("of another path nothing is known", () => {
  const roundTrip = new RoundTrip();
  const sequence = roundTrip.next(0);
  roundTrip.measured(100);
  roundTrip.forget();
  roundTrip.answered(sequence, 50);
  assertEquals([roundTrip.smoothed, roundTrip.variation], [null, 0]);
});
