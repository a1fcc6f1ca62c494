/** Grammar of the command line: commands, options, their defaults, help and error texts. */
import { object, or } from "@optique/core/constructs";
import { optional, withDefault } from "@optique/core/modifiers";
import { argument, command, constant, option } from "@optique/core/primitives";
import { extractOptionNames } from "@optique/core/usage";
import { choice } from "@optique/core/valueparser";
import { quoted } from "../core/config/config_error.ts";
import { nearestName } from "../core/config/text/nearest.ts";
import { LOG_FORMATS, LOG_LEVELS, ROLES } from "./command.ts";
import { captureOptions, logRequest, reloadRequest } from "./instance_grammar.ts";
import { initGrammar, PEER_ACTIONS, PEER_OPTIONS, peerGrammar } from "./peer_grammar.ts";
import { relayOptions } from "./relay_grammar.ts";
import { about, configName, filePath, interfaceName, line, netnsName, notOneOf } from "./values.ts";

/** The commands as `parseArguments()` knows them, in the order of the help page. */
const COMMAND_NAMES: readonly string[] = [
  "server",
  "client",
  "init",
  "peer",
  "relay",
  "status",
  "capture",
  "log",
  "reload",
  "demo",
  "doctor",
  "block",
  "cleanup",
  "up",
  "down",
  "strip",
  "genkey",
  "pubkey",
  "genpsk",
  "help",
  "version",
  "completion",
];

/**
 * Makes the parser of the command line.
 *
 * @param argv the arguments: a mistyped word is compared with what could stand after the command that they begin with
 */
// deno-lint-ignore explicit-module-boundary-types -- inferred: the type is the grammar over again
export function createGrammar(argv: readonly string[]) {
  const run = object({
    configPath: option(
      "--config",
      filePath,
      about("--config", "The configuration, in the format of wg-quick", {
        missing: line("--config FILE is missing: it names the configuration"),
      }),
    ),
    ...placeOptions,
    noOffload,
    ...logOptions,
  });
  const relay = object({ ...relayOptions, netns: placeOptions.netns, noOffload, ...logOptions });
  const doctor = object({
    configPath: optional(
      option("--config", filePath, about("--config", "The configuration that is to run here")),
    ),
    otherConfigPath: optional(option(
      "--other-config",
      filePath,
      about("--other-config", "The other side's configuration, to compare with"),
    )),
    role: optional(option(
      "--role",
      choice(ROLES, { metavar: "ROLE", errors: { invalidChoice: notOneOf } }),
      about("--role", `What it is for, where that cannot be told: ${ROLES.join(" or ")}`),
    )),
    json: option("--json", about("--json", "Print JSON, whose form is stable")),
    ...placeOptions,
    ...logOptions,
  });
  const status = object({
    interfaceName: optional(
      option(
        "--interface",
        interfaceName,
        about("--interface", "Only the server or client with this TUN device"),
      ),
    ),
    json: option("--json", about("--json", "Print JSON, whose form is stable")),
    watch: option("--watch", about("--watch", "Go on every second, until Ctrl-C")),
  });
  const block = object(placeOptions);
  const cleanup = object({
    keepKillSwitch: option(
      "--keep-kill-switch",
      about("--keep-kill-switch", "Leave a host closed that a kill switch has closed"),
    ),
  });
  const capture = object(captureOptions);
  const log = object(logRequest);
  const reload = object(reloadRequest);
  const demo = object(logOptions);
  const optionsOf = (name: string) => {
    if (name === "server" || name === "client") return [...extractOptionNames(run.usage)];
    if (name === "relay") return [...extractOptionNames(relay.usage)];
    if (name === "status") return [...extractOptionNames(status.usage)];
    if (name === "capture") return [...extractOptionNames(capture.usage)];
    if (name === "log") return [...extractOptionNames(log.usage)];
    if (name === "reload") return [...extractOptionNames(reload.usage)];
    if (name === "up") return ["--foreground", ...extractOptionNames(demo.usage)];
    if (name === "block") return [...extractOptionNames(block.usage)];
    if (name === "cleanup") return [...extractOptionNames(cleanup.usage)];
    if (name === "doctor") return [...extractOptionNames(doctor.usage)];
    return name === "demo" ? [...extractOptionNames(demo.usage)] : PEER_OPTIONS[name] ?? [];
  };
  return or(
    command("server", object({ command: constant("server"), run }), {
      brief: line("Run a gateway"),
      description: line(
        "Runs until SIGINT or SIGTERM; SIGHUP reloads its file. Needs root, or CAP_NET_ADMIN.",
      ),
    }),
    command("client", object({ command: constant("client"), run }), {
      brief: line("Connect to a gateway"),
      description: line(
        "Stays connected until SIGINT or SIGTERM; SIGHUP reloads its file. Needs root, or CAP_NET_ADMIN.",
      ),
    }),
    initGrammar(),
    peerGrammar(),
    command("relay", object({ command: constant("relay"), relay }), {
      brief: line("Carry any UDP service through networks that break UDP"),
      description: line(
        "One relay beside the service's clients, one beside the service: between them, datagrams look like a TCP " +
          "connection. Runs until SIGINT, SIGTERM or SIGHUP. Needs root, or CAP_NET_ADMIN and CAP_NET_RAW.",
      ),
    }),
    command("status", object({ command: constant("status"), status }), {
      brief: line("Show what runs, and what passes"),
      description: line(
        "Servers and clients of this user, in all network namespaces: their peers, what passes, what is dropped. " +
          "JSON is a list of them, bytes and counts since the start; with --watch, a line each second. " +
          "Exit code 3 where none runs.",
      ),
    }),
    command("capture", object({ command: constant("capture"), capture }), {
      brief: line("Write down the packets inside the tunnel"),
      description: line(
        "Of a server or client that runs: packets from and to its peers as they are inside, in pcapng, which Wireshark and " +
          "tcpdump open; each peer is an interface there. Until SIGINT, SIGTERM or SIGHUP.",
      ),
    }),
    command("log", object({ command: constant("log"), log }), {
      brief: line("Show or change what is logged"),
      description: line(
        "Of a server or client that runs, until it ends: the least level that is logged of each category. " +
          "Without changes, shows the levels.",
      ),
    }),
    command("reload", object({ command: constant("reload"), request: reload }), {
      brief: line("Have what runs follow its edited configuration"),
      description: line(
        "Peers, where clients may go, resolvers and the like change at once, and sessions that they do not concern go on. What " +
          "cannot change is named, and stays as it was: exit code 2 then, and for a file with a mistake, which changes " +
          "nothing. SIGHUP does the same.",
      ),
    }),
    command("demo", object({ command: constant("demo"), log: demo }), {
      brief: line("Show the whole thing on this machine"),
      description: line(
        "Runs a client and a gateway in network namespaces of their own and shows that traffic passes. " +
          "Needs root and leaves nothing behind.",
      ),
    }),
    command("doctor", object({ command: constant("doctor"), doctor }), {
      brief: line("Say what is wrong, and how to fix it"),
      description: line(
        "Examines this host and a configuration, and tries to reach the server. Changes nothing, and leaves " +
          "a tunnel that is up alone. Exit code 1 where something does not work.",
      ),
    }),
    command("block", object({ command: constant("block"), block }), {
      brief: line("Close this host until a client connects"),
      description: line(
        "As a client's KillSwitch = on does it, but before the first connection, as at boot: nothing but loopback and DHCP " +
          "leaves the host until a client with KillSwitch = on connects by the same interface. `vpn cleanup` opens it.",
      ),
    }),
    command("cleanup", object({ command: constant("cleanup"), cleanup }), {
      brief: line("Undo what a killed run left behind"),
      description: line(
        "Undoes the changes that a killed server or client made in this network namespace, and opens a host that its kill " +
          "switch has kept closed. Those of running ones are left alone.",
      ),
    }),
    quickCommands(),
    wgCommands(),
    {
      errors: {
        noMatch: line('no command given: see "vpn --help"'),
        unexpectedInput: (token) => line(unexpected(token, { argv, optionsOf })),
      },
    },
  );
}

/** As `wg-quick` has them. */
function quickCommands() {
  const request = object({
    name: tunnelName,
    foreground: option(
      "--foreground",
      about("--foreground", "Run it here until SIGINT or SIGTERM, for a service manager"),
    ),
    ...logOptions,
  });
  return or(
    command("up", object({ command: constant("up"), request }), {
      brief: line("Bring up the tunnel of a file, and leave it running"),
      description: line(
        "Returns when the tunnel is connected, or serves; where it fails, with its error and its exit code. The device is called " +
          "as the file. A file in which all peers have an Endpoint, and nothing a ListenPort, or in which everything goes " +
          "to a peer with one, is a client's. By vpn@NAME of systemd where that runs and the file is in /etc/vpn; else in the " +
          "background, its log in /var/log/vpn/NAME.log.",
      ),
    }),
    command("down", object({ command: constant("down"), name: tunnelName }), {
      brief: line("End a tunnel, and wait until it has"),
    }),
  );
}

/** As `wg` and `wg-quick` have them; apart, as one `or()` takes fifteen at most. */
function wgCommands() {
  return or(
    command("strip", object({ command: constant("strip"), name: tunnelName }), {
      brief: line("Print what wg takes of a configuration"),
      description: line(
        "As `wg-quick strip`: without the keys that are not WireGuard's own, as in `wg syncconf vpn0 <(vpn strip vpn0)`.",
      ),
    }),
    command("genkey", object({ command: constant("genkey") }), {
      brief: line("Print a new private key"),
    }),
    command("pubkey", object({ command: constant("pubkey") }), {
      brief: line("Read a private key from standard input and print its public key"),
    }),
    command("genpsk", object({ command: constant("genpsk") }), {
      brief: line("Print a new preshared key"),
    }),
  );
}

/** Where a tunnel is, or is to be. */
const placeOptions = {
  interfaceName: withDefault(
    option("--interface", interfaceName, about("--interface", "Name of the TUN device")),
    "vpn0",
  ),
  netns: optional(
    option("--netns", netnsName, about("--netns", "Run inside this network namespace")),
  ),
};

const tunnelName = argument(configName, {
  description: line("A file, or the name of a tunnel whose file is /etc/vpn/NAME.conf"),
  errors: {
    endOfInput: line("NAME is missing: it names a file, or a tunnel of /etc/vpn"),
    multiple: line("one NAME at a time"),
  },
});

const noOffload = option(
  "--no-offload",
  about("--no-offload", "Do without segmentation offload"),
);

const logOptions = {
  logLevel: withDefault(
    option(
      "--log-level",
      choice(LOG_LEVELS, { metavar: "LEVEL", errors: { invalidChoice: notOneOf } }),
      about("--log-level", `Least level to log: ${LOG_LEVELS.join(", ")}`),
    ),
    "info",
  ),
  logFormat: withDefault(
    option(
      "--log-format",
      choice(LOG_FORMATS, { metavar: "FORMAT", errors: { invalidChoice: notOneOf } }),
      about("--log-format", `How a log line looks: ${LOG_FORMATS.join(" or ")}`),
    ),
    "text",
  ),
};

/** What is wrong with a word that fits nowhere, and which word may have been meant. */
function unexpected(
  token: string,
  { argv, optionsOf }: {
    argv: readonly string[];
    optionsOf: (command: string) => readonly string[];
  },
): string {
  const [first = ""] = argv;
  const isOption = token.startsWith("-");
  if (!COMMAND_NAMES.includes(first)) {
    return isOption
      ? `unknown option ${withSuggestion(token, ["--help", "--version"], "vpn --help")}`
      : `unknown command ${withSuggestion(token, COMMAND_NAMES, "vpn --help")}`;
  }
  const [, action = ""] = argv;
  if (first === "peer" && !PEER_ACTIONS.includes(action)) {
    return `"vpn peer" does not ${withSuggestion(token, PEER_ACTIONS, "vpn peer --help")}`;
  }
  const [name, last] = first === "peer" ? [`vpn peer ${action}`, action] : [`vpn ${first}`, first];
  if (!isOption) return `"${name}" takes no argument ${quoted(token)}`;
  return `"${name}" has no option ${
    withSuggestion(token, [...optionsOf(last), "--help"], `${name} --help`)
  }`;
}

function withSuggestion(word: string, known: readonly string[], help: string): string {
  const nearest = nearestName(word, known);
  return `${quoted(word)}: ${
    nearest === undefined ? `see "${help}"` : `did you mean "${nearest}"?`
  }`;
}
