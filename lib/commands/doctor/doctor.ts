/**
 * Command `vpn doctor`: examines a host, and the configuration that it is to run, and says what is wrong and how to fix
 * it.
 */
import type { DoctorOptions } from "../../cli/command.ts";
import { carryOut, type Check, type Finding } from "./check.ts";
import { CONFIG_CHECKS } from "./config_checks.ts";
import { EGRESS6_CHECKS } from "./egress6_checks.ts";
import { FLEET_CHECKS } from "./fleet/fleet_checks.ts";
import { FIREWALL_CHECKS } from "./firewall_checks.ts";
import { HOST_CHECKS } from "./host_checks.ts";
import { LEAK_CHECKS } from "./leak_checks.ts";
import { NAT_CHECKS } from "./nat_checks.ts";
import { PORT_CHECKS } from "./port_checks.ts";
import { REACH_CHECKS } from "./reach_checks.ts";
import { formatJson, formatReport, hasFailed } from "./report.ts";
import { NAME_CHECKS } from "./name_checks.ts";
import { ROUTE_CHECKS } from "./route_checks.ts";
import { RUNNING_CHECKS } from "./running_checks.ts";
import { SERVICE_CHECKS } from "./service_checks.ts";
import { Subject } from "./subject.ts";
import { ExitCode } from "../../process/errors.ts";
import { takesColour, writeText } from "../../process/output.ts";
import { enterSurroundings } from "../surroundings.ts";

/** In the order of the report: what everything else needs comes first. */
const CHECKS: readonly Check[] = [
  ...HOST_CHECKS,
  ...CONFIG_CHECKS,
  ...RUNNING_CHECKS,
  ...FLEET_CHECKS,
  ...SERVICE_CHECKS,
  ...ROUTE_CHECKS,
  ...PORT_CHECKS,
  ...FIREWALL_CHECKS,
  ...NAT_CHECKS,
  ...EGRESS6_CHECKS,
  ...REACH_CHECKS,
  ...NAME_CHECKS,
  ...LEAK_CHECKS,
];

/**
 * Examines and reports. Nothing on the host is changed, and a tunnel that runs is left alone.
 *
 * @returns the exit code: `unexpected` (1) where something fails, else `ok`
 * @throws {AppError} with exit code 2 for a namespace that is not there
 */
export async function runDoctor(options: DoctorOptions): Promise<number> {
  const { configPath, netns = null, json } = options;
  enterSurroundings(options);
  using subject = new Subject({ ...options, netns });
  const findings = await examine(subject);
  const text = json
    ? formatJson({ config: configPath, role: subject.role }, findings)
    : formatReport(findings, takesColour(Deno.stdout));
  writeText(Deno.stdout, text);
  return hasFailed(findings) ? ExitCode.unexpected : ExitCode.ok;
}

/** All checks at once: most take no time, and those that wait for answers from the network wait together. */
async function examine(subject: Subject): Promise<Finding[]> {
  return (await Promise.all(CHECKS.map((check) => carryOut(check, subject)))).flat();
}
