/** Shows what IPv6 addresses in a configuration come to: carried, noted, refused. */
import type { Config } from "../../../../lib/core/config/config.ts";
import { egress6Of } from "../../../../lib/core/config/egress6.ts";
import { ConfigError } from "../../../../lib/core/config/config_error.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";

/** Parses the lines as an `[Interface]` section with a private key. */
function parseInterface(...lines: string[]): Config {
  return parseConfig(
    ["[Interface]", `PrivateKey = ${sampleKeys(1).privateKey}`, ...lines].join("\n"),
    "t.conf",
  );
}

/** Parses the lines as a `[Peer]` section with a public key. */
function parsePeer(...lines: string[]): Config {
  return parseInterface("[Peer]", `PublicKey = ${sampleKeys(2).publicKey}`, ...lines);
}

Deno.test("parseConfig() notes once, and does not warn, when IPv6 occurs where it has no effect", () => {
  const [absent, narrow] = [
    "Address has no IPv6 address, so that the tunnel carries IPv4 alone",
    "MTU is 1279, and IPv6 needs 1280",
  ];
  const cases: [line: number, reason: string, config: Config][] = [
    [3, absent, parseInterface("DNS = fd00::53")],
    [3, absent, parseInterface("Address = fe80::1/64", "DNS = fd00::53")],
    [5, absent, parsePeer("AllowedIPs = 0.0.0.0/0, ::/0")],
    [4, narrow, parseInterface("MTU = 1279", "Address = fd00::1/64")],
  ];
  for (const [line, reason, { notes, warnings, interface: { addresses6 } }] of cases) {
    assertEquals(warnings, []);
    assertEquals(addresses6, []);
    assertEquals(notes, [
      `t.conf:${line}: ${reason}: the IPv6 addresses in this file have no effect`,
    ]);
  }
});

Deno.test("parseConfig() notes nothing when the tunnel carries IPv6", () => {
  const { notes, interface: { addresses6 } } = parseInterface(
    "Address = 10.0.0.1/24, fd00::1/64, fe80::1/64",
    "MTU = 1280",
    "DNS = fd00::53",
  );
  assertEquals([notes, addresses6], [[], ["fd00::1/64"]]);
});

Deno.test("parseConfig() refuses IPv6 addresses that no host can have", () => {
  for (const address of ["::/0", "::1/128", "ff02::1/128", "::ffff:10.0.0.1/128"]) {
    assertThrows(
      () => parseInterface(`Address = ${address}`),
      ConfigError,
      "a host cannot have this address",
    );
  }
});

Deno.test("parseConfig() clears host bits of IPv6 networks, as of IPv4's", () => {
  assertEquals(parsePeer("AllowedIPs = fd00:7::9/64").peers[0]!.allowedIps6, ["fd00:7::/64"]);
});

Deno.test("parseConfig() takes networks of IPv6 in EgressAllow and EgressDeny where the tunnel carries it", () => {
  const keys = ["EgressAllow = 10.20.0.0/16, 2001:DB8:5::7/48, lan", "EgressDeny = 2000::/3"];
  const four = { address: 0x0a140000, prefixLength: 16 };
  const both = parseInterface("Address = 10.66.77.1/24, fd00::1/64", ...keys);
  assertEquals(both.interface.egressAllow, [
    four,
    { address: "2001:db8:5::", prefixLength: 48 },
    "lan",
  ]);
  assertEquals(both.interface.egressDeny, [{ address: "2000::", prefixLength: 3 }]);
  assertEquals(both.notes, []);
  const without = parseInterface("Address = 10.66.77.1/24", ...keys);
  assertEquals(without.interface.egressAllow, [four, "lan"]);
  assertEquals(without.interface.egressDeny, []);
  assertEquals(without.notes.length, 1);
  for (const never of ["fe80::/10", "ff05::2", "::1", "::ffff:0:0/96"]) {
    assertThrows(
      () => parseInterface("Address = fd00::1/64", `EgressAllow = ${never}`),
      ConfigError,
      "such addresses are never forwarded: remove it",
    );
  }
});

Deno.test("egress6Of() is off where no IPv6 is carried, and where Egress is off", () => {
  const of = (...lines: string[]) => egress6Of(parseInterface(...lines).interface);
  const address = "Address = 10.66.77.1/24, fd00::1/64";
  assertEquals(of(address), "nat");
  assertEquals(of(address, "Egress6 = routed"), "routed");
  assertEquals(of(address, "Egress = off", "Egress6 = routed"), "off");
  assertEquals(of("Address = 10.66.77.1/24", "Egress6 = nat"), "off");
});

Deno.test("parseConfig() refuses a resolver's IPv4 address that is mapped into IPv6", () => {
  assertThrows(
    () => parseInterface("DNS = 9.9.9.9, ::ffff:9.9.9.9"),
    ConfigError,
    'DNS: cannot use "::ffff:9.9.9.9": this is an IPv4 address: write it as one',
  );
});

Deno.test("parseConfig() refuses a Forward6 without brackets, to nobody's address, of a wrong port, and a second of one port", () => {
  const rule = "a forward is PROTOCOL:PORT -> [ADDRESS]:PORT";
  for (
    const [value, why] of [
      ["tcp:80 -> fd00::2:80", rule],
      ["tcp:80 -> 10.66.77.2:80", rule],
      ["sctp:80 -> [fd00::2]:80", rule],
      ["tcp:80 -> [fd00::2::3]:80", rule],
      ["tcp:0 -> [fd00::2]:80", "a port is 1 to 65535"],
      ["tcp:80 -> [fd00::2]:65536", "a port is 1 to 65535"],
      ["tcp:80 -> [ff02::1]:80", "no host can have this address"],
      ["tcp:80 -> [::1]:80", "a host cannot have this address"],
      ["tcp:80 -> [::a00:1]:80", "a host cannot have this address"],
      ["tcp:80 -> [::ffff:10.66.77.2]:80", "this is an IPv4 address"],
      ["tcp:80 -> [fd00:ec2::254]:80", "a cloud's services for its hosts are not published"],
      ["tcp:80 -> [64:ff9b::169.254.169.254]:80", "a translator's addresses"],
    ] as const
  ) assertThrows(() => parseInterface(`Forward6 = ${value}`), ConfigError, why);
  const twice = ["tcp:80 -> [fd00::2]:80", "udp:80 -> [fd00::2]:80", "tcp:80 -> [fd00::3]:81"];
  assertThrows(
    () => parseInterface(...twice.map((value) => `Forward6 = ${value}`)),
    ConfigError,
    "line 3 forwards tcp port 80 already",
  );
});

Deno.test("parseConfig() takes resolvers of IPv6, in brackets or without, and by TLS", () => {
  const line = "DnsProxy = 2620:FE::fe, [2620:fe::9], tls://dns.quad9.net@2620:fe::fe";
  assertEquals(parseInterface(line).interface.dnsProxy, [
    { address: "2620:fe::fe", tlsName: null },
    { address: "2620:fe::9", tlsName: null },
    { address: "2620:fe::fe", tlsName: "dns.quad9.net" },
  ]);
});
