/** The search for the highest rate that is delivered. */
import { assert, assertEquals } from "../support/assert.ts";
import type { UdpTrial } from "./load/udp_load.ts";
import { searchRate } from "./measures/rate_search.ts";

/** A tunnel that delivers up to `limit` datagrams a second and loses what is above it, or stores it. */
function tunnel(limit: number, surplus: "lost" | "stored" = "lost") {
  const rates: number[] = [];
  const trial = (rate: number): Promise<UdpTrial> => {
    rates.push(rate);
    const delivered = Math.min(rate, limit);
    return Promise.resolve({
      sent: rate,
      receivedInTime: delivered,
      received: surplus === "lost" ? delivered : rate,
      seconds: 1,
    });
  };
  return { rates, trial };
}

for (const limit of [1_500, 24_000, 47_000, 260_000]) {
  for (const factor of [1.15, 1.6]) {
    Deno.test(`searchRate() finds ${limit} in steps of ${factor}`, async () => {
      const { trial } = tunnel(limit);
      const found = await searchRate(trial, { start: 25_000, factor });
      assert(found <= limit * 1.01 && found >= limit / 1.08, `found ${found}`);
    });
  }
}

Deno.test("searchRate() does not count what is only stored", async () => {
  const { trial } = tunnel(50_000, "stored");
  const found = await searchRate(trial, { start: 25_000, factor: 1.6 });
  assert(found <= 50_000 && found >= 50_000 / 1.08, `found ${found}`);
});

Deno.test("searchRate() gives a rate a second chance", async () => {
  let trials = 0;
  const { trial } = tunnel(100_000);
  const found = await searchRate((rate) => trial(++trials === 1 ? 2 * 100_000 : rate), {
    start: 90_000,
    factor: 1.15,
  });
  assert(found >= 90_000, `found ${found}`);
});

Deno.test("searchRate() is 0 when nothing is delivered", async () => {
  const { trial, rates } = tunnel(0);
  assertEquals(await searchRate(trial, { start: 25_000, factor: 1.6 }), 0);
  assert(rates.length < 30);
});

Deno.test("searchRate() ends when nothing is lost", async () => {
  const { trial, rates } = tunnel(1e9);
  assert(await searchRate(trial, { start: 25_000, factor: 1.6 }) > 250_000);
  assert(rates.every((rate) => rate <= 400_000));
});
