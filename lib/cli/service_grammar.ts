/** Grammar of `vpn service`. */
import { object, or } from "@optique/core/constructs";
import { optional } from "@optique/core/modifiers";
import { argument, command, constant, option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { about, interfaceName, line } from "./values.ts";

/** Makes its parser. */
// deno-lint-ignore explicit-module-boundary-types -- inferred: the type is the grammar over again
export function serviceGrammar() {
  const place = {
    interfaceName: optional(
      option(
        "--interface",
        interfaceName,
        about("--interface", "TUN device of the gateway. Default: the only running one"),
      ),
    ),
  };
  const backEnd = {
    backEnd: argument(string({ metavar: "BACKEND" }), {
      description: line("Back end as Forward names it, with its port or without"),
      errors: { endOfInput: line("BACKEND is missing: give one that `vpn service list` shows") },
    }),
    service: optional(
      option(
        "--service",
        string({ metavar: "SERVICE" }),
        about("--service", "Only of this service, as in tcp:443. Default: of all that have it"),
      ),
    ),
    ...place,
  };
  const list = object({
    action: constant("list"),
    ...place,
    json: option("--json", about("--json", "Print JSON (stable format)")),
  });
  const actions = or(
    command("list", list, {
      brief: line("Show what is published, and the state of each back end"),
    }),
    command("drain", object({ action: constant("drain"), ...backEnd }), {
      brief: line("Give a back end no new connections"),
      description: line(
        "Gives a back end no new connections, until `vpn service undrain` or a restart of the gateway; those that it has go " +
          "on. `vpn service list` shows when none is left.",
      ),
    }),
    command("undrain", object({ action: constant("undrain"), ...backEnd }), {
      brief: line("Give a drained back end connections again"),
    }),
  );
  return command("service", object({ command: constant("service"), request: actions }), {
    brief: line("Show published services, and drain their back ends"),
  });
}
