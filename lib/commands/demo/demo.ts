/**
 * Command `vpn demo`: the real server and clients in network namespaces of their own, and traffic through them, step by
 * step.
 *
 * It takes no program but itself and changes nothing outside its namespaces; whatever happens, it takes them away
 * again.
 */
import type { DemoOptions } from "../../cli/command.ts";
import { DemoReport, Interruption } from "./report.ts";
import { Stage } from "./stage.ts";
import { LAST_STEP, STEPS } from "./steps.ts";
import { removeLeftovers } from "./traces.ts";
import { takesColour, writeText } from "../../process/output.ts";
import { requireDemoPrivileges } from "../../process/privileges.ts";
import { listenForStop, type StopSignal } from "../../process/stop_signal.ts";

/**
 * Runs the demo.
 *
 * @returns the exit code: 0 when every step has passed
 * @throws {AppError | SystemCallError} before anything is changed, where a privilege or a device is missing
 * @throws {Interruption} on SIGINT, SIGTERM and SIGHUP, when everything is taken away
 */
export async function runDemo(options: DemoOptions): Promise<number> {
  requireDemoPrivileges();
  using stop = listenForStop();
  const interrupted = interruption(stop);
  removeLeftovers();
  const showsLogs = options.logLevel === "trace" || options.logLevel === "debug";
  const report = new DemoReport(Deno.stdout, {
    colour: takesColour(Deno.stdout),
    // Log lines would come in between.
    showRunning: Deno.stdout.isTerminal() && !showsLogs,
  });
  await using stage = Stage.open({
    ...options,
    onLogLine: (host, line) => {
      if (showsLogs) writeText(Deno.stderr, `${host}: ${line}\n`);
    },
  });
  report.heading(
    "A gateway, two clients and an internet, each in its own network namespace on this machine",
  );
  let goesOn = true;
  for (const { name, isRequired = false, run } of STEPS) {
    if (!goesOn) {
      report.skip(name);
      continue;
    }
    const passed = await report.step(
      name,
      () => Promise.race([interrupted, stage.lost, run(stage)]),
    );
    if (!passed) tellLogs(stage, showsLogs);
    goesOn = passed || !isRequired && !stage.isLost;
  }
  if (!await report.step(LAST_STEP.name, () => LAST_STEP.run(stage))) tellLogs(stage, showsLogs);
  return report.finish();
}

/** Shows why a step may have failed. */
function tellLogs(stage: Stage, shownAlready: boolean): void {
  if (shownAlready) return;
  for (const line of stage.takeLogs()) writeText(Deno.stderr, `      ${line}\n`);
}

/** Rejects on a signal to stop; never resolves. */
function interruption(stop: StopSignal): Promise<never> {
  const rejects = stop.received.then((signal) => {
    throw new Interruption(`Demo interrupted by ${signal}: everything it created is removed`);
  });
  // A signal between two steps, or during the last one, is no error of its own.
  rejects.catch(() => {});
  return rejects;
}
