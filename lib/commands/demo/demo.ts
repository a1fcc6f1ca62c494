/**
 * Command `vpn demo`: the real server and clients in network namespaces of their own, and traffic through them, step by
 * step.
 *
 * It takes no program but itself, and for a fleet NATS, and changes nothing outside its namespaces; whatever happens,
 * it takes them away again.
 */
import type { DemoOptions } from "../../cli/command.ts";
import { FleetStage } from "./fleet_stage.ts";
import { FLEET_STEPS } from "./fleet_steps.ts";
import { natsProgram } from "./nats_node.ts";
import { present } from "./present.ts";
import { DemoReport, Interruption } from "./report.ts";
import { Stage } from "./stage.ts";
import { STEPS } from "./steps.ts";
import { Undoing } from "../undoing.ts";
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
  const natsServer = options.fleet ? natsProgram(options.natsServer) : null;
  using stop = listenForStop();
  const interrupted = interruption(stop);
  removeLeftovers(new Undoing());
  const showsLogs = options.logLevel === "trace" || options.logLevel === "debug";
  const report = new DemoReport(Deno.stdout, {
    colour: takesColour(Deno.stdout),
    // Log lines would come in between.
    showRunning: Deno.stdout.isTerminal() && !showsLogs,
  });
  const onLogLine = (host: string, line: string) => {
    if (showsLogs) writeText(Deno.stderr, `${host}: ${line}\n`);
  };
  if (natsServer !== null) {
    await using stage = FleetStage.open({ ...options, natsServer, onLogLine });
    report.heading(
      "Three gateways with one virtual address and their store, each in its own network namespace",
    );
    await present(report, stage, { steps: FLEET_STEPS, interrupted, showsLogs });
    return report.finish();
  }
  await using stage = Stage.open({ ...options, onLogLine });
  report.heading(
    "A gateway, two clients and an internet, each in its own network namespace on this machine",
  );
  await present(report, stage, { steps: STEPS, interrupted, showsLogs });
  return report.finish();
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
