/** Tests of `lib/host/network/route_plan.ts`: what goes through the tunnel, by which routing, and what is refused. */
import {
  planPeerRoutes,
  planRoutes,
  requireReachableOutside,
  routeWarnings,
  type WayOutside,
} from "../../../../lib/host/network/route_plan.ts";
import { type ClientConfig } from "../../../../lib/core/config/config.ts";
import { ConfigError } from "../../../../lib/core/config/config_error.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { validateClient, validateServer } from "../../../../lib/core/config/roles.ts";
import {
  formatCidr,
  formatIpv4,
  parseCidr,
  parseIpv4,
} from "../../../../lib/core/wire/ipv4_text.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";

const MAIN = 254;
const HALVES = "0.0.0.0/1, 128.0.0.0/1";

/** A client's configuration; `lines` join its [Interface]. */
function client(
  allowedIps: string,
  lines = "",
  address = "10.66.77.2/32",
  endpoint = "203.0.113.1:51820",
): ClientConfig {
  const text =
    `[Interface]\nPrivateKey = ${sampleKeys(1).privateKey}\nAddress = ${address}\n${lines}\n` +
    `[Peer]\nPublicKey = ${
      sampleKeys(2).publicKey
    }\nEndpoint = ${endpoint}\nAllowedIPs = ${allowedIps}\n`;
  return validateClient(parseConfig(text, "a.conf"));
}

/** The plan, its networks as text. */
function planned(...args: Parameters<typeof client>) {
  const { plain, inside, inside6, isFullTunnel6, ...plan } = planRoutes(client(...args));
  return {
    ...plan,
    ...isFullTunnel6 ? { isFullTunnel6 } : {},
    ...plain.networks6.length === 0 ? {} : { networks6: plain.networks6 },
    ...inside.length === 0 ? {} : { inside: inside.map(formatIpv4) },
    ...inside6.length === 0 ? {} : { inside6 },
    networks: plain.networks.map(formatCidr),
    table: plain.table,
  };
}

Deno.test("planRoutes() gives networks plain routes in the main table, and no mark", () => {
  assertEquals(planned("10.1.0.0/16, 10.2.0.0/16"), {
    mark: 0,
    isFullTunnel: false,
    networks: ["10.1.0.0/16", "10.2.0.0/16"],
    table: MAIN,
    blocked6: [],
  });
});

Deno.test("planRoutes() sends all traffic by policy routing when AllowedIPs is 0.0.0.0/0", () => {
  assertEquals(planned("0.0.0.0/0"), {
    mark: 51820,
    isFullTunnel: true,
    networks: [],
    table: MAIN,
    blocked6: ["::/0"],
  });
});

Deno.test("planRoutes() takes parts that are all of IPv4 together for 0.0.0.0/0", () => {
  for (const parts of [HALVES, `${HALVES}, 0.0.0.0/1`, "0.0.0.0/2, 64.0.0.0/2, 128.0.0.0/1"]) {
    assertEquals(planned(parts), planned("0.0.0.0/0"), parts);
  }
  for (const parts of ["0.0.0.0/1", "0.0.0.0/1, 0.0.0.0/2", "0.0.0.0/1, 128.0.0.0/2"]) {
    assertEquals(planned(parts).isFullTunnel, false, parts);
  }
});

Deno.test("planRoutes() gives what is within a full tunnel plain routes, as wg-quick does", () => {
  assertEquals(planned("0.0.0.0/0, 10.1.0.0/16").networks, ["10.1.0.0/16"]);
  assertEquals(planned(`${HALVES}, 10.1.0.0/16`).networks, ["10.1.0.0/16"]);
});

Deno.test("planRoutes() has a full tunnel lead to single addresses and resolvers whatever the LAN is", () => {
  const { inside, networks } = planned(
    "10.66.77.1/32, 0.0.0.0/0, 10.66.77.2/32, 10.1.0.0/16",
    "DNS = 10.66.77.1, 9.9.9.9, 127.0.0.53",
  );
  // Neither its own address, nor a resolver on this host.
  assertEquals(inside, ["10.66.77.1", "9.9.9.9"]);
  assertEquals(networks, ["10.1.0.0/16"]);
  assertEquals(planned("10.66.77.1/32, 10.1.0.0/16", "DNS = 10.66.77.1").inside, undefined);
});

Deno.test("planRoutes() has any tunnel lead to the resolvers within AllowedIPs, and to no others", () => {
  const dns = "DNS = 10.66.77.1, 10.1.0.53, 9.9.9.9, 10.66.77.2";
  assertEquals(planned("10.66.77.0/24, 10.1.0.53/32", dns).inside, ["10.66.77.1"]);
  assertEquals(planned("10.66.77.0/24", `${dns}\nTable = 1234`).inside, undefined);
});

Deno.test("planRoutes() leaves routing to the user when Table is off or a number", () => {
  const plan = { mark: 0, isFullTunnel: false, blocked6: [] };
  assertEquals(planned("0.0.0.0/0, ::/0", "Table = off"), { ...plan, networks: [], table: MAIN });
  const numbered = planned("0.0.0.0/0, ::/0", "Table = 1234");
  assertEquals(numbered, { ...plan, networks: ["0.0.0.0/0"], table: 1234 });
});

Deno.test("planRoutes() marks datagrams to a server that may be in what it blocks of IPv6", () => {
  const at = (endpoint: string) => planned("10.1.0.0/16, ::/0", "", "10.66.77.2/32", endpoint);
  assertEquals(at("203.0.113.1:51820").mark, 0);
  assertEquals(at("[2001:db8::1]:51820").mark, 51820);
  assertEquals(at("vpn.example.org:51820").mark, 51820);
});

Deno.test("planRoutes() takes the mark that FwMark gives", () => {
  assertEquals(planned("10.1.0.0/16", "FwMark = 0x77").mark, 0x77);
  assertEquals(planned("0.0.0.0/0", "FwMark = 0x77").mark, 0x77);
  assertEquals(planned("0.0.0.0/0", "Table = off\nFwMark = 0x77").mark, 0x77);
});

Deno.test("planRoutes() chooses a mark where one is needed, also when FwMark is off", () => {
  assertEquals(planned("0.0.0.0/0", "FwMark = off").mark, 51820);
  assertEquals(planned("10.1.0.0/16", "KillSwitch = on").mark, 51820);
  assertEquals(planned("0.0.0.0/0", "Table = off\nKillSwitch = on").mark, 51820);
});

Deno.test("planRoutes() blocks the IPv6 that the tunnel would have to carry, unless AllowIPv6", () => {
  assertEquals(planned("0.0.0.0/0, 2001:db8::/32").blocked6, ["::/0"]);
  assertEquals(planned("10.1.0.0/16, 2001:db8::/32").blocked6, ["2001:db8::/32"]);
  assertEquals(planned("10.1.0.0/16, ::/0").blocked6, ["::/0"]);
  assertEquals(planned("0.0.0.0/0, ::/0", "AllowIPv6 = on").blocked6, []);
});

Deno.test("routeWarnings() tells what KillSwitch does beyond the tunnel", () => {
  const warnings = (...args: Parameters<typeof client>) => {
    const config = client(...args);
    return routeWarnings(config, planRoutes(config));
  };
  assertEquals(warnings("10.1.0.0/16"), []);
  assertEquals(warnings("0.0.0.0/0", "KillSwitch = on"), []);
  assertEquals(warnings("10.1.0.0/16", "KillSwitch = on"), [
    "a.conf:4: KillSwitch: blocks everything that AllowedIPs do not cover",
  ]);
  assertEquals(warnings("0.0.0.0/0", "KillSwitch = on\nAllowIPv6 = on"), [
    "a.conf:5: AllowIPv6: has no effect with KillSwitch = on",
  ]);
});

Deno.test("planPeerRoutes() leads to the peers' networks, but never replaces the default route", () => {
  const planned = (lines: string) => {
    const text = `[Interface]\nPrivateKey = ${sampleKeys(1).privateKey}\n` +
      `Address = 10.66.77.1/24\n${lines}\n[Peer]\nPublicKey = ${sampleKeys(2).publicKey}\n` +
      "AllowedIPs = 10.66.77.2/32, 0.0.0.0/0\n";
    const { networks, table } = planPeerRoutes(validateServer(parseConfig(text, "a.conf")));
    return [table, ...networks.map(formatCidr)];
  };
  assertEquals(planned(""), [MAIN, "10.66.77.2/32"]);
  assertEquals(planned("Table = 254"), [MAIN, "10.66.77.2/32"]);
  assertEquals(planned("Table = 1234"), [1234, "10.66.77.2/32", "0.0.0.0/0"]);
  assertEquals(planned("Table = off"), [MAIN]);
});

/** What `requireReachableOutside()` says for a server at 203.0.113.1; null for nothing. */
function refusal(config: ClientConfig, network: string | null = "192.168.1.0/24"): string | null {
  const way: WayOutside = {
    device: "eth0",
    network: network === null ? null : parseCidr(network)!,
  };
  const server = parseIpv4("203.0.113.1")!;
  const require = () => requireReachableOutside(config, { plan: planRoutes(config), server, way });
  try {
    require();
    return null;
  } catch {
    return assertThrows(require, ConfigError).message;
  }
}

Deno.test("a network that contains the server is refused, and both are named", () => {
  assertEquals(
    refusal(client("10.1.0.0/16, 203.0.113.0/24")),
    'a.conf:5: AllowedIPs: cannot use "203.0.113.0/24": it contains the server\'s own address ' +
      "203.0.113.1; remove it, or use 0.0.0.0/0 for a full tunnel",
  );
});

Deno.test("a network that overlaps the one to the server is refused, and both are named", () => {
  for (const network of ["192.168.1.0/24", "192.168.1.128/25", "192.168.0.0/16"]) {
    assertEquals(
      refusal(client(network)),
      `a.conf:5: AllowedIPs: cannot use "${network}": it overlaps 192.168.1.0/24 on eth0, the ` +
        "network by which the server 203.0.113.1 is reached; remove it, or use 0.0.0.0/0 " +
        "for a full tunnel",
    );
  }
  assertEquals(refusal(client("192.168.2.0/24")), null);
  assertEquals(refusal(client("192.168.1.0/24"), null), null);
});

Deno.test("a full tunnel contains the server and its network without harm, not so its extra routes", () => {
  for (const all of ["0.0.0.0/0", HALVES]) {
    assertEquals(refusal(client(all)), null);
    assertEquals(refusal(client(`${all}, 203.0.113.0/24`))?.includes("203.0.113.0/24"), true);
  }
});

Deno.test("an address whose network overlaps the one to the server is refused", () => {
  assertEquals(
    refusal(client("10.1.0.0/16", "", "192.168.1.7/24")),
    'a.conf:3: Address: cannot use "192.168.1.7/24": it overlaps 192.168.1.0/24 on eth0, the ' +
      "network by which the server 203.0.113.1 is reached; give the tunnel another network, " +
      "or a /32",
  );
  assertEquals(refusal(client("10.1.0.0/16", "", "192.168.1.7/32")), null);
});

Deno.test("with a table of one's own, networks may overlap as they like", () => {
  assertEquals(refusal(client("192.168.1.0/24, 203.0.113.0/24", "Table = 1234")), null);
  assertEquals(refusal(client("192.168.1.0/24, 203.0.113.0/24", "Table = off")), null);
  // Unless that is the main table after all, whose default route stays the host's.
  assertEquals(refusal(client("0.0.0.0/0", "Table = 254"))?.includes("0.0.0.0/0"), true);
});

Deno.test("planRoutes() takes the networks of all peers together", () => {
  const office = `0.0.0.0/1\n[Peer]\nPublicKey = ${sampleKeys(3).publicKey}\nAllowedIPs = `;
  assertEquals(planned(`${office}128.0.0.0/1, 10.1.0.0/16, ::/0`), {
    mark: 51820,
    isFullTunnel: true,
    networks: ["10.1.0.0/16"],
    table: MAIN,
    blocked6: ["::/0"],
  });
  assertEquals(planned(`${office}10.1.0.0/16`).networks, ["0.0.0.0/1", "10.1.0.0/16"]);
});

Deno.test("requireReachableOutside() names the peer that has the network, and Table where that makes it one", () => {
  const check = (config: ClientConfig) =>
    assertThrows(
      () =>
        requireReachableOutside(config, {
          plan: planRoutes(config),
          server: parseIpv4("203.0.113.1")!,
          way: null,
        }),
      ConfigError,
    ).message;
  const second = `10.1.0.0/16\n[Peer]\nPublicKey = ${sampleKeys(3).publicKey}\nAllowedIPs = `;
  assertEquals(
    check(client(`${second}203.0.113.0/24`)),
    'a.conf:9: AllowedIPs: cannot use "203.0.113.0/24": it contains the server\'s own address 203.0.113.1; remove it, ' +
      "or use 0.0.0.0/0 for a full tunnel",
  );
  assertEquals(
    check(client("0.0.0.0/0", "Table = main")),
    'a.conf:5: AllowedIPs: cannot use "0.0.0.0/0": it contains the server\'s own address 203.0.113.1; remove Table ' +
      "(line 4) for a full tunnel",
  );
});

const BOTH = "10.66.77.2/32, fd00:77::2/128";

Deno.test("planRoutes() sends all IPv6 through a tunnel that carries it, and blocks none", () => {
  const full = {
    mark: 51820,
    isFullTunnel6: true as const,
    networks: [],
    table: MAIN,
    blocked6: [],
  };
  for (const six of ["::/0", "::/1, 8000::/1"]) {
    const plan = planned(`0.0.0.0/0, ${six}`, "", BOTH);
    assertEquals(plan, { ...full, isFullTunnel: true });
    assertEquals(planned(six, "", BOTH), { ...full, isFullTunnel: false });
  }
  const { networks6 } = planned("0.0.0.0/0, ::/0, fd00:77::/64", "", BOTH);
  assertEquals(networks6, ["fd00:77::/64"]);
});

Deno.test("planRoutes() has a tunnel of IPv6 lead to single addresses and resolvers whatever the LAN is", () => {
  const dns = "DNS = 2001:db8:53::53, fd00:77::53, fd00:77::2, ::1, fe80::1";
  const full = planned("::/0, fd00:77::1/128, fd00:77::2/128", dns, BOTH);
  // Neither its own address, nor what is on this host or a link of it.
  assertEquals(full.inside6, ["fd00:77::1", "2001:db8:53::53", "fd00:77::53"]);
  assertEquals(full.networks6, undefined);
  const part = planned("fd00:77::/64, fd00:77::1/128", `${dns}, fd00:77::1`, BOTH);
  assertEquals(part.inside6, ["fd00:77::53"]);
  assertEquals(planned("fd00:77::/64", `${dns}\nTable = 1234`, BOTH).inside6, undefined);
  assertEquals(planned("::/0", dns).inside6, undefined);
});

Deno.test("planRoutes() blocks what IPv6 a full tunnel of IPv4 does not carry", () => {
  const plan = planned("0.0.0.0/0, fd00:77::/64", "", BOTH);
  assertEquals([plan.blocked6, plan.networks6], [["::/0"], ["fd00:77::/64"]]);
  const allowed = planned("0.0.0.0/0, fd00:77::/64", "AllowIPv6 = on", BOTH);
  assertEquals([allowed.blocked6, allowed.networks6], [[], ["fd00:77::/64"]]);
});

Deno.test("planRoutes() gives IPv6 networks plain routes where they are carried, and else blocks them", () => {
  const carried = planned("10.66.77.0/24, fd00:77::/64", "", BOTH);
  assertEquals([carried.networks6, carried.blocked6, carried.mark], [["fd00:77::/64"], [], 0]);
  const other = planned("10.66.77.0/24, fd00:77::/64");
  assertEquals([other.networks6, other.blocked6], [undefined, ["fd00:77::/64"]]);
  assertEquals(planned("fd00:77::/64", "Table = off", BOTH).networks6, undefined);
  assertEquals(planned("::/0", "Table = 99", BOTH).networks6, ["::/0"]);
});

Deno.test("planPeerRoutes() has IPv6 routes where they are carried, but for a default route", () => {
  const planOf = (address: string) =>
    planPeerRoutes(client("10.66.77.0/24, fd00:77::/64, ::/0", "", address)).networks6;
  assertEquals(planOf(BOTH), ["fd00:77::/64"]);
  assertEquals(planOf("10.66.77.2/32"), []);
});

Deno.test("requireReachableOutside() refuses an IPv6 network that contains the server's own address", () => {
  const refused = (allowedIps: string, address = BOTH) => {
    const config = client(allowedIps, "", address, "[2001:db8::7]:51820");
    requireReachableOutside(config, {
      plan: planRoutes(config),
      server: "2001:db8::7",
      way: null,
    });
  };
  const message = (text: string) => `"${text}": it contains the server's own address 2001:db8::7`;
  assertThrows(() => refused("2001:db8::/32"), ConfigError, message("2001:db8::/32"));
  assertThrows(
    () => refused("fd00::/64", "10.66.77.2/32, 2001:db8::2/64"),
    ConfigError,
    message("2001:db8::2/64"),
  );
  // By policy routing, the tunnel's own datagrams keep their way.
  refused("0.0.0.0/0, ::/0");
  refused("fd00::/64");
});
