/** Shows what `vpn relay` takes, and what is said of what it does not. */
import type { Command } from "../../../lib/cli/command.ts";
import { parseArguments } from "../../../lib/cli/parse_arguments.ts";
import { UsageError } from "../../../lib/cli/usage_error.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const LISTEN = ["--listen", "udp://127.0.0.1:4500"];
const CONNECT = ["--connect", "faketcp://203.0.113.5:443"];

function parse(...argv: readonly string[]): Command {
  return parseArguments(["relay", ...argv], { colour: false, width: 100, version: "vpn 1.2.3" });
}

Deno.test("parseArguments() reads the two ends of a relay, before clients and before a service", () => {
  const defaults = { logLevel: "info", logFormat: "text", offload: true } as const;
  assertEquals(parse(...LISTEN, ...CONNECT), {
    command: "relay",
    options: {
      ...defaults,
      listen: { scheme: "udp", address: 0x7f000001, port: 4500 },
      connect: { scheme: "faketcp", host: "203.0.113.5", address: 0xcb007105, port: 443 },
    },
  });
  const given = ["--listen", "FakeTCP://0.0.0.0:443/", "--connect", "udp://wg.example.org:51820"];
  assertEquals(parse(...given, "--netns", "blue", "--no-offload", "--log-level", "debug"), {
    command: "relay",
    options: {
      ...defaults,
      listen: { scheme: "faketcp", address: 0, port: 443 },
      connect: { scheme: "udp", host: "wg.example.org", address: null, port: 51820 },
      netns: "blue",
      offload: false,
      logLevel: "debug",
    },
  });
});

Deno.test("parseArguments() reads ends of IPv6, and of all addresses of both families", () => {
  const ends = (listen: string, connect: string) => {
    const parsed = parse("--listen", listen, "--connect", connect);
    return parsed.command === "relay" ? [parsed.options.listen, parsed.options.connect] : [];
  };
  const host = "2001:db8::5";
  assertEquals(ends("udp://[::1]:4500", "faketcp://[2001:DB8:0::5]:443"), [
    { scheme: "udp", address: "::1", port: 4500 },
    { scheme: "faketcp", host, address: host, port: 443 },
  ]);
  assertEquals(ends("udp://[::]:4500", "faketcp://vpn.example.org:443")[0], {
    ...{ scheme: "udp", address: "::", port: 4500 },
  });
  // Fake TCP listens at all addresses in any case.
  assertEquals(ends("faketcp://[::]:443", "udp://[::1]:53"), [
    { scheme: "faketcp", address: 0, port: 443 },
    { scheme: "udp", host: "::1", address: "::1", port: 53 },
  ]);
});

Deno.test("parseArguments() throws one line that says what a relay's ends are", () => {
  const listenRule = "the form is udp://ADDRESS:PORT or faketcp://0.0.0.0:PORT";
  const connectRule = "the form is udp://HOST:PORT or faketcp://HOST:PORT";
  const cases: [argv: string[], message: string][] = [
    [
      CONNECT,
      "--listen URL is missing, for example udp://127.0.0.1:4500 or faketcp://0.0.0.0:443",
    ],
    [
      LISTEN,
      "--connect URL is missing, for example faketcp://203.0.113.5:443 or udp://127.0.0.1:51820",
    ],
    [
      [...LISTEN, "--connect", "udp://192.0.2.1:53"],
      "--listen and --connect are both udp: one must be udp://, the other faketcp://",
    ],
    [
      ["--listen", "faketcp://0.0.0.0:443", ...CONNECT],
      "--listen and --connect are both faketcp: one must be udp://, the other faketcp://",
    ],
    [["--listen", "tcp://127.0.0.1:1"], `--listen: cannot use "tcp://127.0.0.1:1": ${listenRule}`],
    [["--listen", "127.0.0.1:1"], `--listen: cannot use "127.0.0.1:1": ${listenRule}`],
    [["--listen", "udp://::1:1"], `--listen: cannot use "udp://::1:1": ${listenRule}`],
    [["--listen", "udp://[1::2::3]:1"], `--listen: cannot use "udp://[1::2::3]:1": ${listenRule}`],
    [
      ["--listen", "udp://[ff02::1]:1"],
      '--listen: cannot use "udp://[ff02::1]:1": no host can have this address',
    ],
    [
      ["--listen", "faketcp://[2001:db8::5]:443"],
      '--listen: cannot use "faketcp://[2001:db8::5]:443": fake TCP listens on all addresses: ' +
      "give faketcp://0.0.0.0:443",
    ],
    [["--listen", "udp://localhost:1"], `--listen: cannot use "udp://localhost:1": ${listenRule}`],
    [
      ["--listen", "udp://127.0.0.1:0"],
      '--listen: cannot use "udp://127.0.0.1:0": a port is 1 to 65535',
    ],
    [
      ["--listen", "udp://224.0.0.1:1"],
      '--listen: cannot use "udp://224.0.0.1:1": no host can have this address',
    ],
    [
      ["--listen", "faketcp://203.0.113.5:443"],
      '--listen: cannot use "faketcp://203.0.113.5:443": fake TCP listens on all addresses: ' +
      "give faketcp://0.0.0.0:443",
    ],
    [
      [...LISTEN, "--connect", "203.0.113.5:443"],
      `--connect: cannot use "203.0.113.5:443": ${connectRule}`,
    ],
    [
      [...LISTEN, "--connect", "faketcp://203.0.113.5"],
      '--connect: cannot use "203.0.113.5": an endpoint is HOST:PORT, as in vpn.example.org:51820',
    ],
    [
      [...LISTEN, "--connect", "faketcp://0.0.0.0:443"],
      '--connect: cannot use "0.0.0.0:443": no host can have this address',
    ],
    [
      [...LISTEN, ...CONNECT, "--interface", "vpn0"],
      '"vpn relay" has no option "--interface": see "vpn relay --help"',
    ],
    [
      [...LISTEN, "--conect", "x"],
      '"vpn relay" has no option "--conect": did you mean "--connect"?',
    ],
    [[...LISTEN, ...CONNECT, "more"], '"vpn relay" takes no argument "more"'],
  ];
  for (const [argv, message] of cases) {
    assertEquals(assertThrows(() => parse(...argv), UsageError).message, message, argv.join(" "));
  }
});
