/** Surroundings of a command that runs for long: its log, its network namespace, the orphans that it takes care of. */
import { currentNamespaceIs, enterNamespace, namespaceExists } from "../../ffi/netns.ts";
import type { RunOptions } from "../cli/command.ts";
import { AppError, ExitCode } from "../process/errors.ts";
import { configureLogging, type LogControl } from "../process/logging.ts";
import { adoptOrphans } from "../process/orphans.ts";

/**
 * Starts logging and moves this thread, and with it all that it starts, into the namespace asked for.
 *
 * @throws {AppError} with exit code 2 for a namespace that is not there
 */
export function enterSurroundings(
  options: Pick<RunOptions, "logLevel" | "logFormat" | "netns">,
): LogControl {
  const log = configureLogging({ level: options.logLevel, format: options.logFormat });
  adoptOrphans();
  // What a gateway starts is in its namespace already, and may no longer be able to enter one.
  if (options.netns === undefined || currentNamespaceIs(options.netns)) return log;
  if (!namespaceExists(options.netns)) {
    throw new AppError(
      `Cannot enter network namespace "${options.netns}": it does not exist: ` +
        `create it with \`ip netns add ${options.netns}\``,
      { exitCode: ExitCode.usage },
    );
  }
  enterNamespace(options.netns);
  return log;
}
