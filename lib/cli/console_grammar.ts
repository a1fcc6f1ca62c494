/** Grammar of `vpn console`. */
import { object } from "@optique/core/constructs";
import { multiple, optional, withDefault } from "@optique/core/modifiers";
import { command, constant, option } from "@optique/core/primitives";
import {
  parseConsoleListener,
  parseConsoleOrigin,
  parseTrustedProxy,
} from "../core/config/values/console_values.ts";
import { logOptions } from "./log_options.ts";
import { about, filePath, interfaceName, keyValue, line } from "./values.ts";

const LISTEN = { address: "127.0.0.1", port: 51821 };
const LISTEN_TEXT = "127.0.0.1:51821";

/** Makes its parser. */
// deno-lint-ignore explicit-module-boundary-types -- inferred: the type is the grammar over again
export function consoleGrammar() {
  const request = object({
    configPath: optional(option(
      "--config",
      filePath,
      about(
        "--config",
        "Configuration file of the gateway, which is not read: it names the device",
      ),
    )),
    interfaceName: optional(option(
      "--interface",
      interfaceName,
      about(
        "--interface",
        "TUN device of the gateway. Default: vpn0, or the name of a file in /etc/vpn",
      ),
    )),
    listen: withDefault(
      option(
        "--listen",
        keyValue("ADDRESS:PORT", parseConsoleListener, LISTEN_TEXT),
        about("--listen", "Address of this host to listen on"),
      ),
      LISTEN,
    ),
    origin: optional(option(
      "--origin",
      keyValue("URL", parseConsoleOrigin, "https://vpn.example.com"),
      about("--origin", "Name by which browsers reach it, for example https://vpn.example.com"),
    )),
    trustedProxies: multiple(option(
      "--trusted-proxy",
      keyValue("NETWORK", parseTrustedProxy, "127.0.0.1"),
      about(
        "--trusted-proxy",
        "Address or network of a reverse proxy whose X-Forwarded-For counts",
      ),
    )),
    certPath: optional(option(
      "--cert",
      filePath,
      about("--cert", "Certificate for TLS, with those of its authorities (PEM)"),
    )),
    keyPath: optional(
      option("--key", filePath, about("--key", "Private key of the certificate (PEM)")),
    ),
    insecure: option(
      "--insecure",
      about(
        "--insecure",
        "Serve plain HTTP on an address that is neither loopback nor the tunnel's",
      ),
    ),
    socketPath: optional(option(
      "--socket",
      filePath,
      about(
        "--socket",
        "Control socket of the gateway. Default: /run/vpn-console/DEVICE/control.sock",
      ),
    )),
    statePath: optional(option(
      "--state",
      filePath,
      about("--state", "Folder for accounts and sessions. Default: /var/lib/vpn-console/DEVICE"),
    )),
    ...logOptions,
  });
  return command("console", object({ command: constant("console"), request }), {
    brief: line("Serve a web page and an API to administer a gateway"),
    description: line(
      "Asks the running gateway by its control socket, and needs neither its configuration file nor any privilege: run it " +
        "as a user of its own, in the group that ControlGroup names. The first start prints a link by which the first " +
        "account is made. Runs until SIGINT, SIGTERM or SIGHUP.",
    ),
  });
}
