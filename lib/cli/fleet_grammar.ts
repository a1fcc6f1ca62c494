/** Grammar of `vpn fleet`. */
import { object, or } from "@optique/core/constructs";
import { withDefault } from "@optique/core/modifiers";
import { argument, command, constant, option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { parseNatsServers, parseVirtualAddress } from "../core/config/values/store_keys.ts";
import { integer, rejectValue } from "../core/config/values/values.ts";
import { subnetOption } from "./peer_grammar.ts";
import { endpoint } from "./peer_values.ts";
import { about, filePath, keyValue, line } from "./values.ts";

const DEFAULT_CONFIG_PATH = "server.conf";
const DEFAULT_FOLDER = "fleet";
const MOST_GATEWAYS = 256;
const DEFAULT_GATEWAYS = "3";
const gatewayName = string({ metavar: "GATEWAY" });
const tokenOrFile: typeof filePath = { ...filePath, metavar: "TOKEN" };
const natsServers = keyValue(
  "HOST[:PORT],...",
  parseNatsServers,
  "nats-a.example.org,nats-b.example.org,nats-c.example.org",
);
const virtualAddress = keyValue("ADDRESS/LENGTH", parseVirtualAddress, "203.0.113.5/24");
const gatewayCount = keyValue(
  "COUNT",
  (entry) =>
    integer(entry.value, 1, MOST_GATEWAYS) ??
      rejectValue(entry, `a fleet has 1 to ${MOST_GATEWAYS} gateways`),
  DEFAULT_GATEWAYS,
);

/** Makes its parser. */
// deno-lint-ignore explicit-module-boundary-types -- inferred: the type is the grammar over again
export function fleetGrammar() {
  const configPath = configOption();
  const gateway = gatewayArgument();
  const watch = option("--watch", about("--watch", "Update every second until Ctrl-C"));
  const request = or(
    initCommand(),
    joinCommand(),
    leaveCommand(),
    command("status", object({ action: constant("status"), watch, configPath }), {
      brief: line("Show whether the store is reached, and what is in it"),
      description: line("The exit code is 1 if no server of the store answers."),
    }),
    command("import", object({ action: constant("import"), configPath }), {
      brief: line("Move the peers and groups of a configuration file to its store"),
      description: line(
        "Peers that the store has already stay as they are there; a peer with the name or a network of another is refused, and " +
          "nothing of the file is moved. The file keeps [Interface].",
      ),
    }),
    command(
      "key",
      object({
        action: constant("key"),
        file: argument(filePath, {
          description: line("File to write; an existing file is not overwritten"),
          errors: { endOfInput: line("FILE is missing: give the file for the key") },
        }),
      }),
      {
        brief: line("Create a key for StoreCredentials, and print the public key for NATS"),
      },
    ),
    command("drain", object({ action: constant("drain"), gateway, configPath }), {
      brief: line("Have a gateway give the virtual address to another, and take it only in need"),
      description: line("Without GATEWAY, the one on this host; it stays so until rebalance."),
    }),
    command("rebalance", object({ action: constant("rebalance"), gateway, configPath }), {
      brief: line("Let a gateway that was drained have the virtual address again"),
    }),
    command(
      "remove",
      object({
        action: constant("remove"),
        gateway: argument(gatewayName, {
          description: line("Its number or name, as status shows them"),
          errors: { endOfInput: line("GATEWAY is missing: give its number or its name") },
        }),
        configPath,
      }),
      {
        brief: line("Forget a gateway that will not come back"),
        description: line(
          "The majority that the others need no longer includes it. Stop it first.",
        ),
      },
    ),
  );
  return command("fleet", object({ command: constant("fleet"), request }), {
    brief: line("Share peers among several gateways, in NATS"),
    description: line(
      "With Store in [Interface], peers and groups are in the key-value store of NATS JetStream, and each gateway that names " +
        'it has the same. "vpn peer" changes them from any of these hosts.',
    ),
  });
}

function initCommand() {
  const request = {
    action: constant("init"),
    nats: option(
      "--nats",
      natsServers,
      about("--nats", "Hosts of NATS, which keep the peers: three, of which one may fail", {
        missing: line("--nats HOST,HOST,HOST is missing: name the hosts that are to run NATS"),
      }),
    ),
    endpoint: endpointOption("Public address of this gateway for clients (default port: 51820)"),
    virtualAddress: withDefault(
      option(
        "--virtual-address",
        virtualAddress,
        about("--virtual-address", "Address that the gateways have by turns"),
      ),
      null,
    ),
    subnet: subnetOption("Network inside the tunnel, if the file is missing"),
    gateways: withDefault(
      option(
        "--gateways",
        gatewayCount,
        about("--gateways", "Gateways, with this one"),
      ),
      gatewayCount.placeholder,
    ),
    out: withDefault(
      option("--out", filePath, about("--out", "Folder for what is carried to the other hosts")),
      DEFAULT_FOLDER,
    ),
    configPath: withDefault(
      option(
        "--config",
        filePath,
        about(
          "--config",
          "Configuration file of this gateway; made, if missing and --endpoint is given",
        ),
      ),
      DEFAULT_CONFIG_PATH,
    ),
  };
  return command("init", object(request), {
    brief: line("Make this gateway the first of a fleet"),
    description: line(
      "Adds what a fleet needs to the configuration, and writes to a folder: a configuration with certificates for each " +
        "server of NATS, and a token for each other gateway.",
    ),
  });
}

function joinCommand() {
  const request = {
    action: constant("join"),
    token: argument(tokenOrFile, {
      description: line(
        'File with a token of "vpn fleet init", or "-" for standard input; or the token, which others see there',
      ),
      errors: { endOfInput: line('TOKEN is missing: give its file, or "-" for standard input') },
    }),
    endpoint: endpointOption("Public address of this gateway for clients, if it has another"),
    overwrite: option("--overwrite", about("--overwrite", "Replace files that are there already")),
    configPath: withDefault(
      option("--config", filePath, about("--config", "Configuration file to write")),
      DEFAULT_CONFIG_PATH,
    ),
  };
  return command("join", object(request), {
    brief: line("Make this host another gateway of a fleet"),
    description: line("Each token is for one gateway, and has the private key of the fleet."),
  });
}

function leaveCommand() {
  const keepPeers = option(
    "--keep-peers",
    about("--keep-peers", "Copy the peers to the configuration file, and take the store out of it"),
  );
  const request = {
    action: constant("leave"),
    gateway: gatewayArgument(),
    keepPeers,
    configPath: configOption(),
  };
  return command("leave", object(request), {
    brief: line("Take the gateway on this host out of its fleet"),
    description: line("Hands the virtual address to another gateway first."),
  });
}

function endpointOption(description: string) {
  return withDefault(option("--endpoint", endpoint, about("--endpoint", description)), null);
}

function configOption() {
  return withDefault(
    option("--config", filePath, about("--config", "Configuration file of a gateway, with Store")),
    DEFAULT_CONFIG_PATH,
  );
}

function gatewayArgument() {
  return withDefault(
    argument(gatewayName, { description: line("Its number or name, as status shows them") }),
    null,
  );
}
