/** Grammar of `vpn access`. */
import { object } from "@optique/core/constructs";
import { optional } from "@optique/core/modifiers";
import { argument, command, constant, option } from "@optique/core/primitives";
import { choice } from "@optique/core/valueparser";
import { parseAccessAddress } from "../core/config/values/access_rules.ts";
import { integer, rejectValue } from "../core/config/values/values.ts";
import { ACCESS_PROTOCOLS } from "./command.ts";
import { peerName } from "./instance_grammar.ts";
import { about, filePath, interfaceName, keyValue, line, notOneOf } from "./values.ts";

/** Makes its parser. */
// deno-lint-ignore explicit-module-boundary-types -- inferred: the type is the grammar over again
export function accessGrammar() {
  const request = object({
    peer: argument(peerName(), {
      description: line("Name or public key of the client that sends the packet"),
      errors: { endOfInput: line("PEER is missing: give the name of a client") },
    }),
    protocol: argument(
      choice(ACCESS_PROTOCOLS, {
        metavar: "PROTOCOL",
        errors: { invalidChoice: notOneOf },
      }),
      {
        description: line(`Protocol: ${ACCESS_PROTOCOLS.join(", ")}`),
        errors: {
          invalidValue: (error) => error,
          endOfInput: line(`PROTOCOL is missing: give one of ${ACCESS_PROTOCOLS.join(", ")}`),
        },
      },
    ),
    address: argument(
      keyValue("ADDRESS", parseAccessAddress, "10.20.1.5"),
      {
        description: line("Address that the packet is for"),
        errors: {
          invalidValue: (error) => error,
          endOfInput: line("ADDRESS is missing: give where the packet goes"),
        },
      },
    ),
    port: optional(argument(
      keyValue(
        "PORT",
        (entry) => integer(entry.value, 1, 65535) ?? rejectValue(entry, "a port is 1 to 65535"),
        "443",
      ),
      { description: line("Port of tcp and udp"), errors: { invalidValue: (error) => error } },
    )),
    configPath: optional(option(
      "--config",
      filePath,
      about("--config", "Ask this configuration file of a gateway, not what runs"),
    )),
    interfaceName: optional(
      option(
        "--interface",
        interfaceName,
        about("--interface", "TUN device of the gateway. Default: the only running one"),
      ),
    ),
    json: option("--json", about("--json", "Print JSON (stable format)")),
  });
  const test = command("test", request, {
    brief: line("Say whether a client may send a packet, and by which rule"),
    description: line(
      "Says what Allow and Deny of a gateway decide about the first packet of a flow. What EgressAllow, EgressDeny and " +
        "ClientToClient close is closed besides. The exit code is 1 if the packet is denied.",
    ),
  });
  return command("access", object({ command: constant("access"), request: test }), {
    brief: line("Test the access rules of a gateway"),
  });
}
