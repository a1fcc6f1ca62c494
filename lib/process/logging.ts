/**
 * Logging: levels, the two formats, and standard error as the one place logs go.
 *
 * Import it lazily: commands that log nothing (`vpn genkey`) should not pay for loading LogTape.
 */
import {
  configureSync,
  getAnsiColorFormatter,
  getJsonLinesFormatter,
  getLogger as getCategoryLogger,
  getTextFormatter,
  type Logger,
  type TextFormatter,
  type TextFormatterOptions,
} from "@logtape/logtape";
import {
  LOG_CATEGORIES,
  type LogCategory,
  type LogFormat,
  type LogLevel,
  type LogLevelChange,
} from "../cli/command.ts";
import { takesColour, writeText } from "./output.ts";

export type { Logger };

/**
 * The logger of one part of the program: `getLogger("server")` logs as `vpn.server`. Records made before
 * `configureLogging()` go nowhere.
 *
 * Values belong in placeholders: `logger.info("Listening on port {port}", { port })`; never a key or a payload.
 */
export function getLogger(category: LogCategory): Logger {
  return getCategoryLogger(["vpn", category]);
}

/** The least level that is logged, by category. */
export type LogLevels = Readonly<Record<LogCategory, LogLevel>>;

/** The levels of a process's log, which may change while it runs. */
export class LogControl {
  readonly #format: LogFormat;
  #levels: LogLevels;

  constructor(levels: LogLevels, format: LogFormat) {
    this.#levels = levels;
    this.#format = format;
  }

  get levels(): LogLevels {
    return this.#levels;
  }

  /** Changes levels, in this order. */
  change(changes: readonly LogLevelChange[]): void {
    const levels: Record<LogCategory, LogLevel> = { ...this.#levels };
    for (const { category, level } of changes) {
      if (category !== "all") levels[category] = level;
      else for (const each of LOG_CATEGORIES) levels[each] = level;
    }
    this.#levels = levels;
    sendToStandardError(levels, this.#format);
  }
}

/** Sends records of `level` and above to standard error, one line each. A later call replaces the earlier set-up. */
export function configureLogging(
  { level, format }: { level: LogLevel; format: LogFormat },
): LogControl {
  const levels = Object.fromEntries(LOG_CATEGORIES.map((each) => [each, level])) as LogLevels;
  sendToStandardError(levels, format);
  return new LogControl(levels, format);
}

function sendToStandardError(levels: LogLevels, format: LogFormat): void {
  const formatter = createFormatter({
    format,
    terminal: Deno.stderr.isTerminal(),
    colour: takesColour(Deno.stderr),
  });
  configureSync({
    reset: true,
    sinks: {
      stderr: (record) => {
        writeText(Deno.stderr, formatter(record));
      },
    },
    loggers: [
      ...LOG_CATEGORIES.map((name) => ({
        category: ["vpn", name],
        sinks: ["stderr"],
        lowestLevel: levels[name],
      })),
      { category: ["logtape", "meta"], sinks: ["stderr"], lowestLevel: "error" },
    ],
  });
}

/**
 * Makes the formatter of log lines.
 *
 * - `text` on a terminal: `03:40:12.345 info vpn.server: Listening on port 51820`, local time
 * - `text` elsewhere: the same with the date and time of UTC in RFC 3339
 * - `json`: one object a line with `@timestamp`, `level`, `message`, `logger` and `properties` (the placeholders'
 *   values; of an error, its stack too)
 */
export function createFormatter(
  options: { format: LogFormat; terminal: boolean; colour: boolean },
): TextFormatter {
  const format = options.format === "json" ? getJsonLinesFormatter() : textFormatter(options);
  return (record) => format({ ...record, message: [record.message.map(displayed).join("")] });
}

function textFormatter(
  { terminal, colour }: { terminal: boolean; colour: boolean },
): TextFormatter {
  const text: TextFormatterOptions = {
    timestamp: terminal ? "time" : "rfc3339",
    ...(terminal ? { timeZone: null } : {}),
    level: "full",
    category: ".",
    // One record is one line, whatever a peer's name or a server's answer holds.
    sanitize: { sgr: "escape", newlines: "escape" },
    format: ({ timestamp, level, category, message }) =>
      `${timestamp} ${level} ${category}: ${message}`,
  };
  return colour ? getAnsiColorFormatter(text) : getTextFormatter(text);
}

/** A value as it reads in a message: without quotes, and an error without its stack. */
function displayed(value: unknown): string {
  return value instanceof Error ? value.message : String(value);
}
