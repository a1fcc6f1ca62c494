/** Option values: kinds of values, descriptions and error texts that the options of all commands are made of. */
import { type Message, message, text } from "@optique/core/message";
import type { OptionOptions } from "@optique/core/primitives";
import type { ValueParser } from "@optique/core/valueparser";
import type { Entry } from "../core/config/text/config_document.ts";
import { BadValueError, quoted } from "../core/config/config_error.ts";
import { INTERFACE_NAME_RULE, isInterfaceName } from "../core/config/values/interface_name.ts";
import { type NameKind, suggestNames } from "./completion.ts";

/** A path, completed by the shell. */
export const filePath: ValueParser<"sync", string> = {
  mode: "sync",
  metavar: "FILE",
  placeholder: "",
  parse: (input) => ({ success: true, value: input }),
  format: (path) => path,
  *suggest(prefix) {
    yield { kind: "file", type: "file", pattern: prefix };
  },
};

/** A path, or the name of a file in `/etc/vpn`. */
export const configName: ValueParser<"sync", string> = {
  ...filePath,
  metavar: "NAME",
  *suggest(prefix) {
    yield* suggestNames("config", prefix);
    yield { kind: "file", type: "file", pattern: prefix };
  },
};

/** A name that Linux takes for an interface. */
export const interfaceName = nameParser("interface", "vpn0", isInterfaceName, INTERFACE_NAME_RULE);
/** The same where a tunnel may also be called by its file, whose name its device has. */
export const tunnelName: typeof interfaceName = {
  ...interfaceName,
  parse: (input) => interfaceName.parse(input.replace(/^.*\//s, "").replace(/\.conf$/, "")),
  *suggest(prefix) {
    yield* suggestNames("interface", prefix);
    yield { kind: "file", type: "file", extensions: [".conf"], pattern: prefix };
  },
};
/** It becomes a file's name in `/run/netns`. */
export const netnsName = nameParser(
  "netns",
  "vpn",
  (name) => /^[^/\0]{1,255}$/.test(name) && name !== "." && name !== "..",
  'the name of a network namespace cannot contain "/"',
);

function nameParser(
  kind: NameKind,
  placeholder: string,
  accepts: (name: string) => boolean,
  rule: string,
): ValueParser<"sync", string> {
  return {
    mode: "sync",
    metavar: "NAME",
    placeholder,
    parse: (input) =>
      accepts(input)
        ? { success: true, value: input }
        : { success: false, error: line(`cannot use ${quoted(input)}: ${rule}`) },
    format: (name) => name,
    suggest: (prefix) => suggestNames(kind, prefix),
  };
}

/** A value that is read as the value of a configuration's key is. */
export function keyValue<T>(
  metavar: ValueParser["metavar"],
  read: (entry: Entry) => T,
  example: string,
): ValueParser<"sync", T> {
  const parse = (value: string) => read({ fileName: "", line: 0, key: "", value });
  return {
    mode: "sync",
    metavar,
    placeholder: parse(example),
    parse: (input) => {
      try {
        return { success: true, value: parse(input) };
      } catch (error) {
        if (!(error instanceof BadValueError)) throw error;
        return { success: false, error: line(error.problem) };
      }
    },
    format: () => example,
  };
}

/** Description and error texts of an option. */
export function about(
  name: string,
  description: string,
  errors: OptionOptions["errors"] = {},
): OptionOptions {
  return {
    description: line(description),
    errors: {
      ...errors,
      endOfInput: line(`${name} needs a value`),
      duplicate: line(`${name} is given twice`),
      invalidValue: (error) => message`${text(`${name}: `)}${error}`,
      unexpectedValue: line(`${name} takes no value`),
    },
  };
}

/** What is wrong with a value that is none of the choices. */
export function notOneOf(input: string, choices: readonly string[]): Message {
  return line(
    `cannot use ${quoted(input)}: allowed are ${choices.slice(0, -1).join(", ")} and ${
      choices.at(-1)
    }`,
  );
}

/** A message that is shown as it stands. */
export function line(content: string): Message {
  return message`${text(content)}`;
}
