/** Command `vpn service`: shows the published services of a running gateway, and drains their back ends. */
import type { ServiceRequest } from "../cli/command.ts";
import { ControlClient } from "../control/client.ts";
import { findNamedOrOnly } from "../control/instances.ts";
import type { DrainResult } from "../control/services.ts";
import type { Status } from "../control/status.ts";
import { ExitCode } from "../process/errors.ts";
import { writeText } from "../process/output.ts";
import { serviceLines } from "./service_table.ts";

const DEFAULT_INTERFACE = "vpn0";
/** ms; an instance that takes longer is stopped, or as good as. */
const ANSWER_TIMEOUT = 5_000;

/**
 * Does it.
 *
 * @throws {AppError} where no gateway runs, or has no such back end
 */
export async function runService(request: ServiceRequest): Promise<number> {
  const instance = findNamedOrOnly(request.interfaceName, DEFAULT_INTERFACE);
  using client = await ControlClient.connect(instance);
  const ask = (method: string, params: Record<string, unknown>) =>
    client.request(method, params, { timeout: ANSWER_TIMEOUT });
  if (request.action === "list") {
    const { services } = await ask("status", {}) as Status;
    const text = request.json
      ? JSON.stringify(services, null, 2)
      : services.length === 0
      ? "nothing is published: see Forward"
      : serviceLines(services).join("\n");
    writeText(Deno.stdout, `${text}\n`);
    return ExitCode.ok;
  }
  const { backEnd, service, action } = request;
  const params = { backEnd, service, drained: action === "drain" };
  const { services } = await ask("drain-service", params) as DrainResult;
  const done = action === "drain" ? "gets no new connections" : "gets connections again";
  writeText(Deno.stdout, `${backEnd} ${done} of ${services.join(", ")}\n`);
  return ExitCode.ok;
}
