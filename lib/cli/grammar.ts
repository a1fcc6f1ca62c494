/** Grammar of the command line: commands, options, their defaults, help and error texts. */
import { object, or } from "@optique/core/constructs";
import { optional, withDefault } from "@optique/core/modifiers";
import { argument, command, constant, option } from "@optique/core/primitives";
import type { Message } from "@optique/core/message";
import type { Usage } from "@optique/core/usage";
import { choice } from "@optique/core/valueparser";
import { accessGrammar } from "./access_grammar.ts";
import { exportGrammar, importGrammar } from "./backup_grammar.ts";
import { ROLES } from "./command.ts";
import { consoleGrammar } from "./console_grammar.ts";
import { eventsRequest, usageRequest } from "./account_grammar.ts";
import { captureOptions, logRequest, reloadRequest } from "./instance_grammar.ts";
import { logOptions } from "./log_options.ts";
import { fleetGrammar } from "./fleet_grammar.ts";
import { initGrammar, peerGrammar } from "./peer_grammar.ts";
import { relayOptions } from "./relay_grammar.ts";
import { serviceGrammar } from "./service_grammar.ts";
import { missingAction, unexpectedWord } from "./unexpected_word.ts";
import { about, configName, filePath, interfaceName, line, netnsName, notOneOf } from "./values.ts";

/** Device and network namespace of a tunnel. */
const placeOptions = {
  interfaceName: withDefault(
    option("--interface", interfaceName, about("--interface", "Name of the TUN device")),
    "vpn0",
  ),
  netns: optional(
    option("--netns", netnsName, about("--netns", "Network namespace to use")),
  ),
};

const tunnelName = argument(configName, {
  description: line("Path of a configuration file, or a name: NAME stands for /etc/vpn/NAME.conf"),
  errors: {
    endOfInput: line("NAME is missing: give a configuration file, or the name of one in /etc/vpn"),
    multiple: line("one NAME at a time"),
  },
});

const noOffload = option(
  "--no-offload",
  about("--no-offload", "Do not use segmentation offload"),
);

const run = () =>
  object({
    configPath: option(
      "--config",
      filePath,
      about("--config", "Configuration file, in the format of wg-quick", {
        missing: line("--config FILE is missing: give the path of the configuration file"),
      }),
    ),
    ...placeOptions,
    noOffload,
    ...logOptions,
  });

const relay = () =>
  object({ ...relayOptions, netns: placeOptions.netns, noOffload, ...logOptions });

const doctor = () =>
  object({
    configPath: optional(
      option("--config", filePath, about("--config", "Configuration file of this host")),
    ),
    otherConfigPath: optional(option(
      "--other-config",
      filePath,
      about("--other-config", "Configuration file of the other side, to compare with"),
    )),
    role: optional(option(
      "--role",
      choice(ROLES, { metavar: "ROLE", errors: { invalidChoice: notOneOf } }),
      about("--role", `Role of this host, if the file does not tell: ${ROLES.join(" or ")}`),
    )),
    json: option("--json", about("--json", "Print JSON (stable format)")),
    ...placeOptions,
    ...logOptions,
  });

const status = () =>
  object({
    interfaceName: optional(
      option(
        "--interface",
        interfaceName,
        about("--interface", "Show only the tunnel with this TUN device"),
      ),
    ),
    json: option("--json", about("--json", "Print JSON (stable format)")),
    watch: option("--watch", about("--watch", "Update every second until Ctrl-C")),
  });

const cleanup = () =>
  object({
    keepKillSwitch: option(
      "--keep-kill-switch",
      about("--keep-kill-switch", "Do not open a host that a kill switch has closed"),
    ),
  });

const demo = () =>
  object({
    fleet: option("--fleet", about("--fleet", "Three gateways that take over from each other")),
    natsServer: optional(
      option(
        "--nats-server",
        filePath,
        about("--nats-server", "The program of NATS, for --fleet. Default: nats-server in PATH"),
      ),
    ),
    ...logOptions,
  });

const up = () =>
  object({
    name: tunnelName,
    foreground: option(
      "--foreground",
      about("--foreground", "Run in the foreground until SIGINT or SIGTERM, for a service manager"),
    ),
    ...logOptions,
  });

/** The commands, in the order of the help page: each is made when it is needed. */
const COMMANDS = {
  server: () =>
    command("server", object({ command: constant("server"), run: run() }), {
      brief: line("Run a gateway"),
      description: line(
        "Runs in the foreground until SIGINT or SIGTERM. SIGHUP reloads the configuration file. Requires root, or CAP_NET_ADMIN and CAP_NET_RAW.",
      ),
    }),
  client: () =>
    command("client", object({ command: constant("client"), run: run() }), {
      brief: line("Connect to a gateway"),
      description: line(
        "Runs in the foreground, and reconnects when needed, until SIGINT or SIGTERM. SIGHUP reloads the configuration file. Requires root, or CAP_NET_ADMIN.",
      ),
    }),
  init: initGrammar,
  peer: peerGrammar,
  relay: () =>
    command("relay", object({ command: constant("relay"), relay: relay() }), {
      brief: line("Forward a UDP service through networks that block UDP"),
      description: line(
        "Run one relay on the side of the clients and one on the side of the service. Between the two, datagrams travel as " +
          "fake TCP: in segments that look like a TCP connection. A relay does not encrypt or authenticate. " +
          "Runs until SIGINT, SIGTERM or SIGHUP. Requires root, or CAP_NET_ADMIN and CAP_NET_RAW.",
      ),
    }),
  status: () =>
    command("status", object({ command: constant("status"), status: status() }), {
      brief: line("Show running tunnels, their peers and traffic"),
      description: line(
        "Shows the servers and clients of this user in all network namespaces, with their peers, transfer and drops by " +
          "reason. JSON is a list of tunnels with totals since the start; with --watch, one line each second. " +
          "The exit code is 3 if no tunnel is running.",
      ),
    }),
  usage: () =>
    command("usage", object({ command: constant("usage"), request: object(usageRequest) }), {
      brief: line("Show how much each peer of a gateway has used"),
      description: line(
        "Shows the bytes that each peer has sent and received, by month, day or hour in UTC, the newest first, as the gateway " +
          "keeps them in /var/lib/vpn, at most 10 s late. The gateway need not run. The exit code is 3 if there is no such file.",
      ),
    }),
  events: () =>
    command("events", object({ command: constant("events"), request: object(eventsRequest) }), {
      brief: line("Show what happened to the peers of a gateway"),
      description: line(
        "Shows when peers connected, disconnected and moved, expired, were disabled or enabled, used up a quota, and when the " +
          "configuration changed, the oldest first, as the gateway keeps it in /var/lib/vpn. The exit code is 3 if there " +
          "is no such file.",
      ),
    }),
  queries: () =>
    command("queries", object({ command: constant("queries"), request: object(eventsRequest) }), {
      brief: line("Show which names the clients of a gateway have asked for"),
      description: line(
        "Shows what the DNS proxy was asked, by whom, and what the answer was, the oldest first, as the gateway keeps it " +
          "for 7 days in /var/lib/vpn where its file has DnsQueryLog = on. The exit code is 3 if there is no such file.",
      ),
    }),
  flows: () =>
    command("flows", object({ command: constant("flows"), request: object(eventsRequest) }), {
      brief: line("Show which flows the clients of a gateway have had"),
      description: line(
        "Shows when, by whom, between which addresses and ports, and how many bytes, the first to end first, as the " +
          "gateway keeps it for 7 days in /var/lib/vpn where its file has FlowLog = on. The exit code is 3 if there " +
          "is no such file.",
      ),
    }),
  capture: () =>
    command("capture", object({ command: constant("capture"), capture: object(captureOptions) }), {
      brief: line("Capture packets inside a tunnel"),
      description: line(
        "Writes the decrypted packets of a running server or client in pcapng format, for Wireshark and tcpdump. Each peer " +
          "is an interface of the capture file. Runs until SIGINT, SIGTERM or SIGHUP.",
      ),
    }),
  log: () =>
    command("log", object({ command: constant("log"), log: object(logRequest) }), {
      brief: line("Show or change the log levels of a running tunnel"),
      description: line(
        "Sets the lowest level that a running server or client logs, for each category. A change lasts until the process " +
          "ends. Without arguments, shows the levels.",
      ),
    }),
  reload: () =>
    command("reload", object({ command: constant("reload"), request: object(reloadRequest) }), {
      brief: line("Apply an edited configuration file to a running tunnel"),
      description: line(
        "Changes of peers, of the networks that clients may reach, and of resolvers take effect at once; other sessions are " +
          "not interrupted. A change that needs a restart is named and not applied, and the exit code is 2. A file with an " +
          "error changes nothing, and the exit code is 2. SIGHUP does the same.",
      ),
    }),
  demo: () =>
    command("demo", object({ command: constant("demo"), demo: demo() }), {
      brief: line("Demonstrate the VPN on this machine"),
      description: line(
        "Runs a gateway and clients in temporary network namespaces and checks that traffic passes. " +
          "Requires root, and removes everything when it ends.",
      ),
    }),
  doctor: () =>
    command("doctor", object({ command: constant("doctor"), doctor: doctor() }), {
      brief: line("Check the host and a configuration, and suggest fixes"),
      description: line(
        "Checks this host and a configuration file, and tries to reach the server. Changes nothing, and does not disturb " +
          "a running tunnel. The exit code is 1 if a check fails.",
      ),
    }),
  block: () =>
    command("block", object({ command: constant("block"), block: object(placeOptions) }), {
      brief: line("Block all traffic of this host until a client connects"),
      description: line(
        "Does what KillSwitch = on does, but before the first connection, for example at boot: only loopback and DHCP leave " +
          "the host until a client with KillSwitch = on connects on the same interface. `vpn cleanup` removes the block.",
      ),
    }),
  cleanup: () =>
    command("cleanup", object({ command: constant("cleanup"), cleanup: cleanup() }), {
      brief: line("Undo changes left behind by a killed process"),
      description: line(
        "Undoes the changes of a killed server or client in this network namespace, and opens a host that its kill switch " +
          "still blocks. Changes of running tunnels are kept. The exit code is 1 if something could not be undone, which " +
          "the log names, or 5 if that takes more privileges.",
      ),
    }),
  access: accessGrammar,
  console: consoleGrammar,
  service: serviceGrammar,
  fleet: fleetGrammar,
  up: () =>
    command("up", object({ command: constant("up"), request: up() }), {
      brief: line("Start a tunnel in the background"),
      description: line(
        "Returns when the client is connected or the server is ready. If the start fails, prints the error and ends with its " +
          "exit code. The device has the name of the file. A file describes a client if all its peers have an Endpoint and it has no " +
          "ListenPort, or if all traffic goes to a peer with an Endpoint. For a file in /etc/vpn, the systemd unit vpn@NAME is " +
          "started if systemd is running. Otherwise the tunnel runs in the background and logs to /var/log/vpn/NAME.log.",
      ),
    }),
  down: () =>
    command("down", object({ command: constant("down"), name: tunnelName }), {
      brief: line("Stop a tunnel and wait until it has ended"),
    }),
  export: exportGrammar,
  import: importGrammar,
  strip: () =>
    command("strip", object({ command: constant("strip"), name: tunnelName }), {
      brief: line("Print a configuration file without the keys that wg does not know"),
      description: line(
        "Does what `wg-quick strip` does, for use as in `wg syncconf vpn0 <(vpn strip vpn0)`.",
      ),
    }),
  genkey: () =>
    command("genkey", object({ command: constant("genkey") }), {
      brief: line("Print a new private key"),
    }),
  pubkey: () =>
    command("pubkey", object({ command: constant("pubkey") }), {
      brief: line("Read a private key from standard input and print its public key"),
    }),
  genpsk: () =>
    command("genpsk", object({ command: constant("genpsk") }), {
      brief: line("Print a new preshared key"),
    }),
};

/** All that may stand first; the last three are the library's own. */
export const COMMAND_NAMES: readonly string[] = [
  ...Object.keys(COMMANDS),
  "help",
  "version",
  "completion",
];

/**
 * Makes the parser of the command line, or the part of it that is about the command which the arguments begin with: to
 * make all takes a third of the processor time of `vpn genkey`.
 *
 * @param argv the arguments: a mistyped word is compared with what could stand after the command that they begin with
 */
// deno-lint-ignore explicit-module-boundary-types -- inferred: the type is the grammar over again
export function createGrammar(argv: readonly string[]) {
  const errors = {
    noMatch: line('no command given: see "vpn --help"'),
    unexpectedInput: (token: string) =>
      line(unexpectedWord(token, { argv, commands: COMMAND_NAMES, usageOf })),
  };
  const [first = ""] = argv;
  // Help is of the command that stands first, whatever others follow: which those are, all of them tell.
  if (!isCommand(first) || argv.includes("--help") || argv.includes("-h")) return all(errors);
  return or(COMMANDS[first](), { errors }) as unknown as ReturnType<typeof all>;
}

/** The error for arguments that are a command without its action; null for all others. */
export function actionLeftOut(argv: readonly string[]): string | null {
  return argv.length === 1 ? missingAction(usageOf(argv[0]!)) : null;
}

function isCommand(word: string): word is keyof typeof COMMANDS {
  return Object.hasOwn(COMMANDS, word);
}

/** All commands; in groups, as one `or()` takes fifteen at most. */
function all(errors: { noMatch: Message; unexpectedInput: (token: string) => Message }) {
  return or(
    COMMANDS.server(),
    COMMANDS.client(),
    COMMANDS.init(),
    COMMANDS.peer(),
    COMMANDS.relay(),
    or(
      COMMANDS.status(),
      COMMANDS.usage(),
      COMMANDS.events(),
      COMMANDS.queries(),
      COMMANDS.flows(),
    ),
    COMMANDS.capture(),
    COMMANDS.log(),
    COMMANDS.reload(),
    COMMANDS.demo(),
    COMMANDS.doctor(),
    COMMANDS.block(),
    COMMANDS.cleanup(),
    or(
      COMMANDS.access(),
      COMMANDS.console(),
      COMMANDS.service(),
      COMMANDS.fleet(),
      or(COMMANDS.up(), COMMANDS.down()),
      or(COMMANDS.export(), COMMANDS.import()),
    ),
    or(COMMANDS.strip(), COMMANDS.genkey(), COMMANDS.pubkey(), COMMANDS.genpsk()),
    { errors },
  );
}

/** What may stand behind a command and it itself, for "did you mean". */
function usageOf(name: string): Usage {
  return isCommand(name) ? COMMANDS[name]().usage : [];
}
