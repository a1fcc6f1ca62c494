/** Tests of texts of quantities on the console's page. */
import {
  agoText,
  aheadText,
  bitRateText,
  byteRateText,
  bytesText,
  countText,
  durationText,
  wordsText,
} from "../../../../lib/console/page/text/format.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("amounts have three digits that count, in decimal units", () => {
  const texts = [0, 1, 999, 1000, 12_345, 999_499, 999_500, 4_321_000_000].map(bytesText);
  assertEquals(
    texts,
    ["0 B", "1 B", "999 B", "1.00 kB", "12.3 kB", "999 kB", "1.00 MB", "4.32 GB"],
  );
});

Deno.test("rates are bits a second", () => {
  assertEquals(byteRateText(1_250_000), "10.0 Mbit/s");
  assertEquals(bitRateText(50_000_000), "50.0 Mbit/s");
});

Deno.test("lengths of time have two units at most", () => {
  const texts = [0, 59.9, 60, 3_599, 3_600, 5_430, 86_400, 99_999].map(durationText);
  assertEquals(
    texts,
    ["0 s", "59 s", "1 min", "59 min", "1 h", "1 h 30 min", "1 d", "1 d 3 h"],
  );
});

Deno.test("times are told from now", () => {
  const now = Date.parse("2026-11-29T12:00:00Z");
  assertEquals(agoText(null, now), "never");
  assertEquals(agoText("2026-11-29T12:00:00Z", now), "now");
  assertEquals(agoText("2026-11-29T11:55:00Z", now), "5 min ago");
  assertEquals(aheadText("2026-12-04T12:00:00Z", now), "in 5 d");
  assertEquals(aheadText("2026-11-28T12:00:00Z", now), "1 d ago");
});

Deno.test("counts and names are words", () => {
  assertEquals([0, 1, 1_000].map((count) => countText(count, "peer")), [
    "0 peers",
    "1 peer",
    "1,000 peers",
  ]);
  assertEquals(wordsText("quota-reached"), "quota reached");
  assertEquals(wordsText("natUnsupportedProtocol"), "nat unsupported protocol");
});
