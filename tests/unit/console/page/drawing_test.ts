/** Tests of what the console's page draws: rows in sight, sparklines, QR codes, bars, changes of settings. */
import { default as decode } from "jsqr";
import { qrPath } from "../../../../lib/console/page/parts/qr.tsx";
import { sparkPaths } from "../../../../lib/console/page/parts/sparkline.tsx";
import { windowOf } from "../../../../lib/console/page/parts/virtual_rows.tsx";
import { usageSeries } from "../../../../lib/console/page/screens/peer/usage_series.ts";
import { shownLines } from "../../../../lib/console/page/screens/settings/preview_dialog.tsx";
import { assert, assertEquals } from "../../../support/assert.ts";
import fc from "../../../support/property.ts";

Deno.test("all rows in sight are made, and few others", () => {
  const rowHeight = 50;
  assertEquals(windowOf({ top: 0, height: 500, rowHeight, count: 1_000 }), { first: 0, end: 16 });
  assertEquals(windowOf({ top: 0, height: 500, rowHeight, count: 0 }), { first: 0, end: 0 });
  fc.assert(fc.property(
    fc.integer({ min: 0, max: 2_000 }),
    fc.integer({ min: 0, max: 60_000 }),
    fc.integer({ min: 1, max: 3_000 }),
    (count, top, height) => {
      const { first, end } = windowOf({ top, height, rowHeight, count });
      assert(first >= 0 && end <= count && first <= end);
      assert(end - first <= Math.ceil(height / rowHeight) + 14, `${end - first} rows`);
      const inSight = Array.from({ length: count }, (_, row) => row).filter((row) =>
        (row + 1) * rowHeight > top && row * rowHeight < top + height
      );
      assert(inSight.every((row) => row >= first && row < end));
    },
  ));
});

Deno.test("a sparkline ends at the right, with its highest value at the top", () => {
  assertEquals(sparkPaths([], 60), null);
  assertEquals(sparkPaths([0, 0, 0], 60), null);
  assertEquals(sparkPaths([0, 10, 5], 5)?.line, "M50.0 23.0L75.0 2.0L100.0 12.5");
});

Deno.test("a reader of QR codes reads what is drawn", () => {
  const text = `[Interface]\nPrivateKey = ${"k".repeat(43)}=\nAllowedIPs = 0.0.0.0/0, ::/0\n`;
  const { path, size } = qrPath(text);
  const scale = 3;
  const width = size * scale;
  const pixels = new Uint8ClampedArray(width * width * 4).fill(255);
  for (const [, x, y, run] of path.matchAll(/M(\d+) (\d+)h(\d+)v1H\d+z/g)) {
    for (let row = 0; row < scale; row++) {
      for (let column = 0; column < Number(run) * scale; column++) {
        const at = (Number(y) * scale + row) * width + Number(x) * scale + column;
        pixels.fill(0, at * 4, at * 4 + 3);
      }
    }
  }
  assertEquals(decode.default(pixels, width, width)?.data, text);
});

Deno.test("usage has a bar for each period up to the current one, of zero where nothing was used", () => {
  const now = Date.parse("2026-11-29T14:30:00Z");
  const entry = { publicKey: "a", name: null };
  const [days, received, sent] = usageSeries(
    [
      { ...entry, period: "2026-11-29", received: 5, sent: 7 },
      { ...entry, period: "2026-11-27", received: 1, sent: 2 },
      { ...entry, period: "2020-01-01", received: 9, sent: 9 },
    ],
    "day",
    now,
  );
  assertEquals(days.length, 31);
  assertEquals(days.at(-1), Date.parse("2026-11-29T00:00:00Z") / 1000);
  assertEquals(received.slice(-3), [1, 0, 5]);
  assertEquals(sent.slice(-3), [2, 0, 7]);
  const [months, byMonth] = usageSeries(
    [{ ...entry, period: "2026-11", received: 5, sent: 7 }],
    "month",
    now,
  );
  assertEquals(months[0], Date.parse("2025-12-01T00:00:00Z") / 1000);
  assertEquals(byMonth.at(-1), 5);
  const [hours, byHour] = usageSeries(
    [{ ...entry, period: "2026-11-28T23:00Z", received: 5, sent: 7 }],
    "hour",
    now,
  );
  assertEquals([hours.length, hours.at(-1)], [48, Date.parse("2026-11-29T14:00:00Z") / 1000]);
  assertEquals([byHour.at(-16), byHour.at(-15), byHour.at(-17)], [5, 0, 0]);
});

Deno.test("of settings, the lines that change are shown with a few around them", () => {
  const same = (text: string) => ({ kind: "same" as const, text });
  const added = { kind: "added" as const, text: "new" };
  const lines = ["1", "2", "3", "4"].map(same);
  const after = ["5", "6", "7", "8"].map(same);
  assertEquals(shownLines([...lines, added, ...after]), [
    null,
    same("3"),
    same("4"),
    added,
    same("5"),
    same("6"),
    null,
  ]);
  assertEquals(shownLines(lines), [null]);
});
