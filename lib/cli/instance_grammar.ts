/** Grammar of `vpn capture`, `vpn log` and `vpn reload`, which ask a running server or client. */
import { multiple, optional, withDefault } from "@optique/core/modifiers";
import { argument, option } from "@optique/core/primitives";
import type { ValueParser } from "@optique/core/valueparser";
import { quoted } from "../core/config/config_error.ts";
import { LOG_CATEGORIES, LOG_LEVELS, type LogLevelChange } from "./command.ts";
import { suggestNames } from "./completion.ts";
import { about, filePath, interfaceName, line, notOneOf, tunnelName } from "./values.ts";

const CATEGORIES = [...LOG_CATEGORIES, "all"] as const;
/** Bytes; what tools that read packets take for the longest. */
const MAX_SNAP_LENGTH = 262_144;

const instance = {
  interfaceName: withDefault(
    option(
      "--interface",
      interfaceName,
      about("--interface", "TUN device of the server or client"),
    ),
    "vpn0",
  ),
};

/** What is particular to `vpn capture`. */
export const captureOptions = {
  ...instance,
  peer: optional(
    option(
      "--peer",
      peerName(),
      about("--peer", "Capture only packets from and to this peer (name or public key)"),
    ),
  ),
  write: withDefault(
    option("-w", "--write", filePath, about("--write", "File to write; - is standard output")),
    "-",
  ),
  snapLength: optional(
    option(
      "-s",
      "--snaplen",
      snapLength(),
      about("--snaplen", "Maximum number of bytes to keep of each packet"),
    ),
  ),
};

/** What is particular to `vpn reload`. */
export const reloadRequest = {
  name: optional(
    argument(tunnelName, {
      description: line(
        "TUN device or configuration file of the tunnel. Default: the only running tunnel",
      ),
      errors: { invalidValue: (error) => error },
    }),
  ),
  interfaceName: optional(
    option("--interface", interfaceName, about("--interface", "Same as NAME")),
  ),
};

/** What is particular to `vpn log`. */
export const logRequest = {
  ...instance,
  changes: multiple(
    argument(logLevelChange(), {
      description: line(
        `New level for a category. Levels: ${LOG_LEVELS.join(", ")}. Categories: ` +
          `${CATEGORIES.slice(0, -1).join(", ")}, or ${CATEGORIES.at(-1)}`,
      ),
      errors: { invalidValue: (error) => error },
    }),
  ),
};

/** The name or the public key of a peer. */
export function peerName(): ValueParser<"sync", string> {
  return {
    mode: "sync",
    metavar: "PEER",
    placeholder: "",
    parse: (input) => ({ success: true, value: input }),
    format: (name) => name,
    suggest: (prefix) => suggestNames("peer", prefix),
  };
}

function snapLength(): ValueParser<"sync", number> {
  return {
    mode: "sync",
    metavar: "BYTES",
    placeholder: MAX_SNAP_LENGTH,
    parse: (input) => {
      const value = /^\d{1,6}$/.test(input) ? Number(input) : 0;
      if (value >= 1 && value <= MAX_SNAP_LENGTH) return { success: true, value };
      return {
        success: false,
        error: line(`cannot use ${quoted(input)}: the value must be 1 to ${MAX_SNAP_LENGTH}`),
      };
    },
    format: (value) => `${value}`,
  };
}

function logLevelChange(): ValueParser<"sync", LogLevelChange> {
  return {
    mode: "sync",
    metavar: "CATEGORY=LEVEL",
    placeholder: { category: "all", level: "info" },
    parse: (input) => {
      const [category = "", level, ...rest] = input.split("=");
      if (level === undefined || rest.length > 0) {
        return {
          success: false,
          error: line(
            `cannot use ${quoted(input)}: the form is CATEGORY=LEVEL, for example dataplane=debug`,
          ),
        };
      }
      const foundCategory = CATEGORIES.find((each) => each === category);
      if (foundCategory === undefined) {
        return { success: false, error: notOneOf(category, CATEGORIES) };
      }
      const foundLevel = LOG_LEVELS.find((each) => each === level);
      if (foundLevel === undefined) return { success: false, error: notOneOf(level, LOG_LEVELS) };
      return { success: true, value: { category: foundCategory, level: foundLevel } };
    },
    format: ({ category, level }) => `${category}=${level}`,
    *suggest(prefix) {
      const [category, level] = prefix.split("=");
      const texts = level === undefined
        ? CATEGORIES.map((each) => `${each}=`)
        : LOG_LEVELS.map((each) => `${category}=${each}`);
      for (const text of texts) if (text.startsWith(prefix)) yield { kind: "literal", text };
    },
  };
}
