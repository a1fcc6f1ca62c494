/** Table that closes a run, and the line that says how many tests passed. */
import type { StepResult } from "./steps.ts";
import { addCounts, type Counts, NO_TESTS } from "./test_output.ts";

/** A step that was run. */
export interface Outcome extends StepResult {
  readonly name: string;
  /** In ms. */
  readonly duration: number;
}

export function totalOf(outcomes: readonly Outcome[]): Counts {
  return outcomes.map(({ counts }) => counts).reduce(addCounts, NO_TESTS);
}

/** The table, with a heading and without a newline at its end. */
export function summaryTable(outcomes: readonly Outcome[]): string {
  const rows = [
    ["step", "time", "passed", "failed", "skipped", ""],
    ...outcomes.map(({ name, duration, counts, note }) => [
      name,
      `${(duration / 1000).toFixed(1)} s`,
      ...[counts.passed, counts.failed, counts.skipped].map((count) =>
        count === 0 ? "-" : `${count}`
      ),
      note,
    ]),
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) =>
      row.map((cell, column) =>
        column === 0 || column === row.length - 1
          ? cell.padEnd(widths[column])
          : cell.padStart(widths[column])
      ).join("  ").trimEnd()
    )
    .join("\n");
}

/** What failed, with where all that it wrote is and how to run it again; empty when nothing did. */
export function failureLines(outcomes: readonly Outcome[], seed: number): string[] {
  return outcomes.flatMap(({ name: step, failures = [] }) =>
    failures.flatMap(({ name, file, log }) => [
      `${step}: ${name ?? file} FAILED`,
      `  all that it wrote: ${log}`,
      ...file.endsWith(".ts")
        ? [
          `  once more: VPN_SEED=${seed} deno test -A ${file}` +
          (name === null ? "" : ` --filter ${JSON.stringify(name)}`),
        ]
        : [],
    ])
  );
}

/** The last line of a run; its form is one that CI reads. */
export function countsLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
