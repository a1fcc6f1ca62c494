/** Grammar of `vpn fleet`. */
import { object, or } from "@optique/core/constructs";
import { withDefault } from "@optique/core/modifiers";
import { argument, command, constant, option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { about, filePath, line } from "./values.ts";

const DEFAULT_CONFIG_PATH = "server.conf";
const gatewayName = string({ metavar: "GATEWAY" });

/** The actions, in the order of the help. */
export const FLEET_ACTIONS: readonly string[] = [
  "status",
  "import",
  "key",
  "drain",
  "rebalance",
  "remove",
];

/** The options of each action, for "did you mean". */
export const FLEET_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  status: ["--watch", "--config"],
  import: ["--config"],
  key: [],
  drain: ["--config"],
  rebalance: ["--config"],
  remove: ["--config"],
};

/** Makes its parser. */
// deno-lint-ignore explicit-module-boundary-types -- inferred: the type is the grammar over again
export function fleetGrammar() {
  const configPath = withDefault(
    option("--config", filePath, about("--config", "Configuration file of a gateway, with Store")),
    DEFAULT_CONFIG_PATH,
  );
  const watch = option("--watch", about("--watch", "Update every second until Ctrl-C"));
  const gateway = withDefault(
    argument(gatewayName, { description: line("Its number or name, as status shows them") }),
    null,
  );
  const request = or(
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
    { errors: { noMatch: line(`no action given: use one of ${FLEET_ACTIONS.join(", ")}`) } },
  );
  return command("fleet", object({ command: constant("fleet"), request }), {
    brief: line("Share peers among several gateways, in NATS"),
    description: line(
      "With Store in [Interface], peers and groups are in the key-value store of NATS JetStream, and each gateway that names " +
        'it has the same. "vpn peer" changes them from any of these hosts.',
    ),
  });
}
