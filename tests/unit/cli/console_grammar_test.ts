/** Tests the command line of `vpn console`. */
import type { Command } from "../../../lib/cli/command.ts";
import { parseArguments } from "../../../lib/cli/parse_arguments.ts";
import { UsageError } from "../../../lib/cli/usage_error.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

function parse(...argv: string[]): Command {
  return parseArguments(["console", ...argv], { colour: false, width: 100, version: "vpn 1.2.3" });
}

function request(...argv: string[]) {
  const parsed = parse(...argv);
  if (parsed.command !== "console") throw new Error("another command");
  return parsed.request;
}

Deno.test("vpn console listens on loopback, for the gateway on vpn0, unless it is told otherwise", () => {
  assertEquals(request(), {
    interfaceName: "vpn0",
    listen: { address: "127.0.0.1", port: 51821 },
    origin: null,
    trustedProxies: [],
    tls: null,
    insecure: false,
    socketPath: null,
    statePath: null,
    logLevel: "info",
    logFormat: "text",
  });
});

Deno.test("the gateway's file names its device where the units' do, and is not needed", () => {
  assertEquals(request("--config", "server.conf").interfaceName, "vpn0");
  assertEquals(request("--config", "/etc/vpn/office.conf").interfaceName, "office");
  assertEquals(
    request("--config", "/etc/vpn/office.conf", "--interface", "wg1").interfaceName,
    "wg1",
  );
});

Deno.test("the console's address, origin and proxies are taken in one spelling", () => {
  const given = request(
    ...["--listen", "[FD00:0::1]:8443", "--origin", "https://VPN.example.com:443/"],
    ...["--trusted-proxy", "127.0.0.1", "--trusted-proxy", "fd00::1/8", "--insecure"],
    ...[
      "--cert",
      "cert.pem",
      "--key",
      "key.pem",
      "--state",
      "/srv/console",
      "--socket",
      "/run/x.sock",
    ],
  );
  assertEquals(given.listen, { address: "fd00::1", port: 8443 });
  assertEquals(given.origin, "https://vpn.example.com");
  assertEquals(given.trustedProxies, ["127.0.0.1/32", "fd00::/8"]);
  assertEquals(given.tls, { certPath: "cert.pem", keyPath: "key.pem" });
  assertEquals([given.insecure, given.statePath], [true, "/srv/console"]);
  assertEquals(given.socketPath, "/run/x.sock");
});

for (
  const [argv, problem] of [
    [["--listen", "51821"], "the form is ADDRESS:PORT"],
    [["--listen", "localhost:51821"], "the form is ADDRESS:PORT"],
    [["--listen", "127.0.0.1:0"], "a port is 1 to 65535"],
    [["--listen", "[::1:51821"], "the form is ADDRESS:PORT"],
    [["--listen", "300.0.0.1:80"], "the form is ADDRESS:PORT"],
    [["--origin", "vpn.example.com"], "the form is https://NAME"],
    [["--origin", "https://vpn.example.com/console"], "the form is https://NAME"],
    [["--origin", "https://vpn.example.com?"], "the form is https://NAME"],
    [["--origin", "https://user@vpn.example.com"], "the form is https://NAME"],
    [["--trusted-proxy", "proxy"], "proxy"],
    [["--trusted-proxy", "10.0.0.1, 10.0.0.2"], "give one address or network"],
    [["--cert", "cert.pem"], "--cert and --key belong together"],
    [["--key", "key.pem"], "--cert and --key belong together"],
    [["server.conf"], '"vpn console" takes no argument "server.conf"'],
    [["--lisen", "x"], 'did you mean "--listen"?'],
  ] as const
) {
  Deno.test(`vpn console ${argv.join(" ")} is refused`, () => {
    assertThrows(() => parse(...argv), UsageError, problem);
  });
}
