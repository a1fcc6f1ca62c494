/** Tests of quotas: their text, and the days that a period has. */
import type { QuotaConfig } from "../../../../../lib/core/config/config.ts";
import { formatQuota, parseQuota, quotaDays } from "../../../../../lib/core/config/values/quota.ts";
import { assertEquals } from "../../../../support/assert.ts";
import { Random } from "../../../../support/random.ts";

const DAY = 86_400_000;
const parse = (value: string) => parseQuota({ fileName: "", line: 0, key: "Quota", value });

Deno.test("formatQuota() writes what parseQuota() reads, in the greatest unit that fits", () => {
  const cases: [QuotaConfig, string][] = [
    [{ bytes: 1e11, period: "month" }, "100G/month"],
    [{ bytes: 1.5e12, period: "day" }, "1500G/day"],
    [{ bytes: 1e15, period: "total" }, "1000T/total"],
    [{ bytes: 1_234_567, period: "day" }, "1234567/day"],
  ];
  for (const [quota, text] of cases) {
    assertEquals(formatQuota(quota), text);
    assertEquals(parse(text), quota);
  }
});

Deno.test("quotaDays() has the day or the month that a moment is in, as the calendar has it", () => {
  const random = new Random(6);
  for (let i = 0; i < 5_000; i++) {
    const time = random.below(2 ** 31) * 1_000 + random.below(1_000);
    const date = new Date(time);
    const day = Math.floor(time / DAY);
    assertEquals(quotaDays("day", time), { first: day, last: day });
    const month = (offset: number) =>
      Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + offset, 1) / DAY;
    assertEquals(quotaDays("month", time), { first: month(0), last: month(1) - 1 });
    assertEquals(quotaDays("total", time), null);
  }
});
