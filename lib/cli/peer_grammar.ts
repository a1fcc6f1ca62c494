/** Grammar of `vpn init` and `vpn peer`. */
import { object, or } from "@optique/core/constructs";
import { optional, withDefault } from "@optique/core/modifiers";
import { argument, command, constant, option } from "@optique/core/primitives";
import {
  parseAllowedIps,
  parseDns,
  parseEndpoint,
  parseSubnet,
} from "../core/config/values/addresses.ts";
import type { Entry } from "../core/config/text/config_document.ts";
import type { Endpoint } from "../core/config/config.ts";
import { quoted } from "../core/config/config_error.ts";
import { decodeKey } from "../core/config/values/key_text.ts";
import { DEFAULT_LISTEN_PORT } from "../core/config/roles.ts";
import { parsePeerName } from "../core/config/values/values.ts";
import { suggestNames } from "./completion.ts";
import { QR_IMAGES } from "./qr.ts";
import { about, filePath, keyValue, line } from "./values.ts";

/** Where `vpn init` writes and `vpn peer` looks unless told otherwise. */
const DEFAULT_CONFIG_PATH = "server.conf";
const DEFAULT_SUBNET = "10.66.77.0/24";
const EXAMPLE_ENDPOINT = "vpn.example.org";

/** The actions of `vpn peer`, in the order of its help. */
export const PEER_ACTIONS: readonly string[] = ["add", "list", "show", "remove"];

/** The options of the two commands and of each action, for "did you mean". */
export const PEER_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  init: ["--endpoint", "--subnet", "--out"],
  add: ["--config", "--out", "--endpoint", "--full-tunnel", "--allowed-ips", "--dns"],
  list: ["--config", "--json"],
  show: ["--config", "--qr", "--overwrite"],
  remove: ["--config"],
};

/** Makes the parser of `vpn init`'s options. */
// deno-lint-ignore explicit-module-boundary-types -- inferred: the type is the grammar over again
export function initGrammar() {
  const subnet = keyValue("NETWORK", parseSubnet, DEFAULT_SUBNET);
  const request = object({
    endpoint: option(
      "--endpoint",
      endpoint,
      about("--endpoint", "Where clients reach this gateway; port 51820 if left out", {
        missing: line("--endpoint HOST[:PORT] is missing: it is where clients reach this gateway"),
      }),
    ),
    subnet: withDefault(
      option("--subnet", subnet, about("--subnet", "The network inside the tunnel")),
      subnet.placeholder,
    ),
    out: withDefault(
      option("--out", filePath, about("--out", "The file to write; none is overwritten")),
      DEFAULT_CONFIG_PATH,
    ),
  });
  return command("init", object({ command: constant("init"), request }), {
    brief: line("Make keys and a configuration for a gateway"),
    description: line('Then "vpn peer add NAME" adds clients, and "vpn server" runs it.'),
  });
}

/** Makes the parser of `vpn peer`'s actions. */
// deno-lint-ignore explicit-module-boundary-types -- inferred: the type is the grammar over again
export function peerGrammar() {
  const configPath = withDefault(
    option("--config", filePath, about("--config", "The gateway's configuration")),
    DEFAULT_CONFIG_PATH,
  );
  const add = object({
    action: constant("add"),
    name: nameArgument(keyValue("NAME", parsePeerName, "laptop"), "What to call it"),
    configPath,
    out: optional(option(
      "--out",
      filePath,
      about("--out", 'Where its configuration goes, "-" for standard output'),
    )),
    endpoint: optional(
      option("--endpoint", endpoint, about("--endpoint", "Where it reaches the gateway")),
    ),
    fullTunnel: option(
      "--full-tunnel",
      about("--full-tunnel", "Everything goes through the tunnel, also IPv6, which ends there"),
    ),
    allowedIps: optional(option(
      "--allowed-ips",
      keyValue("NETWORKS", allowedIpsText, "10.66.77.0/24"),
      about("--allowed-ips", "Only this goes through the tunnel; commas between"),
    )),
    dns: optional(option(
      "--dns",
      keyValue("ADDRESSES", dnsText, "10.66.77.1"),
      about("--dns", "Its resolvers and search domains; commas between"),
    )),
  });
  const list = object({
    action: constant("list"),
    configPath,
    json: option("--json", about("--json", "Print JSON")),
  });
  const show = object({
    action: constant("show"),
    name: nameArgument(nameOrKey, "Its name, or its public key"),
    file: optional(argument(imagePath, {
      description: line("Where the QR code goes, a .png or .svg; left out: into the terminal"),
      errors: { invalidValue: (error) => error, multiple: line("one FILE at a time") },
    })),
    configPath,
    qr: option("--qr", about("--qr", "Show its configuration as a QR code, keys and all")),
    overwrite: option(
      "--overwrite",
      about("--overwrite", "With FILE: put it in the place of one that is there"),
    ),
  });
  const remove = object({
    action: constant("remove"),
    name: nameArgument(nameOrKey, "Its name, or its public key"),
    configPath,
  });
  const request = or(
    command("add", add, {
      brief: line("Make keys and a configuration for a client, and add it"),
      description: line(
        "Everything goes through the tunnel where the gateway leads to the internet; " +
          "otherwise only its network does. The file is for vpn, wg-quick and the WireGuard apps.",
      ),
    }),
    command("list", list, { brief: line("List the clients") }),
    command("show", show, { brief: line("Show a client, or the QR code for its app") }),
    command("remove", remove, { brief: line("Remove a client, which cannot connect any more") }),
    { errors: { noMatch: line(`say what to do with peers: ${PEER_ACTIONS.join(", ")}`) } },
  );
  return command("peer", object({ command: constant("peer"), request }), {
    brief: line("Add, list, show and remove the clients of a gateway"),
    description: line(
      "A gateway that runs applies a change at once, without an interruption for its other clients.",
    ),
  });
}

const endpoint = keyValue("HOST[:PORT]", parseHost, EXAMPLE_ENDPOINT);

function parseHost(entry: Entry): Endpoint {
  const { value } = entry;
  return parseEndpoint({
    ...entry,
    value: value.includes(":") ? value : `${value}:${DEFAULT_LISTEN_PORT}`,
  });
}

/** A peer by its name or, as for one without, by its public key. */
const nameOrKey: ReturnType<typeof keyValue<string>> = {
  ...keyValue(
    "NAME",
    (entry) => decodeKey(entry.value) === null ? parsePeerName(entry) : entry.value,
    "laptop",
  ),
  suggest: (prefix) => suggestNames("peer", prefix),
};

/** The file of an image of a code. */
const imagePath: typeof filePath = {
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

function allowedIpsText(entry: Entry): string {
  return parseAllowedIps(entry).map(({ text }) => text).join(", ");
}

function dnsText(entry: Entry): string {
  parseDns(entry);
  return entry.value.split(/[\s,]+/).filter((item) => item !== "").join(", ");
}

function nameArgument(
  value: typeof nameOrKey,
  description: string,
): ReturnType<typeof argument<"sync", string>> {
  return argument(value, {
    description: line(description),
    errors: {
      invalidValue: (error) => error,
      endOfInput: line("NAME is missing: it names the client"),
      multiple: line("one NAME at a time"),
    },
  });
}
