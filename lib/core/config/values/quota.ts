/** Quota: how much a peer may send and be sent together, and over what time. */
import type { QuotaConfig, QuotaPeriod } from "../config.ts";
import { dateOf, dayOf } from "./expiry.ts";
import type { Entry } from "../text/config_document.ts";
import { rejectValue } from "./values.ts";

const RULE =
  'a quota is "off", or bytes and a period, as in 100G/month, 500M/day or 1T/total, from 1M to 1000T';
const FACTORS: Readonly<Record<string, number>> = { "": 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 };
/** Bytes. */
const LEAST = 1e6;
const MOST = 1e15;
/** ms */
const DAY = 86_400_000;

/** As in `100G/month`, powers of 1,000; without a period in all. `off` is `null`. */
export function parseQuota(entry: Entry): QuotaConfig | null {
  const text = entry.value.toLowerCase();
  if (text === "off") return null;
  const [, digits, unit, period = "total"] =
    /^(\d{1,16}(?:\.\d{1,9})?)\s*([kmgt]?)(?:\s*\/\s*(day|month|total))?$/.exec(text) ??
      rejectValue(entry, RULE);
  const bytes = Math.round(Number(digits) * FACTORS[unit!]!);
  if (bytes < LEAST || bytes > MOST) rejectValue(entry, RULE);
  return { bytes, period: period as QuotaPeriod };
}

/** A quota as a file has it. */
export function formatQuota({ bytes, period }: QuotaConfig): string {
  for (const [unit, factor] of Object.entries(FACTORS).toReversed()) {
    if (bytes % factor === 0) return `${bytes / factor}${unit.toUpperCase()}/${period}`;
  }
  return `${bytes}/${period}`;
}

/** The days of the period that a moment is in, as numbers since 1970, both inclusive; null for all there are. */
export function quotaDays(
  period: QuotaPeriod,
  unixTime: number,
): { readonly first: number; readonly last: number } | null {
  if (period === "total") return null;
  const day = Math.floor(unixTime / DAY);
  if (period === "day") return { first: day, last: day };
  const { year, month } = dateOf(day);
  const next = month === 12 ? dayOf(year + 1, 1, 1) : dayOf(year, month + 1, 1);
  return { first: dayOf(year, month, 1), last: next - 1 };
}
