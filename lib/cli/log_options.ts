/** Log options: how much a command that runs for long logs, and how. */
import { withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { choice } from "@optique/core/valueparser";
import { LOG_FORMATS, LOG_LEVELS } from "./command.ts";
import { about, notOneOf } from "./values.ts";

export const logOptions = {
  logLevel: withDefault(
    option(
      "--log-level",
      choice(LOG_LEVELS, { metavar: "LEVEL", errors: { invalidChoice: notOneOf } }),
      about("--log-level", `Lowest level to log: ${LOG_LEVELS.join(", ")}`),
    ),
    "info",
  ),
  logFormat: withDefault(
    option(
      "--log-format",
      choice(LOG_FORMATS, { metavar: "FORMAT", errors: { invalidChoice: notOneOf } }),
      about("--log-format", `Format of log lines: ${LOG_FORMATS.join(" or ")}`),
    ),
    "text",
  ),
};
