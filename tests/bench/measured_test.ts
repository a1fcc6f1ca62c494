/** Tests of the table that is made for the first page. */
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import type { BenchResult } from "./course.ts";
import { ContenderName } from "./figures.ts";
import { formatMeasured } from "./measured.ts";
import { parseOptions } from "./options.ts";
import { reportFigures } from "./report.ts";
import { Samples, summarize } from "./samples.ts";

const { vpn, fakeTcp, wireguardGo, wireguardGoInstalled, nebula } = ContenderName;

function resultOf(values: Record<string, Record<string, number>>): BenchResult {
  const samples = new Samples();
  for (const [figure, contenders] of Object.entries(values)) {
    for (const [contender, value] of Object.entries(contenders)) {
      samples.add(figure, contender, value);
    }
  }
  const unfit = { "handshakes": "it speaks another" };
  return {
    startedAt: "2026-01-01T00:00:00.000Z",
    seconds: 60,
    options: parseOptions([])!,
    machine: {
      processor: "Processor",
      processors: 2,
      memory: 8,
      kernel: "6.18",
      deno: "2.9.6",
      versions: {
        [wireguardGo]: "0.0.20260522-1",
        [wireguardGoInstalled]: "0.0.20220316",
        openssl: "OpenSSL 3.0.19 27 Jan 2026",
        "ipsec-mb": "IPsec-MB 1.3.0",
      },
    },
    foreignLoad: summarize([0]),
    figures: reportFigures(samples, [{ name: nebula, unfit }]),
    profile: null,
    notes: [],
  };
}

/** The cells of the table, without its heading. */
function rowsOf(result: BenchResult): string[][] {
  return formatMeasured(result).split("\n").filter((line) => line.startsWith("|")).slice(2)
    .map((line) => line.slice(2, -2).split(" | "));
}

Deno.test("formatMeasured() begins with processor time, and holds ours against the newest", () => {
  const result = resultOf({
    "tcp-1-up": { [vpn]: 4, [fakeTcp]: 3, [wireguardGo]: 2, [wireguardGoInstalled]: 1 },
    "tcp-1-down": { [vpn]: 6, [fakeTcp]: 4, [wireguardGo]: 2, [wireguardGoInstalled]: 1 },
    "cpu": { [vpn]: 3, [wireguardGo]: 4, [wireguardGoInstalled]: 12 },
  });
  assertEquals(rowsOf(result), [
    ["processor time for a megabyte (lower is better)", "3.00 ms", "4.00", "0.75", "", ""],
    ["TCP, one stream, up / down", "4.00 / 6.00 Gbit/s", "2.00 / 2.00", "2.00 / 3.00", "", ""],
    ["the same by fake TCP", "3.00 / 4.00 Gbit/s", "", "1.50 / 2.00", "", ""],
  ]);
});

Deno.test("formatMeasured() tells the installed wireguard-go in a footnote alone", () => {
  const text = formatMeasured(resultOf({
    "cpu": { [vpn]: 3, [wireguardGo]: 4, [wireguardGoInstalled]: 12 },
  }));
  const [note] = text.split("\n").filter((line) => line.includes("20220316"));
  assertStringIncludes(note!, "processor time for a megabyte 12.00 ms (ratio 0.25)");
  assert(!note!.startsWith("|"));
  assertStringIncludes(text, "| wireguard-go 0.0.20260522 |");
});

Deno.test("formatMeasured() tells what does not fit from what was not measured", () => {
  const rows = rowsOf(resultOf({ "handshakes": { [vpn]: 2000 } }));
  assertEquals(rows, [
    ["handshakes of 1,000 clients, answered", "2,000 a second", "", "", "n/a", ""],
  ]);
});

Deno.test("formatMeasured() marks what a busy machine has measured", () => {
  const quiet = resultOf({ "cpu": { [vpn]: 3 } });
  assertStringIncludes(formatMeasured(quiet), "in the same run, one round.");
  assert(!formatMeasured(quiet).includes("BUSY"));
  assertStringIncludes(formatMeasured({ ...quiet, foreignLoad: summarize([0.5]) }), "BUSY");
});
