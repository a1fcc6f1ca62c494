/** Grammar of `vpn init` and `vpn peer`. */
import { object, or } from "@optique/core/constructs";
import { multiple, optional, withDefault } from "@optique/core/modifiers";
import { argument, command, constant, option } from "@optique/core/primitives";
import { parseSubnet } from "../core/config/values/addresses.ts";
import { parseExpiry } from "../core/config/values/expiry.ts";
import { parseGroupName, parseGroups, parsePeerName } from "../core/config/values/values.ts";
import {
  allowedIpsText,
  dnsText,
  endpoint,
  imagePath,
  nameArgument,
  nameOrGroup,
  nameOrKey,
  settingKey,
  settingValue,
} from "./peer_values.ts";
import { about, filePath, interfaceName, keyValue, line } from "./values.ts";

/** Where `vpn init` writes and `vpn peer` looks unless told otherwise. */
export const DEFAULT_CONFIG_PATH = "server.conf";
const DEFAULT_SUBNET = "10.66.77.0/24";
const WHEN = "a period, as in 30d, 12h or 2w, a date, as in 2027-01-31, a time, as in " +
  '2027-01-31T18:00:00Z, or "never"';

/** The network of a new gateway. */
// deno-lint-ignore explicit-module-boundary-types -- inferred: the type is the grammar over again
export function subnetOption(description: string) {
  const subnet = keyValue("NETWORK", parseSubnet, DEFAULT_SUBNET);
  return withDefault(
    option("--subnet", subnet, about("--subnet", description)),
    subnet.placeholder,
  );
}

/** Makes the parser of `vpn init`'s options. */
// deno-lint-ignore explicit-module-boundary-types -- inferred: the type is the grammar over again
export function initGrammar() {
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
    subnet: subnetOption("Network inside the tunnel"),
    ipv6: option(
      "--ipv6",
      about("--ipv6", "Also carry IPv6 inside the tunnel, in a random network of its own"),
    ),
    console: option(
      "--console",
      about("--console", "Prepare vpn console as well, and print the link for its first account"),
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
  const gateway = {
    configPath: withDefault(
      option("--config", filePath, about("--config", "Configuration file of the gateway")),
      DEFAULT_CONFIG_PATH,
    ),
    interfaceName: optional(option(
      "--interface",
      interfaceName,
      about("--interface", "TUN device of the running gateway that is meant, in place of --config"),
    )),
  };
  const clientFile = {
    out: optional(option(
      "--out",
      filePath,
      about("--out", 'File for the configuration of the client; "-" is standard output'),
    )),
    endpoints: multiple(
      option(
        "--endpoint",
        endpoint,
        about(
          "--endpoint",
          "Address at which this client reaches the gateway; may be repeated, for a client of vpn itself",
        ),
      ),
    ),
    fullTunnel: option(
      "--full-tunnel",
      about("--full-tunnel", "Send all traffic through the tunnel"),
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
  };
  const add = object({
    action: constant("add"),
    name: nameArgument(keyValue("NAME", parsePeerName, "laptop"), "Name of the new client"),
    ...gateway,
    ...clientFile,
    expiry: optional(option(
      "--expires",
      keyValue("WHEN", parseExpiry, "30d"),
      about("--expires", `End the access of the client: ${WHEN}`),
    )),
    groups: optional(option(
      "--groups",
      keyValue("GROUPS", parseGroups, "contractors"),
      about(
        "--groups",
        "Groups of the client, each with a [Group] section in the configuration file",
      ),
    )),
  });
  const list = object({
    action: constant("list"),
    group: optional(option(
      "--group",
      keyValue("GROUP", parseGroupName, "contractors"),
      about("--group", "Only the clients in this group"),
    )),
    ...gateway,
    json: option("--json", about("--json", "Print JSON")),
  });
  const show = object({
    action: constant("show"),
    name: nameArgument(nameOrKey, "Name or public key of the client"),
    file: optional(argument(imagePath, {
      description: line("Image file for the QR code, .png or .svg. Default: the terminal"),
      errors: { invalidValue: (error) => error, multiple: line("one FILE at a time") },
    })),
    ...gateway,
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
    ...gateway,
  });
  const name = nameArgument(nameOrKey, "Name or public key of the client");
  const rotate = object({
    action: constant("rotate"),
    name,
    ...gateway,
    ...clientFile,
    keyExpiry: optional(option(
      "--until",
      keyValue("WHEN", parseExpiry, "7d"),
      about("--until", `End the old key then at the latest: ${WHEN}`),
    )),
    cancel: option("--cancel", about("--cancel", "Give up the new key: the old one stays")),
  });
  const names = nameArgument(
    nameOrGroup,
    "Name or public key of the client, or @GROUP for all clients in a group",
  );
  const expiry = argument(keyValue("WHEN", parseExpiry, "30d"), {
    description: line(`When the access ends: ${WHEN}`),
    errors: {
      invalidValue: (error) => error,
      endOfInput: line(`WHEN is missing: give ${WHEN}`),
      multiple: line("one WHEN at a time"),
    },
  });
  const newName = argument({ ...keyValue("NEW", parsePeerName, "tablet") }, {
    description: line("New name of the client; the client does not need to know it"),
    errors: {
      invalidValue: (error) => error,
      endOfInput: line("NEW is missing: give the new name of the client"),
      multiple: line("one NEW at a time"),
    },
  });
  const value = argument(settingValue, {
    description: line(
      'Value as in the configuration file; "none" removes the key; for PresharedKey "-" reads standard input',
    ),
    errors: {
      endOfInput: line('VALUE is missing: give the value, or "none" to remove the key'),
      multiple: line("one VALUE at a time"),
    },
  });
  const changes = or(
    command("enable", object({ action: constant("enable"), name: names, ...gateway }), {
      brief: line("Let a disabled client in again"),
    }),
    command("disable", object({ action: constant("disable"), name: names, ...gateway }), {
      brief: line("Keep a client out, and end its session, until it is enabled"),
    }),
    command("expire", object({ action: constant("expire"), name: names, expiry, ...gateway }), {
      brief: line("Set when the access of a client ends"),
    }),
    command("rename", object({ action: constant("rename"), name, newName, ...gateway }), {
      brief: line("Give a client another name"),
    }),
    command("rotate", rotate, {
      brief: line("Give a client new keys; the old ones are valid until it uses the new ones"),
      description: line(
        "Addresses, rules and quota stay, and the configuration of the client is written as by `add`; what its file " +
          "beside the gateway's says of networks, resolvers and the gateway's address is kept.",
      ),
    }),
    command(
      "set",
      object({ action: constant("set"), name: names, key: settingKey(), value, ...gateway }),
      {
        brief: line("Set a key of a client's section in the configuration file"),
        description: line("Comments and everything else in the file stay as they are."),
      },
    ),
  );
  const request = or(
    command("add", add, {
      brief: line("Create keys and a configuration file for a client, and add the client"),
      description: line(
        "By default, the client sends all traffic through the tunnel if the gateway forwards to the internet, and otherwise " +
          "only traffic to the network of the gateway. The file works with vpn, wg-quick and the WireGuard apps.",
      ),
    }),
    command("list", list, {
      brief: line("List the clients"),
      description: line(
        "Reads them from the configuration file, or from the store that it names; with --interface, they are those that the " +
          "running gateway has by now, which it says.",
      ),
    }),
    command("show", show, { brief: line("Show a client, or its QR code for the WireGuard app") }),
    command("remove", remove, { brief: line("Remove a client") }),
    changes,
  );
  return command("peer", object({ command: constant("peer"), request }), {
    brief: line("Add, list, show, change and remove clients of a gateway"),
    description: line(
      "A running gateway applies a change at once, without interrupting other clients.",
    ),
  });
}
