/** Grammar of `vpn usage`, `vpn events`, `vpn queries` and `vpn flows`, which read what a gateway has kept. */
import { optional, withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { choice } from "@optique/core/valueparser";
import { peerName } from "./instance_grammar.ts";
import { parseExpiry } from "../core/config/values/expiry.ts";
import { USAGE_PERIODS } from "../core/config/values/usage_period.ts";
import { about, interfaceName, keyValue, netnsName, notOneOf } from "./values.ts";

const kept = {
  interfaceName: withDefault(
    option("--interface", interfaceName, about("--interface", "TUN device of the gateway")),
    "vpn0",
  ),
  netns: optional(
    option("--netns", netnsName, about("--netns", "Network namespace that the gateway was given")),
  ),
  peer: optional(
    option("--peer", peerName(), about("--peer", "Show only this peer (name or public key)")),
  ),
  json: option("--json", about("--json", "Print JSON (stable format)")),
};

/** What is particular to `vpn usage`. */
export const usageRequest = {
  ...kept,
  by: withDefault(
    option(
      "--by",
      choice(USAGE_PERIODS, { metavar: "PERIOD", errors: { invalidChoice: notOneOf } }),
      about("--by", "Sum up by hour (of two days), day or month"),
    ),
    "month",
  ),
};

/** What is particular to `vpn events`, `vpn queries` and `vpn flows`. */
export const eventsRequest = {
  ...kept,
  since: optional(
    option(
      "--since",
      keyValue("WHEN", parseExpiry, "30d"),
      about("--since", "Show only what is no older: a period, as in 30d or 12h, or a moment"),
    ),
  ),
  follow: option("--follow", about("--follow", "Go on with what is new until Ctrl-C")),
};
