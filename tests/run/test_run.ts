/** One run of `deno test`: its lines as they come, its counts, its failures and what it left out; and several. */
import { apart } from "../support/apart.ts";
import { MISSING_PERMISSION } from "../support/permissions.ts";
import { openLog } from "./run_log.ts";
import { SEED } from "./seed.ts";
import type { StepResult } from "./steps.ts";
import { runStreamed } from "./streamed_command.ts";
import { addCounts, NO_TESTS, TestOutput } from "./test_output.ts";

export interface TestRun {
  readonly args: readonly string[];
  /** Names its log; the last of `args` if left out. */
  readonly label?: string;
  /** As by bare `deno test`: tests that need permissions leave themselves out, and are not counted. */
  readonly isBare?: boolean;
  /** In ms. */
  readonly timeout: number;
  /** Whether it has run-time and temporary files of its own; needs root. */
  readonly isApart?: boolean;
  /** Where its tests make temporary files: one that passes and leaves something there has failed. */
  readonly temporary?: string;
  /** Environment variables besides the seed. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface TestRunResult extends StepResult {
  /** The files with tests that need permissions, of a bare run. */
  readonly filesLeftOut: readonly string[];
}

const MINUTE = 60_000;

/** Runs tests, one file after the other. The types are checked by a step of their own. */
export async function runTests(
  say: (line: string) => void,
  { args, label = args.at(-1)!, timeout, isApart = false, isBare = false, temporary, env = {} }:
    TestRun,
): Promise<TestRunResult> {
  const output = new TestOutput();
  using log = openLog(label);
  const permissions = isBare ? [] : ["--allow-all"];
  const test = [Deno.execPath(), "test", "--quiet", "--no-check", ...permissions, ...args];
  const [program, ...rest] = isApart ? apart(test) : test;
  const { code, timedOut } = await runStreamed({
    program: program!,
    args: rest,
    timeout,
    env: { VPN_SEED: `${SEED}`, ...temporary === undefined ? {} : { TMPDIR: temporary }, ...env },
    onLine(line) {
      log.write(line);
      output.take(line).forEach(say);
    },
  });
  if (timedOut && output.begun !== null) say(`${output.begun} did not end`);
  const forPermissions = isBare ? output.reasons.get(MISSING_PERMISSION) ?? 0 : 0;
  for (const [reason, count] of output.reasons) {
    if (!isBare || reason !== MISSING_PERMISSION) say(`skipped ${count}: ${reason}`);
  }
  const all = output.counts({ success: code === 0 });
  const whole = { name: null, file: label.replace(/^(?:bare|unit)\//, "") };
  const left = code === 0 && temporary !== undefined ? namesIn(temporary) : [];
  if (left.length > 0) say(`${whole.file} left ${left.join(", ")} in ${temporary}`);
  const counts = {
    ...all,
    failed: all.failed + Math.sign(left.length),
    skipped: all.skipped - forPermissions,
  };
  const listed = output.failures.length > 0 || code === 0 && left.length === 0
    ? output.failures
    : [output.unfinished ?? whole];
  const failures = listed.map((failure) => ({ ...failure, log: log.path }));
  const filesLeftOut = output.filesLeftOut(MISSING_PERMISSION);
  return { counts, note: timedOut ? tooLong(timeout) : "", failures, filesLeftOut };
}

function namesIn(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
}

/** What `run` makes of each item, `width` of them at the same time, begun in their order. */
export async function atOnce<Item, Result>(
  width: number,
  items: readonly Item[],
  run: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const waiting = items.entries();
  const results: Result[] = [];
  const work = async () => {
    for (const [index, item] of waiting) results[index] = await run(item, index);
  };
  await Promise.all(Array.from({ length: width }, work));
  return results;
}

/** Several results as one. */
export function addResults(results: readonly StepResult[]): StepResult {
  return {
    counts: results.map(({ counts }) => counts).reduce(addCounts, NO_TESTS),
    note: results.map(({ note }) => note).filter((note) => note !== "").join("; "),
    failures: results.flatMap(({ failures = [] }) => failures),
  };
}

export function tooLong(timeout: number): string {
  return `ended after ${timeout / MINUTE} min`;
}
