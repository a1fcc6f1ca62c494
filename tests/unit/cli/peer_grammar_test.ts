/** Shows what the command lines of `vpn init` and `vpn peer` mean, and what is said of wrong ones. */
import type { Command, PeerRequest } from "../../../lib/cli/command.ts";
import { parseArguments } from "../../../lib/cli/parse_arguments.ts";
import { PEER_SETTING_KEYS } from "../../../lib/core/config/values/keys.ts";
import { UsageError } from "../../../lib/cli/usage_error.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";
import { sampleKeys } from "../../support/config/sample_keys.ts";

/** Those of actions that write a client's configuration. */
const CLIENT_OPTIONS: readonly string[] = [
  "--config",
  "--interface",
  "--out",
  "--endpoint",
  "--full-tunnel",
  "--allowed-ips",
  "--dns",
];

/** All actions, in the order of the help, and the options of each. */
const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  add: [...CLIENT_OPTIONS, "--expires", "--groups"],
  list: ["--group", "--config", "--interface", "--json"],
  show: ["--config", "--interface", "--qr", "--overwrite"],
  remove: ["--config", "--interface"],
  enable: ["--config", "--interface"],
  disable: ["--config", "--interface"],
  expire: ["--config", "--interface"],
  rename: ["--config", "--interface"],
  rotate: [...CLIENT_OPTIONS, "--until", "--cancel"],
  set: ["--config", "--interface"],
};

function parse(...argv: string[]): Command {
  return parseArguments(argv, { colour: false, width: 100, version: "vpn 1.2.3" });
}

/** What a command line prints. */
function textOf(...argv: string[]): string {
  const command = parse(...argv);
  assert(command.command === "show");
  return command.text;
}

Deno.test("parseArguments() fills in port, network and file of vpn init", () => {
  assertEquals(parse("init", "--endpoint", "vpn.example.org"), {
    command: "init",
    request: {
      endpoint: { host: "vpn.example.org", address: null, port: 51820 },
      subnet: { address: 0x0a424d00, prefixLength: 24 },
      ipv6: false,
      console: false,
      out: "server.conf",
    },
  });
  const ipv6 = { host: "2001:db8::1", address: "2001:db8::1" };
  for (
    const [text, port] of [
      ["2001:db8::1", 51820],
      ["[2001:DB8:0::1]", 51820],
      ["[2001:db8::1]:443", 443],
    ] as const
  ) {
    const parsed = parse("init", "--endpoint", text);
    assert(parsed.command === "init");
    assertEquals(parsed.request.endpoint, { ...ipv6, port });
  }
  const given = ["--endpoint", "192.0.2.1:443", "--subnet", "172.16.0.0/12", "--out", "a b.conf"];
  assertEquals(parse("init", "--ipv6", ...given), {
    command: "init",
    request: {
      endpoint: { host: "192.0.2.1", address: 0xc0000201, port: 443 },
      subnet: { address: 0xac100000, prefixLength: 12 },
      ipv6: true,
      console: false,
      out: "a b.conf",
    },
  });
});

Deno.test("parseArguments() reads what vpn peer is to do", () => {
  const { publicKey } = sampleKeys(1);
  const configPath = "server.conf";
  const view = {
    action: "show" as const,
    name: "laptop",
    qr: true,
    file: null,
    overwrite: false,
    configPath,
  };
  const cases: [argv: string[], request: PeerRequest][] = [
    [["add", "laptop"], { action: "add", name: "laptop", configPath }],
    [["list"], { action: "list", group: null, json: false, configPath }],
    [["list", "--json", "--config", "a", "--group", "b"], {
      action: "list",
      group: "b",
      json: true,
      configPath: "a",
    }],
    [["list", "--interface", "vpn1"], {
      action: "list",
      group: null,
      json: false,
      configPath,
      interfaceName: "vpn1",
    }],
    [["show", "laptop"], { ...view, qr: false }],
    [["show", "laptop", "--interface", "vpn1"], { ...view, qr: false, interfaceName: "vpn1" }],
    [["show", "--qr", "laptop"], view],
    [["show", "laptop", "--qr", "a b.PNG"], { ...view, file: "a b.PNG" }],
    [["show", "--qr", "laptop", "x.svg", "--overwrite"], {
      ...view,
      file: "x.svg",
      overwrite: true,
    }],
    [["remove", "laptop"], { action: "remove", name: "laptop", configPath }],
    [["remove", publicKey], { action: "remove", name: publicKey, configPath }],
  ];
  for (const [argv, request] of cases) {
    assertEquals(parse("peer", ...argv), { command: "peer", request }, argv.join(" "));
  }
});

Deno.test("parseArguments() reads every option of vpn peer add, and writes lists one way", () => {
  const argv = [
    "add",
    "--config=a",
    "--out=-",
    "--endpoint=192.0.2.1",
    "--endpoint=vpn.example.org:443",
    "--dns=9.9.9.9,example.org",
  ];
  const endpoints = [
    { host: "192.0.2.1", address: 0xc0000201, port: 51820 },
    { host: "vpn.example.org", address: null, port: 443 },
  ];
  const request: PeerRequest = {
    action: "add",
    name: "x",
    configPath: "a",
    out: "-",
    endpoints,
    dns: "9.9.9.9, example.org",
  };
  assertEquals(parse("peer", ...argv, "--allowed-ips", "10.1.2.3/8,192.0.2.1", "x"), {
    command: "peer",
    request: { ...request, allowedIps: "10.0.0.0/8, 192.0.2.1/32" },
  });
  assertEquals(parse("peer", ...argv, "--full-tunnel", "x"), {
    command: "peer",
    request: { ...request, allowedIps: "0.0.0.0/0, ::/0" },
  });
});

Deno.test("parseArguments() throws one line that says what to do when init or peer is called wrongly", () => {
  const cases: [argv: string[], message: string][] = [
    [
      ["init"],
      "--endpoint HOST[:PORT] is missing: give the public address of this gateway for clients",
    ],
    [
      ["init", "--endpoint", "a b"],
      '--endpoint: cannot use "a b:51820": an endpoint is HOST:PORT, as in vpn.example.org:51820',
    ],
    [["init", "--endpoint", "a:0"], '--endpoint: cannot use "a:0": a port is 1 to 65535'],
    [
      ["init", "--endpoint", "fe80::1"],
      '--endpoint: cannot use "[fe80::1]:51820": a link-local address, or one with a zone, is not supported: give an address without one',
    ],
    [
      ["init", "--endpoint", "a", "--subnet", "10.0.0.1/24"],
      '--subnet: cannot use "10.0.0.1/24": the network is 10.0.0.0/24',
    ],
    [
      ["init", "--endpoint", "a", "--subnet", "10.0.0.0/31"],
      '--subnet: cannot use "10.0.0.0/31": a network is ADDRESS/LENGTH with a length of 8 to 30, as in 10.66.77.0/24',
    ],
    [
      ["init", "--endpiont", "a"],
      '"vpn init" has no option "--endpiont": did you mean "--endpoint"?',
    ],
    [
      ["peer"],
      "no action given: use one of add, list, show, remove, enable, disable, expire, rename, rotate, set",
    ],
    [["peer", "ad"], '"vpn peer" has no action "ad": did you mean "add"?'],
    [["peer", "frobnicate"], '"vpn peer" has no action "frobnicate": see "vpn peer --help"'],
    [["peer", "add"], "NAME is missing: give the name of the client"],
    [["peer", "add", "a", "b"], '"vpn peer add" takes no argument "b"'],
    [
      ["peer", "add", "a/b"],
      `cannot use "a/b": a name has 1 to 63 letters, digits, blanks or characters of . , _ @ + - & ' ( ) and begins with a letter or digit`,
    ],
    [
      ["peer", "add", "x", ...Array.from({ length: 9 }, (_, i) => `--endpoint=192.0.2.${i + 1}`)],
      "--endpoint: a server has 8 endpoints at most: remove some",
    ],
    [
      ["peer", "add", "x", "--quik"],
      '"vpn peer add" has no option "--quik": see "vpn peer add --help"',
    ],
    [
      ["peer", "list", "--interface", "vpn0", "--config", "a"],
      "--config and --interface exclude each other: give only one of them",
    ],
    [["peer", "list", "--jsno"], '"vpn peer list" has no option "--jsno": did you mean "--json"?'],
    [
      ["peer", "add", "x", "--full-tunnel", "--allowed-ips", "10.0.0.0/8"],
      "--full-tunnel and --allowed-ips exclude each other: give only one of them",
    ],
    [
      ["peer", "show", "x", "--qr", "x.jpg"],
      'cannot use "x.jpg": the file of a QR code ends in .png or .svg',
    ],
    [["peer", "show", "x", "x.png"], 'cannot write "x.png": FILE is only for --qr'],
    [
      ["peer", "show", "x", "--qr", "--overwrite"],
      "--overwrite needs --qr FILE: give the file",
    ],
    [["peer", "show", "x", "--qr", "x.png", "y.png"], '"vpn peer show" takes no argument "y.png"'],
    [["peer", "set", "x"], `KEY is missing: give one of ${PEER_SETTING_KEYS.join(", ")}`],
    [
      ["peer", "set", "x", "PublicKey", "y"],
      "a client is known by its PublicKey: remove it, and add one with another",
    ],
    [["peer", "set", "x", "name"], 'VALUE is missing: give the value, or "none" to remove the key'],
    [
      ["peer", "rotate", "x", "--cancel", "--out", "-"],
      "--cancel gives the new key up: give no other option but --config",
    ],
    [["peer", "rename", "x"], "NEW is missing: give the new name of the client"],
    [["peer", "disable"], "NAME is missing: give the name of the client"],
    [["peer", "enable", "x", "y"], '"vpn peer enable" takes no argument "y"'],
    [
      ["peer", "add", "x", "--dns", "1.2.3"],
      '--dns: cannot use "1.2.3": it must be an address or a search domain',
    ],
  ];
  for (const [argv, message] of cases) {
    const error = assertThrows(() => parse(...argv), UsageError);
    assertEquals(error.message, message, argv.join(" "));
  }
});

Deno.test("parseArguments() reads what is to change of a client", () => {
  const request = { configPath: "server.conf", name: "x" };
  const expiry = { kind: "after", period: 7_200_000 };
  for (
    const [argv, expected] of [
      [["enable", "x"], { action: "enable" }],
      [["disable", "x"], { action: "disable" }],
      [["expire", "x", "2h"], { action: "expire", expiry }],
      [["expire", "x", "never"], { action: "expire", expiry: { kind: "never" } }],
      [["rotate", "x", "--until", "7d"], {
        action: "rotate",
        cancel: false,
        keyExpiry: { kind: "after", period: 604_800_000 },
      }],
      [["rename", "x", "y z"], { action: "rename", newName: "y z" }],
      [["set", "x", "allowedips", "10.0.0.2"], {
        action: "set",
        key: "AllowedIPs",
        value: "10.0.0.2",
      }],
      [["set", "x", "PresharedKey", "-"], { action: "set", key: "PresharedKey", value: "-" }],
      [["add", "x", "--expires", "2h"], { action: "add", expiry }],
      [["add", "x", "--groups", "a, b"], { action: "add", groups: ["a", "b"] }],
      [["enable", "@staff"], { action: "enable", name: "@staff" }],
      [["expire", "@staff", "2h"], { action: "expire", name: "@staff", expiry }],
    ] as const
  ) {
    assertEquals<unknown>(parse("peer", ...argv), {
      command: "peer",
      request: { ...request, ...expected },
    });
  }
});

Deno.test("parseArguments() refuses the name of a peer that would be a path or an option", () => {
  for (const name of ["..", ".hidden", "a/../b", "", " a", "a\n", "x".repeat(64)]) {
    assertThrows(() => parse("peer", "add", name), UsageError, "cannot use");
  }
  assertThrows(() => parse("peer", "add", "-x"), UsageError);
});

Deno.test("parseArguments() shows the options of init and of each action of peer in help and completion", () => {
  const init = ["--endpoint", "--subnet", "--ipv6", "--console", "--out"];
  const actions = Object.keys(OPTIONS);
  for (const [words, options] of [["init", init], ...Object.entries(OPTIONS)] as const) {
    const argv = words === "init" ? ["init"] : ["peer", words];
    const help = textOf(...argv, "--help");
    assertEquals(Array.from(help.matchAll(/^ {2}(--[a-z0-9-]+)/gm), ([, name]) => name), options);
    const suggested = textOf("completion", "bash", ...argv, "--").split("\n");
    for (const option of options) assert(suggested.includes(option), `${option} is not suggested`);
  }
  assertEquals(
    textOf("completion", "bash", "peer", "").split("\n").slice(0, actions.length),
    actions,
  );
  assertStringIncludes(
    textOf("completion", "bash", "peer", "list", "--config", "s"),
    "__FILE__:file",
  );
});
