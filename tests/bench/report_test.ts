/** Medians, ratios, verdicts and the table. */
import { assertEquals, assertMatch, assertThrows } from "../support/assert.ts";
import { ContenderName } from "./figures.ts";
import { formatFigures, reportFigures } from "./report.ts";
import { median, Samples } from "./samples.ts";

const { vpn, wireguardGo } = ContenderName;

function samplesOf(figure: string, values: Record<string, readonly number[]>): Samples {
  const samples = new Samples();
  for (const [contender, numbers] of Object.entries(values)) {
    for (const number of numbers) samples.add(figure, contender, number);
  }
  return samples;
}

function verdict(figure: string, values: Record<string, readonly number[]>) {
  const [report] = reportFigures(samplesOf(figure, values));
  const result = report!.results.find(({ contender }) => contender !== report!.baseline)!;
  return { ratio: result.ratio, ...result.verdict };
}

Deno.test("median() is the middle, or between the two middle ones", () => {
  assertEquals(median([9, 1, 5]), 5);
  assertEquals(median([10, 1, 4, 2]), 3);
  assertThrows(() => median([]), RangeError);
});

Deno.test("reportFigures() compares medians with the baseline's when more is better", () => {
  const slow = verdict("tcp-1-up", { [vpn]: [3, 1, 3.6], [wireguardGo]: [1, 1.2, 0.5] });
  assertEquals(slow, { ratio: 3, atLeast: false, aim: false });
  const good = verdict("tcp-1-up", { [vpn]: [4], [wireguardGo]: [1] });
  assertEquals(good, { ratio: 4, atLeast: true, aim: false });
  const best = verdict("tcp-1-up", { [vpn]: [5.5], [wireguardGo]: [1] });
  assertEquals(best, { ratio: 5.5, atLeast: true, aim: true });
});

Deno.test("reportFigures() compares medians with the baseline's when less is better", () => {
  const late = verdict("ping", { [vpn]: [1.6], [wireguardGo]: [1] });
  assertEquals(late, { ratio: 1.6, atLeast: false, aim: false });
  const good = verdict("ping", { [vpn]: [1.2], [wireguardGo]: [1] });
  assertEquals(good, { ratio: 1.2, atLeast: true, aim: false });
});

Deno.test("reportFigures() judges a number by itself where the target is one", () => {
  const heavy = verdict("memory-1", { [vpn]: [121], [wireguardGo]: [5] });
  assertEquals(heavy, { ratio: null, atLeast: null, aim: false });
  assertEquals(verdict("memory-1", { [vpn]: [119] }).aim, true);
});

Deno.test("reportFigures() judges no other contender, and nothing without a baseline", () => {
  const other = verdict("tcp-1-up", { [ContenderName.openvpn]: [0.1], [wireguardGo]: [1] });
  assertEquals(other, { ratio: 0.1, atLeast: null, aim: null });
  assertEquals(verdict("tcp-1-up", { [vpn]: [4] }), { ratio: null, atLeast: null, aim: null });
});

Deno.test("formatFigures() shows medians, spread, ratios and verdicts", () => {
  const samples = samplesOf("tcp-1-up", { [vpn]: [3, 4, 5], [wireguardGo]: [1] });
  const table = formatFigures(reportFigures(samples));
  assertMatch(table, /^ {2}vpn +4\.00 +3\.00 - 5\.00 +4\.00 x +3\.7 x ok +5\.5 x MISSED$/m);
  assertMatch(table, /^ {2}wireguard-go +1\.00 +1\.00 - 1\.00 +1\.00 x$/m);
});
