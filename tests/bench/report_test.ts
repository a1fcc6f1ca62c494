/** Medians, ratios, verdicts and the table. */
import { assertEquals, assertMatch, assertThrows } from "../support/assert.ts";
import { ContenderName, FIGURES, peersName } from "./figures.ts";
import { formatFigures, reportFigures } from "./report.ts";
import { median, Samples } from "./samples.ts";

const { vpn, wireguardGo, wireguardGoInstalled, nebula } = ContenderName;

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
  const slow = verdict("tcp-1-up", { [vpn]: [1.4, 1, 1.5], [wireguardGo]: [1, 1.2, 0.5] });
  assertEquals(slow, { ratio: 1.4, atLeast: false, aim: false });
  const good = verdict("tcp-1-up", { [vpn]: [1.5], [wireguardGo]: [1] });
  assertEquals(good, { ratio: 1.5, atLeast: true, aim: false });
  const best = verdict("tcp-1-up", { [vpn]: [2], [wireguardGo]: [1] });
  assertEquals(best, { ratio: 2, atLeast: true, aim: true });
});

Deno.test("reportFigures() compares medians with the baseline's when less is better", () => {
  const late = verdict("cpu", { [vpn]: [0.7], [wireguardGo]: [1] });
  assertEquals(late, { ratio: 0.7, atLeast: false, aim: false });
  const good = verdict("cpu", { [vpn]: [0.6], [wireguardGo]: [1] });
  assertEquals(good, { ratio: 0.6, atLeast: true, aim: false });
});

Deno.test("reportFigures() compares what was measured at one time where a figure is in pairs", () => {
  const [one, many] = [peersName(1), peersName(1000)];
  // The machine takes twice as long for the third, and half as long for the last.
  const rates = verdict("gateway-peers", { [one]: [10, 10, 5, 20], [many]: [9.5, 9.7, 4.8, 18] });
  assertEquals(rates, { ratio: (9.5 / 10 + 4.8 / 5) / 2, atLeast: true, aim: null });
});

Deno.test("reportFigures() judges a number by itself where the target is one", () => {
  const heavy = verdict("memory-1", { [vpn]: [101], [wireguardGo]: [5] });
  assertEquals(heavy, { ratio: null, atLeast: null, aim: false });
  assertEquals(verdict("memory-1", { [vpn]: [99] }).aim, true);
});

Deno.test("reportFigures() judges no other contender, and nothing without a baseline", () => {
  const other = verdict("tcp-1-up", { [ContenderName.openvpn]: [0.1], [wireguardGo]: [1] });
  assertEquals(other, { ratio: 0.1, atLeast: null, aim: null });
  assertEquals(verdict("tcp-1-up", { [vpn]: [4] }), { ratio: null, atLeast: null, aim: null });
});

Deno.test("formatFigures() shows medians, spread, ratios and verdicts", () => {
  const samples = samplesOf("tcp-1-up", { [vpn]: [3, 4, 5], [wireguardGo]: [1] });
  const table = formatFigures(reportFigures(samples));
  assertMatch(table, /^ {2}vpn +4\.00 +3\.00 - 5\.00 +4\.00 x +1\.5 x ok +2\.0 x ok$/m);
  assertMatch(table, /^ {2}wireguard-go, newest +1\.00 +1\.00 - 1\.00 +1\.00 x$/m);
});

Deno.test("reportFigures() holds an installed wireguard-go against the newest, and not the other way", () => {
  const [report] = reportFigures(samplesOf("tcp-1-up", {
    [wireguardGoInstalled]: [1],
    [wireguardGo]: [2],
  }));
  assertEquals(report!.results.map(({ contender, ratio }) => [contender, ratio]), [
    [wireguardGoInstalled, 0.5],
    [wireguardGo, 1],
  ]);
});

Deno.test("formatFigures() says why a contender is in no figure", () => {
  const samples = samplesOf("handshakes", { [vpn]: [2000] });
  const contenders = [{ name: nebula, unfit: { handshakes: "it speaks another" } }, { name: vpn }];
  const table = formatFigures(reportFigures(samples, contenders));
  assertMatch(table, /^ {2}nebula: n\/a, it speaks another$/m);
});

Deno.test("the first figure is processor time, which other load disturbs the least", () => {
  assertEquals(FIGURES[0]!.id, "cpu");
});
