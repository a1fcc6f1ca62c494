/** Command `vpn log`: shows what a running instance logs, and changes it. */
import type { LogRequest } from "../cli/command.ts";
import { tableLines } from "../cli/table.ts";
import { ControlClient } from "../control/client.ts";
import type { LevelsByCategory } from "../control/log_levels.ts";
import { ExitCode } from "../process/errors.ts";
import { writeText } from "../process/output.ts";

/** ms; an instance that takes longer is stopped, or as good as. */
const ANSWER_TIMEOUT = 2_000;

/**
 * Changes the levels, or shows them where nothing is to be changed.
 *
 * @throws {AppError} with exit code 3 where no such instance runs, 5 where it is another user's
 */
export async function runLog({ interfaceName, changes }: LogRequest): Promise<number> {
  using client = await ControlClient.connect(interfaceName);
  const params: Record<string, string> = {};
  for (const { category, level } of changes) {
    // The last word on a category counts, and in its place.
    delete params[category];
    params[category] = level;
  }
  const levels = await client.request("log", params, {
    timeout: ANSWER_TIMEOUT,
  }) as LevelsByCategory;
  if (changes.length === 0) {
    const lines = tableLines([["category", "level"], ...Object.entries(levels)]);
    writeText(Deno.stdout, `${lines.join("\n")}\n`);
  }
  return ExitCode.ok;
}
