/** Grammar of `vpn relay`. */
import { option } from "@optique/core/primitives";
import { parseRelayListener, parseRelayTarget } from "../core/config/values/relay_url.ts";
import { about, keyValue, line } from "./values.ts";

/** What is particular to `vpn relay`. */
export const relayOptions = {
  listen: option(
    "--listen",
    keyValue("URL", parseRelayListener, "udp://127.0.0.1:4500"),
    about(
      "--listen",
      "Address to receive datagrams: udp://ADDRESS:PORT or faketcp://0.0.0.0:PORT",
      {
        missing: line(
          "--listen URL is missing, for example udp://127.0.0.1:4500 or faketcp://0.0.0.0:443",
        ),
      },
    ),
  ),
  connect: option(
    "--connect",
    keyValue("URL", parseRelayTarget, "faketcp://203.0.113.5:443"),
    about(
      "--connect",
      "Destination: faketcp://HOST:PORT, or udp://HOST:PORT if --listen is faketcp",
      {
        missing: line(
          "--connect URL is missing, for example faketcp://203.0.113.5:443 or udp://127.0.0.1:51820",
        ),
      },
    ),
  ),
};
