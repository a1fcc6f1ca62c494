/** Usage by hour, day or month as series of a chart, with zeros where nothing was used. */
import type { ChartData } from "../../parts/chart.tsx";
import type { ApplicationMethods, UsageEntry } from "../../../../control/application/methods.ts";

export type Span = NonNullable<ApplicationMethods["usage"]["params"]["by"]>;

/** How many periods are shown, up to the current one. */
const SHOWN: Readonly<Record<Span, number>> = { hour: 48, day: 31, month: 12 };

/** About how long a period is, in s: it is what a bar is wide. */
export const SPAN_SECONDS: Readonly<Record<Span, number>> = {
  hour: 3_600,
  day: 86_400,
  month: 86_400 * 30,
};

/** @param now Unix ms */
export function usageSeries(
  usage: readonly UsageEntry[],
  span: Span,
  now: number,
): ChartData {
  const byStart = new Map<number, { received: number; sent: number }>();
  for (const { period, received, sent } of usage) {
    // `2026-11`, `2026-11-28` and the like are the first moments of these in UTC (ECMA-262 section 21.4.3.2).
    const start = Date.parse(period);
    const sum = byStart.get(start) ?? { received: 0, sent: 0 };
    byStart.set(start, { received: sum.received + received, sent: sum.sent + sent });
  }
  const times: number[] = [];
  for (let back = SHOWN[span] - 1; back >= 0; back--) times.push(periodStart(span, now, back));
  return [
    times.map((time) => time / 1000),
    times.map((time) => byStart.get(time)?.received ?? 0),
    times.map((time) => byStart.get(time)?.sent ?? 0),
  ];
}

/** Unix ms of the start of the period `back` ones before the current one; UTC, as accounts are kept. */
function periodStart(span: Span, now: number, back: number): number {
  const date = new Date(now);
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  if (span === "month") return Date.UTC(year, month - back);
  if (span === "hour") return Date.UTC(year, month, day, date.getUTCHours() - back);
  return Date.UTC(year, month, day - back);
}
