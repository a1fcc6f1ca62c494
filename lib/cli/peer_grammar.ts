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
      about("--endpoint", "Public address of this gateway for clients (default port: 51820)", {
        missing: line(
          "--endpoint HOST[:PORT] is missing: give the public address of this gateway for clients",
        ),
      }),
    ),
    subnet: withDefault(
      option("--subnet", subnet, about("--subnet", "Network inside the tunnel")),
      subnet.placeholder,
    ),
    out: withDefault(
      option(
        "--out",
        filePath,
        about("--out", "File to write; an existing file is not overwritten"),
      ),
      DEFAULT_CONFIG_PATH,
    ),
  });
  return command("init", object({ command: constant("init"), request }), {
    brief: line("Create keys and a configuration file for a gateway"),
    description: line(
      'Then add clients with "vpn peer add NAME", and start the gateway with "vpn server".',
    ),
  });
}

/** Makes the parser of `vpn peer`'s actions. */
// deno-lint-ignore explicit-module-boundary-types -- inferred: the type is the grammar over again
export function peerGrammar() {
  const configPath = withDefault(
    option("--config", filePath, about("--config", "Configuration file of the gateway")),
    DEFAULT_CONFIG_PATH,
  );
  const add = object({
    action: constant("add"),
    name: nameArgument(keyValue("NAME", parsePeerName, "laptop"), "Name of the new client"),
    configPath,
    out: optional(option(
      "--out",
      filePath,
      about("--out", 'File for the configuration of the client; "-" is standard output'),
    )),
    endpoint: optional(
      option(
        "--endpoint",
        endpoint,
        about("--endpoint", "Address at which this client reaches the gateway"),
      ),
    ),
    fullTunnel: option(
      "--full-tunnel",
      about("--full-tunnel", "Send all traffic through the tunnel; IPv6 is blocked"),
    ),
    allowedIps: optional(option(
      "--allowed-ips",
      keyValue("NETWORKS", allowedIpsText, "10.66.77.0/24"),
      about(
        "--allowed-ips",
        "Send only traffic to these networks through the tunnel (comma-separated)",
      ),
    )),
    dns: optional(option(
      "--dns",
      keyValue("ADDRESSES", dnsText, "10.66.77.1"),
      about("--dns", "DNS resolvers and search domains of the client (comma-separated)"),
    )),
  });
  const list = object({
    action: constant("list"),
    configPath,
    json: option("--json", about("--json", "Print JSON")),
  });
  const show = object({
    action: constant("show"),
    name: nameArgument(nameOrKey, "Name or public key of the client"),
    file: optional(argument(imagePath, {
      description: line("Image file for the QR code, .png or .svg. Default: the terminal"),
      errors: { invalidValue: (error) => error, multiple: line("one FILE at a time") },
    })),
    configPath,
    qr: option(
      "--qr",
      about("--qr", "Show the configuration of the client, with its private key, as a QR code"),
    ),
    overwrite: option(
      "--overwrite",
      about("--overwrite", "Replace FILE if it exists"),
    ),
  });
  const remove = object({
    action: constant("remove"),
    name: nameArgument(nameOrKey, "Name or public key of the client"),
    configPath,
  });
  const request = or(
    command("add", add, {
      brief: line("Create keys and a configuration file for a client, and add the client"),
      description: line(
        "By default, the client sends all traffic through the tunnel if the gateway forwards to the internet, and otherwise " +
          "only traffic to the network of the gateway. The file works with vpn, wg-quick and the WireGuard apps.",
      ),
    }),
    command("list", list, { brief: line("List the clients") }),
    command("show", show, { brief: line("Show a client, or its QR code for the WireGuard app") }),
    command("remove", remove, { brief: line("Remove a client") }),
    { errors: { noMatch: line(`no action given: use one of ${PEER_ACTIONS.join(", ")}`) } },
  );
  return command("peer", object({ command: constant("peer"), request }), {
    brief: line("Add, list, show and remove clients of a gateway"),
    description: line(
      "A running gateway applies a change at once, without interrupting other clients.",
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
      endOfInput: line("NAME is missing: give the name of the client"),
      multiple: line("one NAME at a time"),
    },
  });
}
