/**
 * Command `deno task test [STEP...]`: runs the steps but the optional ones, or those named, one after the other, and
 * sums up. A step that fails does not keep the later ones from running.
 */
import { writeText } from "../lib/process/output.ts";
import { removeLogs } from "./run/run_log.ts";
import { STEPS } from "./run/steps.ts";
import { SEED } from "./run/seed.ts";
import { countsLine, failureLines, type Outcome, summaryTable, totalOf } from "./run/summary.ts";

function print(line: string): void {
  writeText(Deno.stdout, `${line}\n`);
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.find((name) => !STEPS.some((step) => step.name === name));
  if (unknown !== undefined) {
    print(`There is no step "${unknown}". The steps are:`);
    for (const { name, title } of STEPS) print(`  ${name.padEnd(8)} ${title}`);
    return 2;
  }
  const outcomes: Outcome[] = [];
  const steps = STEPS.filter(({ name, isOptional }) =>
    names.length > 0 ? names.includes(name) : isOptional !== true
  );
  const isRun = (name: string) => steps.some((step) => step.name === name);
  const prepared = new Map(steps.map((step) => [step, step.prepare?.()]));
  for (const step of steps) {
    print(`== ${step.name}: ${step.title}`);
    const start = performance.now();
    await prepared.get(step);
    const result = await step.run((line) => print(`   ${line}`), isRun);
    outcomes.push({ name: step.name, duration: performance.now() - start, ...result });
  }
  const total = totalOf(outcomes);
  const failures = failureLines(outcomes, SEED);
  if (failures.length > 0) print("");
  failures.forEach(print);
  print(`\n${summaryTable(outcomes)}\n`);
  print(countsLine(total));
  if (total.failed > 0) return 1;
  removeLogs();
  return 0;
}

if (import.meta.main) {
  // Ended by the signal itself, it would leave its temporary files.
  Deno.addSignalListener("SIGINT", () => Deno.exit(130));
  Deno.addSignalListener("SIGTERM", () => Deno.exit(143));
  Deno.exit(await main(Deno.args));
}
