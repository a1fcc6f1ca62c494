/** Control method "log": shows and changes what is logged. */
import {
  LOG_CATEGORIES,
  LOG_LEVELS,
  type LogCategory,
  type LogLevel,
  type LogLevelChange,
} from "../cli/command.ts";
import type { DataPlaneHandle } from "../dataplane/data_plane_handle.ts";
import type { LogControl } from "../process/logging.ts";
import { type Params, RequestError } from "./protocol.ts";

/** The result: the least level that is logged, by category. */
export type LevelsByCategory = Readonly<Partial<Record<LogCategory, LogLevel>>>;

/** What of a tunnel logs. */
export interface LoggingTunnel {
  readonly role: "server" | "client";
  readonly log: LogControl;
  readonly dataPlane: Pick<DataPlaneHandle, "setTrace">;
}

/**
 * Changes levels, in this order, and says what they are now.
 *
 * @param params `CATEGORY: "LEVEL"`, any number of them, where `all` stands for all categories
 * @throws {RequestError} with nothing changed
 */
export function changeLevels(
  params: Params,
  { role, log, dataPlane }: LoggingTunnel,
): LevelsByCategory {
  const categories = LOG_CATEGORIES.filter((each) =>
    each === role || !["server", "client", "relay", "console"].includes(each)
  );
  const changes = Object.entries(params).map(([category, level]) =>
    change(category, level, categories)
  );
  if (changes.length > 0) {
    log.change(changes);
    dataPlane.setTrace(log.levels.dataplane === "trace");
  }
  return Object.fromEntries(categories.map((each) => [each, log.levels[each]]));
}

function change(
  name: string,
  value: unknown,
  categories: readonly LogCategory[],
): LogLevelChange {
  const category = name === "all" ? "all" : categories.find((each) => each === name);
  if (category === undefined) {
    throw new RequestError(
      `Cannot log "${name}" here: the categories are ${categories.join(", ")}, or all`,
    );
  }
  const level = LOG_LEVELS.find((each) => each === value);
  if (level === undefined) {
    throw new RequestError(
      `Cannot log ${name} at that level: the levels are ${LOG_LEVELS.join(", ")}`,
    );
  }
  return { category, level };
}
