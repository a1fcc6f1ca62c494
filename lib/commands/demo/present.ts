/** Presentation: the steps of a demo on its stage, one after the other, whatever becomes of them. */
import { namespaceExists } from "../../../ffi/netns.ts";
import { writeText } from "../../process/output.ts";
import type { DemoStage } from "./demo_stage.ts";
import type { DemoReport, Outcome } from "./report.ts";

export interface Step<Stage> {
  readonly name: string;
  /** Without it the later ones make no sense. */
  readonly isRequired?: boolean;
  readonly run: (stage: Stage) => Promise<Outcome>;
}

export interface Programme<Stage> {
  /** All but the end, which comes whatever becomes of these. */
  readonly steps: readonly Step<Stage>[];
  /** Rejects when the demo is to end now. */
  readonly interrupted: Promise<never>;
  /** Whether logs are shown as they come. */
  readonly showsLogs: boolean;
}

/** Runs the steps, and shows the logs where one has failed. @throws {Interruption} */
export async function present<Stage extends DemoStage<string, string>>(
  report: DemoReport,
  stage: Stage,
  { steps, interrupted, showsLogs }: Programme<Stage>,
): Promise<void> {
  /** Shows why a step may have failed. */
  const tellLogs = () => {
    if (showsLogs) return;
    for (const line of stage.takeLogs()) writeText(Deno.stderr, `      ${line}\n`);
  };
  let goesOn = true;
  for (const { name, isRequired = false, run } of steps) {
    if (!goesOn) {
      report.skip(name);
      continue;
    }
    const passed = await report.step(
      name,
      () => Promise.race([interrupted, stage.lost, run(stage)]),
    );
    if (!passed) tellLogs();
    goesOn = passed || !isRequired && !stage.isLost;
  }
  if (!await report.step("clean end", () => end(stage))) tellLogs();
}

/** Ends the processes as a user would, looks for traces of them, and removes the rest. */
async function end(stage: DemoStage<string, string>): Promise<Outcome> {
  const problems = await stage.stopProcesses();
  problems.push(...stage.offences());
  const { hosts } = stage.site;
  for (const host of hosts) {
    problems.push(...host.changes().map((change) => `${host.name}: ${change}`));
  }
  await stage[Symbol.asyncDispose]();
  for (const { namespace } of hosts) {
    if (namespaceExists(namespace)) problems.push(`left behind: namespace ${namespace}`);
  }
  if (problems.length > 0) throw new Error(problems.join("; "));
  return { text: "exit code 0, nothing is left" };
}
