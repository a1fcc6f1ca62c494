/** Values of `vpn init` and `vpn peer`: how what is given on the command line is read. */
import { argument } from "@optique/core/primitives";
import type { ValueParser } from "@optique/core/valueparser";
import type { Entry } from "../core/config/text/config_document.ts";
import type { Endpoint } from "../core/config/config.ts";
import { quoted } from "../core/config/config_error.ts";
import { DEFAULT_LISTEN_PORT } from "../core/config/roles.ts";
import { parseAllowedIps, parseDns, parsePlace } from "../core/config/values/addresses.ts";
import { decodeKey } from "../core/config/values/key_text.ts";
import { PEER_SETTING_KEYS, type PeerSettingName } from "../core/config/values/keys.ts";
import { parseGroupName, parsePeerName } from "../core/config/values/values.ts";
import { suggestNames } from "./completion.ts";
import { QR_IMAGES } from "./qr.ts";
import { filePath, keyValue, line, notOneOf } from "./values.ts";

const EXAMPLE_ENDPOINT = "vpn.example.org";

export const endpoint: ReturnType<typeof keyValue<Endpoint>> = keyValue(
  "HOST[:PORT]",
  parseHost,
  EXAMPLE_ENDPOINT,
);

function parseHost(entry: Entry): Endpoint {
  return parsePlace(entry, DEFAULT_LISTEN_PORT);
}

/** A peer by its name or, as for one without, by its public key. */
export const nameOrKey: ReturnType<typeof keyValue<string>> = {
  ...keyValue(
    "NAME",
    (entry) => decodeKey(entry.value) === null ? parsePeerName(entry) : entry.value,
    "laptop",
  ),
  suggest: (prefix) => suggestNames("peer", prefix),
};

/** A key of `[Peer]`, in whatever capitals. */
export function settingKey(): ReturnType<typeof argument<"sync", PeerSettingName>> {
  const find = (input: string) =>
    PEER_SETTING_KEYS.find((each) => each.toLowerCase() === input.toLowerCase());
  const parser: ValueParser<"sync", PeerSettingName> = {
    mode: "sync",
    metavar: "KEY",
    placeholder: "Name",
    parse: (input) => {
      const key = find(input);
      if (key !== undefined) return { success: true, value: key };
      if (input.toLowerCase() !== "publickey") {
        return { success: false, error: notOneOf(input, PEER_SETTING_KEYS) };
      }
      const why = "a client is known by its PublicKey: remove it, and add one with another";
      return { success: false, error: line(why) };
    },
    format: (key) => key,
    *suggest(prefix) {
      for (const key of PEER_SETTING_KEYS) {
        if (key.toLowerCase().startsWith(prefix.toLowerCase())) {
          yield { kind: "literal", text: key };
        }
      }
    },
  };
  return argument(parser, {
    description: line(`Key: ${PEER_SETTING_KEYS.join(", ")}`),
    errors: {
      invalidValue: (error) => error,
      endOfInput: line(`KEY is missing: give one of ${PEER_SETTING_KEYS.join(", ")}`),
      multiple: line("one KEY at a time"),
    },
  });
}

/** What its key makes of it is seen later, with the key. */
export const settingValue: ValueParser<"sync", string> = {
  mode: "sync",
  metavar: "VALUE",
  placeholder: "",
  parse: (input) => ({ success: true, value: input }),
  format: (value) => value,
};

const groupName = keyValue("GROUP", parseGroupName, "contractors");

/** The same, or `@` and the name of a group. */
export const nameOrGroup: typeof nameOrKey = {
  ...nameOrKey,
  parse: (input) => {
    if (!input.startsWith("@")) return nameOrKey.parse(input);
    const group = groupName.parse(input.slice(1));
    return group.success ? { success: true, value: input } : group;
  },
  suggest: (prefix) => suggestNames("peers", prefix),
};

/** The file of an image of a code. */
export const imagePath: typeof filePath = {
  ...filePath,
  parse: (path) =>
    QR_IMAGES.some((kind) => path.toLowerCase().endsWith(`.${kind}`))
      ? { success: true, value: path }
      : {
        success: false,
        error: line(`cannot use ${quoted(path)}: the file of a QR code ends in .png or .svg`),
      },
  *suggest(prefix) {
    const extensions = QR_IMAGES.map((kind) => `.${kind}`);
    yield { kind: "file", type: "file", extensions, pattern: prefix };
  },
};

export function allowedIpsText(entry: Entry): string {
  return parseAllowedIps(entry).map(({ text }) => text).join(", ");
}

export function dnsText(entry: Entry): string {
  parseDns(entry);
  return entry.value.split(/[\s,]+/).filter((item) => item !== "").join(", ");
}

export function nameArgument(
  value: typeof nameOrKey,
  description: string,
): ReturnType<typeof argument<"sync", string>> {
  return argument(value, {
    description: line(description),
    errors: {
      invalidValue: (error) => error,
      endOfInput: line("NAME is missing: give the name of the client"),
      multiple: line("one NAME at a time"),
    },
  });
}
