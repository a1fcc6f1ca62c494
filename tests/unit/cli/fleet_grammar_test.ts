/** Tests of the command line of `vpn fleet`. */
import { parseArguments } from "../../../lib/cli/parse_arguments.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

function parse(...argv: string[]) {
  return parseArguments(["fleet", ...argv], { colour: false, width: 100, version: "vpn 1.2.3" });
}

Deno.test("vpn fleet reads what is asked for, and of which gateway", () => {
  for (
    const asked of [{ action: "status", watch: false }, { action: "import" }] as const
  ) {
    const { action } = asked;
    const request = { ...asked, configPath: "server.conf" };
    assertEquals(parse(action), { command: "fleet", request });
    assertEquals(parse(action, "--config", "a.conf"), {
      command: "fleet",
      request: { ...request, configPath: "a.conf" },
    });
  }
  assertEquals(parse("status", "--watch"), {
    command: "fleet",
    request: { action: "status", watch: true, configPath: "server.conf" },
  });
  assertEquals(parse("key", "a.nk"), {
    command: "fleet",
    request: { action: "key", file: "a.nk" },
  });
  for (const action of ["drain", "rebalance", "remove"] as const) {
    assertEquals(parse(action, "gw-1", "--config", "a.conf"), {
      command: "fleet",
      request: { action, gateway: "gw-1", configPath: "a.conf" },
    });
  }
  assertEquals(parse("drain"), {
    command: "fleet",
    request: { action: "drain", gateway: null, configPath: "server.conf" },
  });
});

Deno.test("vpn fleet reads what a fleet is set up with", () => {
  const server = (host: string, port = 4222) => ({ host, port, routePort: port + 2000 });
  const init = {
    action: "init" as const,
    nats: [server("nats-a.example.org"), server("192.0.2.7", 5222), server("2001:db8::1")],
    endpoint: null,
    virtualAddress: null,
    subnet: { address: 0x0a42_4d00, prefixLength: 24 },
    gateways: 3,
    out: "fleet",
    configPath: "server.conf",
  };
  const nats = ["--nats", "NATS-A.example.org, 192.0.2.7:5222,[2001:db8::1]"];
  assertEquals(parse("init", ...nats), { command: "fleet", request: init });
  assertEquals(
    parse("init", ...nats, "--gateways", "5", "--virtual-address", "203.0.113.5/24", "--out", "x"),
    {
      command: "fleet",
      request: {
        ...init,
        gateways: 5,
        virtualAddress: { address: 0xcb00_7105, prefixLength: 24 },
        out: "x",
      },
    },
  );
  const join = { action: "join" as const, token: "-", endpoint: null, overwrite: false };
  assertEquals(parse("join", "-"), {
    command: "fleet",
    request: { ...join, configPath: "server.conf" },
  });
  assertEquals(parse("join", "a.token", "--overwrite", "--config", "a.conf"), {
    command: "fleet",
    request: { ...join, token: "a.token", overwrite: true, configPath: "a.conf" },
  });
  assertEquals(parse("leave", "--keep-peers"), {
    command: "fleet",
    request: { action: "leave", gateway: null, keepPeers: true, configPath: "server.conf" },
  });
});

Deno.test("servers of NATS are one, or three and more, and each once", () => {
  const rule =
    "give HOST or HOST:PORT of one server or of three and more, each once, with commas between them";
  for (
    const value of [
      "",
      "a,b",
      "a,,b",
      "a,a,b",
      "a,b,a:4222",
      "tls://a",
      "a:0",
      "a:64000",
      "a b",
      "a/b",
    ]
  ) {
    assertEquals(
      assertThrows(() => parse("init", "--nats", value), Error).message,
      `--nats: cannot use "${value}": ${rule}`,
    );
  }
});

Deno.test("vpn fleet says in one line what is wrong", () => {
  for (
    const [argv, message] of [
      [
        [],
        "no action given: use one of init, join, leave, status, import, key, drain, rebalance, remove",
      ],
      [["stats"], '"vpn fleet" has no action "stats": did you mean "status"?'],
      [
        ["status", "--confg"],
        '"vpn fleet status" has no option "--confg": did you mean "--config"?',
      ],
      [["key"], "FILE is missing: give the file for the key"],
      [["remove"], "GATEWAY is missing: give its number or its name"],
      [["init"], "--nats HOST,HOST,HOST is missing: name the hosts that are to run NATS"],
      [["join"], 'TOKEN is missing: give its file, or "-" for standard input'],
      [
        ["init", "--nats", "a", "--gateways", "0"],
        '--gateways: cannot use "0": a fleet has 1 to 256 gateways',
      ],
      [
        ["leave", "--keep-peer"],
        '"vpn fleet leave" has no option "--keep-peer": did you mean "--keep-peers"?',
      ],
    ] as const
  ) assertEquals(assertThrows(() => parse(...argv), Error).message, message);
});
