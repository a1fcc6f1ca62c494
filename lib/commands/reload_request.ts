/** `vpn reload`: has a running instance follow its edited configuration, and says what came of it. */
import type { ReloadRequest } from "../cli/command.ts";
import { ControlClient } from "../control/client.ts";
import { findNamedOrOnly } from "../control/instances.ts";
import { writeText } from "../process/output.ts";
import { type ReloadResult, restartLine, summaryOf } from "../control/reload.ts";

const DEFAULT_INTERFACE = "vpn0";
/**
 * ms; a server that is elsewhere now has to be looked up, and to answer at one of its endpoints, eight at most, each
 * within `ConnectTimeout`, which is a minute at most.
 */
const ANSWER_TIMEOUT = 600_000;

/**
 * Reloads.
 *
 * @returns 0 where all of the file is in effect; 2 where it has a mistake, or something that what runs cannot change; 3
 * where a client's new server does not answer yet
 * @throws {AppError} with exit code 3 where no such instance runs, 5 where it is another user's
 */
export async function runReload(request: ReloadRequest): Promise<number> {
  const instance = findNamedOrOnly(request.interfaceName, DEFAULT_INTERFACE);
  using client = await ControlClient.connect(instance);
  const result = await client.request("reload", {}, { timeout: ANSWER_TIMEOUT }) as ReloadResult;
  writeText(Deno.stdout, `${instance.interfaceName}: ${summaryOf(result)}\n`);
  const restart = restartLine(result);
  const lines = [...result.problems, ...restart === null ? [] : [restart]];
  for (const line of lines) writeText(Deno.stderr, `vpn: ${line}\n`);
  return result.exitCode;
}
