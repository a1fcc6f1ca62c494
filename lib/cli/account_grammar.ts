/** Grammar of `vpn usage`, which reads what a gateway has kept. */
import { optional, withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { choice } from "@optique/core/valueparser";
import { peerName } from "./instance_grammar.ts";
import { about, interfaceName, netnsName, notOneOf } from "./values.ts";

const PERIODS = ["day", "month"] as const;

/** What is particular to `vpn usage`. */
export const usageRequest = {
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
  by: withDefault(
    option(
      "--by",
      choice(PERIODS, { metavar: "PERIOD", errors: { invalidChoice: notOneOf } }),
      about("--by", `Sum up by ${PERIODS.join(" or ")}`),
    ),
    "month",
  ),
  json: option("--json", about("--json", "Print JSON (stable format)")),
};
