/** Presentation: the steps of a demo on its stage, one after the other, whatever becomes of them. */
import { writeText } from "../../process/output.ts";
import type { DemoReport, Outcome } from "./report.ts";

export interface Step<Stage> {
  readonly name: string;
  /** Without it the later ones make no sense. */
  readonly isRequired?: boolean;
  readonly run: (stage: Stage) => Promise<Outcome>;
}

/** What all stages have. */
export interface DemoStage {
  /** Rejects when a process ends without being told to; never resolves. */
  readonly lost: Promise<never>;
  /** Whether that has happened. */
  readonly isLost: boolean;
  /** The last lines of all logs since the previous call, each with its host's name. */
  takeLogs(): string[];
}

export interface Programme<Stage> {
  readonly steps: readonly Step<Stage>[];
  /** Comes whatever becomes of these. */
  readonly last: Step<Stage>;
  /** Rejects when the demo is to end now. */
  readonly interrupted: Promise<never>;
  /** Whether logs are shown as they come. */
  readonly showsLogs: boolean;
}

/** Runs the steps, and shows the logs where one has failed. @throws {Interruption} */
export async function present<Stage extends DemoStage>(
  report: DemoReport,
  stage: Stage,
  { steps, last, interrupted, showsLogs }: Programme<Stage>,
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
  if (!await report.step(last.name, () => last.run(stage))) tellLogs();
}
