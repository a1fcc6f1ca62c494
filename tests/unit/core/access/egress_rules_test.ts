/**
 * Tests of lib/core/access/egress_rules.ts: which addresses clients reach, and by which exit, against a slow reference.
 */
import {
  type EgressPolicy,
  type EgressRule,
  egressRules,
  egressRules6,
  type EgressVerdict,
  type HostSurroundings,
} from "../../../../lib/core/access/egress_rules.ts";
import { ipv6Bytes } from "../../../../lib/core/wire/host_address.ts";
import { parseCidr6, translated } from "../../../../lib/core/wire/ipv6_prefix.ts";
import { AllowedIps6 } from "../../../../lib/core/wireguard/allowed_ips6.ts";
import { type Ipv4Prefix, parseCidr, prefixMask } from "../../../../lib/core/wire/ipv4_text.ts";
import { assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";
import { ipv4 } from "../../../support/packets/simulated_device.ts";

const UPLINK = 2;
const LAN = 3;
const OTHER = 4;

/** An uplink, a network behind another interface, and one behind a router there. */
const HOST: HostSurroundings = {
  external: { address: ipv4("192.0.2.1"), link: UPLINK },
  addresses: ["127.0.0.1", "192.0.2.1", "192.0.2.77", "10.20.0.1"].map(ipv4),
  networks: ["192.0.2.1/24", "10.20.0.1/16"].map((text) => parseCidr(text)!),
  routes: [
    { ...parseCidr("0.0.0.0/0")!, link: UPLINK },
    { ...parseCidr("192.0.2.0/24")!, link: UPLINK },
    { ...parseCidr("10.20.0.0/16")!, link: LAN },
    { ...parseCidr("172.16.0.0/12")!, link: LAN },
    { ...parseCidr("172.20.0.0/16")!, link: UPLINK },
  ],
};

function policy(allow = "", deny = ""): EgressPolicy {
  const read = (text: string) =>
    text.split(", ").filter((item) => item !== "")
      .map((item) => item === "lan" ? "lan" : parseCidr(item)!);
  return { allow: read(allow), deny: read(deny) };
}

function holds(prefix: Ipv4Prefix, address: number): boolean {
  return ((prefix.address ^ address) & prefixMask(prefix.prefixLength)) === 0;
}

/** What a table says of an address. */
function judge(rules: readonly EgressRule<number>[], address: number): EgressVerdict {
  const best = rules.filter((rule) => holds(rule, address))
    .sort((a, b) => b.prefixLength - a.prefixLength)[0];
  return best?.verdict ?? "pass";
}

function verdicts(rules: EgressPolicy, ...addresses: string[]): EgressVerdict[] {
  const compiled = egressRules(rules, HOST);
  return addresses.map((address) => judge(compiled.rules, ipv4(address)));
}

const INTERNET = "203.0.113.9";
const UPLINK_LAN = "192.0.2.9";
const LAN_HOST = "10.20.3.4";
const BEHIND_ROUTER = "172.16.1.1";

Deno.test("by default clients reach the internet, and no network of the gateway's interfaces", () => {
  assertEquals(verdicts(policy(), INTERNET, "8.8.8.8", "172.20.0.1"), ["pass", "pass", "pass"]);
  assertEquals(verdicts(policy(), UPLINK_LAN, LAN_HOST), ["private", "private"]);
  assertEquals(egressRules(policy(), HOST).exits, []);
});

Deno.test("by default clients reach no address of the gateway's but that outside", () => {
  assertEquals(
    verdicts(policy(), "192.0.2.1", "192.0.2.77", "10.20.0.1"),
    ["pass", "private", "private"],
  );
});

Deno.test("clients reach the addresses of published services, unless one is denied by itself, or nothing leads outside", () => {
  const host = { ...HOST, virtual: ["192.0.2.80", "10.20.0.80"].map(ipv4) };
  const of = (rules: EgressPolicy, external = HOST.external) =>
    host.virtual.map((address) => {
      const { rules: all } = egressRules(rules, { ...host, external });
      const found = all.filter((rule) => rule.prefixLength === 32 && rule.address === address);
      return found.at(-1)?.verdict ?? null;
    });
  assertEquals(of(policy()), ["pass", "pass"]);
  assertEquals(of(policy("", "192.0.2.80/32, 10.20.0.0/16")), ["denied", "pass"]);
  assertEquals(of(policy(), null), [null, null]);
});

Deno.test("by default, and with `lan`, clients reach no cloud's service for its hosts", () => {
  const services = ["100.100.100.200", "168.63.129.16", "192.0.0.192"];
  for (const allow of ["", "lan"]) {
    assertEquals(verdicts(policy(allow), ...services), services.map(() => "private"), allow);
  }
  // Who names it means it; its neighbours are the internet's.
  assertEquals(verdicts(policy("168.63.129.16/32"), ...services), ["private", "pass", "private"]);
  assertEquals(verdicts(policy(), "100.100.100.201", "168.63.129.17"), ["pass", "pass"]);
});

Deno.test("`lan` opens the networks of the interfaces, each by its own", () => {
  const lan = policy("lan");
  assertEquals(verdicts(lan, UPLINK_LAN, LAN_HOST, INTERNET), ["pass", "host", "pass"]);
  assertEquals(verdicts(lan, "192.0.2.1", "192.0.2.77", "10.20.0.1"), ["pass", "host", "host"]);
  assertEquals(egressRules(lan, HOST).exits, [LAN]);
});

Deno.test("nobody's addresses, a network's own and its broadcast, stay shut", () => {
  for (const allow of ["", "lan", "0.0.0.0/0", "192.0.2.255/32, 10.20.0.0/32, 10.20.255.255/32"]) {
    assertEquals(
      verdicts(policy(allow), "192.0.2.0", "192.0.2.255", "10.20.0.0", "10.20.255.255"),
      ["private", "private", "private", "private"],
      allow,
    );
  }
});

Deno.test("a network opens what it holds, also of the interfaces' networks, and no more", () => {
  assertEquals(
    verdicts(policy("10.20.3.0/24"), LAN_HOST, "10.20.4.1", UPLINK_LAN),
    ["host", "private", "private"],
  );
  assertEquals(verdicts(policy("10.0.0.0/8"), LAN_HOST, "10.9.9.9"), ["host", "pass"]);
  assertEquals(verdicts(policy("0.0.0.0/0"), LAN_HOST, UPLINK_LAN), ["host", "pass"]);
});

Deno.test("what is named goes by the interface that the host's routes have for it", () => {
  const named = policy("172.16.0.0/12");
  assertEquals(verdicts(named, BEHIND_ROUTER, "172.20.0.1"), ["host", "pass"]);
  assertEquals(egressRules(named, HOST).exits, [LAN]);
  // Not named, it is the internet's: the NAT has one interface.
  assertEquals(verdicts(policy("lan"), BEHIND_ROUTER), ["pass"]);
});

Deno.test("the longest prefix wins, and a deny where they are as long", () => {
  const rules = policy("10.20.0.0/16, 10.20.5.5/32", "10.20.5.0/24, 10.0.0.0/8");
  assertEquals(
    verdicts(rules, "10.20.4.4", "10.20.5.4", "10.20.5.5", "10.9.9.9"),
    ["host", "denied", "host", "denied"],
  );
  assertEquals(verdicts(policy("10.20.0.0/16", "10.20.0.0/16"), LAN_HOST), ["denied"]);
  assertEquals(verdicts(policy("lan", "10.0.0.0/8"), LAN_HOST), ["host"]);
  assertEquals(verdicts(policy("10.0.0.0/8", "lan"), LAN_HOST, "10.9.9.9"), ["denied", "pass"]);
});

Deno.test("a deny shuts the internet, or parts of it", () => {
  assertEquals(verdicts(policy("", "203.0.113.0/24"), INTERNET, "8.8.8.8"), ["denied", "pass"]);
  assertEquals(
    verdicts(policy("198.51.100.0/24", "0.0.0.0/0"), INTERNET, "198.51.100.7", LAN_HOST),
    ["denied", "pass", "denied"],
  );
});

Deno.test("only an entry for it alone shuts the address outside, by which hairpinning goes", () => {
  assertEquals(verdicts(policy("", "192.0.2.0/24"), "192.0.2.1", UPLINK_LAN), ["pass", "denied"]);
  assertEquals(verdicts(policy("", "0.0.0.0/0"), "192.0.2.1"), ["pass"]);
  assertEquals(verdicts(policy("", "192.0.2.1/32"), "192.0.2.1"), ["denied"]);
  const alone = { ...HOST, networks: [parseCidr("192.0.2.1/32")!] };
  assertEquals(judge(egressRules(policy("", "lan"), alone).rules, ipv4("192.0.2.1")), "pass");
});

/** The specification, address by address. */
function reference(
  { allow, deny }: EgressPolicy,
  host: HostSurroundings,
  address: number,
): EgressVerdict {
  const longest = (prefixes: readonly Ipv4Prefix[]) =>
    prefixes.filter((prefix) => holds(prefix, address))
      .reduce((best, { prefixLength }) => Math.max(best, prefixLength), -1);
  const expand = (targets: EgressPolicy["allow"]) =>
    targets.flatMap((target) =>
      target === "lan"
        ? host.networks.filter((network) =>
          network.prefixLength < 32 || network.address !== host.external?.address
        )
        : [target]
    );
  const [allowed, denied] = [longest(expand(allow)), longest(expand(deny))];
  if (address === host.external?.address) return denied === 32 ? "denied" : "pass";
  if (denied >= 0 && denied >= allowed) return "denied";
  const isEnd = host.networks.some((network) =>
    network.prefixLength <= 30 && holds(network, address) &&
    [0, ~prefixMask(network.prefixLength) >>> 0]
      .includes((address & ~prefixMask(network.prefixLength)) >>> 0)
  );
  if (isEnd) return "private";
  const isOwn = host.addresses.includes(address);
  if (allowed < 0) return isOwn || longest(host.networks) >= 0 ? "private" : "pass";
  if (isOwn) return "host";
  const route = host.routes.filter((each) => holds(each, address))
    .sort((a, b) => b.prefixLength - a.prefixLength)[0];
  return route === undefined || route.link === host.external?.link ? "pass" : "host";
}

Deno.test("the compiled rules say what the reference says of random rules and hosts", () => {
  const random = new Random(11);
  // Few bits differ, so that prefixes meet.
  const address = () => (0x0a000000 | random.below(256)) >>> 0;
  const prefix = (least: number): Ipv4Prefix => {
    const prefixLength = random.between(least, 32);
    return { address: (address() & prefixMask(prefixLength)) >>> 0, prefixLength };
  };
  const several = <T>(most: number, make: () => T): T[] =>
    Array.from({ length: random.below(most + 1) }, make);
  for (let round = 0; round < 1_500; round++) {
    const host: HostSurroundings = {
      external: { address: address(), link: UPLINK },
      addresses: several(3, address),
      networks: several(3, () => prefix(26)),
      routes: several(4, () => ({ ...prefix(24), link: random.pick([UPLINK, LAN, OTHER]) })),
    };
    // Of two routes of one prefix, the kernel takes one.
    const known = new Set<string>();
    const routes = host.routes.filter((route) => {
      const key = `${route.address}/${route.prefixLength}`;
      return !known.has(key) && known.add(key);
    });
    const rules: EgressPolicy = {
      allow: several(3, () => random.below(4) === 0 ? "lan" : prefix(24)),
      deny: several(3, () => random.below(4) === 0 ? "lan" : prefix(24)),
    };
    const compiled = egressRules(rules, { ...host, routes }).rules;
    for (let at = 0; at < 256; at++) {
      const each = (0x0a000000 | at) >>> 0;
      assertEquals(
        judge(compiled, each),
        reference(rules, { ...host, routes }, each),
        JSON.stringify({ at, rules, host, compiled }),
      );
    }
  }
});

Deno.test("without an interface outside clients reach allowed networks, and the internet nowhere", () => {
  const routes = HOST.routes.filter(({ prefixLength }) => prefixLength > 0);
  const host = { ...HOST, external: null, routes };
  const allowed = egressRules(policy("10.20.0.0/16, 198.51.100.0/24", "172.16.0.0/12"), host);
  const judged = [INTERNET, "198.51.100.7", LAN_HOST, UPLINK_LAN, BEHIND_ROUTER].map((address) =>
    judge(allowed.rules, ipv4(address))
  );
  assertEquals(judged, ["nowhere", "nowhere", "host", "private", "denied"]);
  assertEquals(allowed.exits, [LAN]);
});

/** The same host by IPv6. */
const HOST6: HostSurroundings<string> = {
  external: { address: "2001:db8:1::1", link: UPLINK },
  addresses: ["2001:db8:1::1", "2001:db8:2::1"],
  networks: ["2001:db8:1::1/64", "2001:db8:2::1/64", "64:ff9b::c000:200/120"].map((text) =>
    parseCidr6(text)!
  ),
  routes: [
    { ...parseCidr6("::/0")!, link: UPLINK },
    { ...parseCidr6("2001:db8:1::/64")!, link: UPLINK },
    { ...parseCidr6("2001:db8:2::/64")!, link: LAN },
    { ...parseCidr6("fd20::/16")!, link: LAN },
  ],
};

/** What the rules of IPv6 say of addresses; by no rule, none passes. */
function verdicts6(
  allow: string,
  deny: string,
  host: HostSurroundings<string>,
  all: string[],
  isTranslated = false,
) {
  const read = (text: string) =>
    text.split(", ").filter((item) => item !== "")
      .map((item) => item === "lan" ? "lan" : parseCidr6(item)!);
  const policy = { allow: read(allow), deny: read(deny) };
  const { rules, exits } = egressRules6(policy, host, { isTranslated });
  const table = new AllowedIps6<EgressRule>();
  for (const rule of rules) table.insert(`${rule.address}/${rule.prefixLength}`, rule);
  const verdict = (address: string) =>
    table.lookup(new DataView(ipv6Bytes(address).buffer), 0)?.verdict ?? null;
  return [...all.map(verdict), ...exits];
}

const INTERNET6 = "2600::9";
const NEIGHBOUR6 = "2001:db8:1::9";
const LAN_HOST6 = "2001:db8:2::9";

Deno.test("of IPv6, clients reach the internet, and by entries alone the networks of the gateway's interfaces", () => {
  const all = [INTERNET6, NEIGHBOUR6, LAN_HOST6, "fd20::9"];
  const judge6 = (allow: string, deny = "") => verdicts6(allow, deny, HOST6, all);
  assertEquals(judge6(""), ["pass", "private", "private", "pass"]);
  assertEquals(judge6("lan"), ["pass", "pass", "host", "private", LAN]);
  assertEquals(judge6("fd20::/16"), ["pass", "private", "private", "host", LAN]);
  assertEquals(judge6("2001:db8:2::/80", "2000::/3"), [
    "denied",
    "denied",
    "host",
    "private",
    LAN,
  ]);
  assertEquals(judge6("", "::/0"), ["denied", "denied", "denied", "denied"]);
});

Deno.test("where the kernel forwards, an entry does not open what lies behind a router of the same interface", () => {
  const judged = (allow: string) => {
    const { rules, exits } = egressRules(policy(allow), HOST, { isForwarded: true });
    return [...[BEHIND_ROUTER, INTERNET].map((each) => judge(rules, ipv4(each))), ...exits];
  };
  assertEquals(judged("10.20.3.4/32"), ["private", "pass", LAN]);
  assertEquals(judged("10.20.3.4/32, 172.16.0.0/12"), ["host", "pass", LAN]);
  // By none but the uplink, the kernel forwards nothing.
  assertEquals(judged(""), ["pass", "pass"]);
});

Deno.test("of IPv6, no entry opens what is local to the gateway without being an address, nor parts of it", () => {
  const local = ["2001:db8:2::/128", "2001:db8:5::/64"].map((text) => parseCidr6(text)!);
  const own = ["2001:db8:2::", "2001:db8:5::9"];
  for (const allow of ["lan", "2001:db8:2::/64, 2001:db8:5::9/128", "::/0"]) {
    assertEquals(verdicts6(allow, "", { ...HOST6, local }, own).slice(0, 2), [
      "private",
      "private",
    ]);
  }
});

Deno.test("of IPv6, a translator leads to no address that no router forwards, nor to a cloud's service", () => {
  const never = ["a9fe:a9fe", "7f00:1", "0:1", "e000:1", "ffff:ffff", "a83f:8110", "6464:64c8"]
    .map((last) => `64:ff9b::${last}`);
  for (const allow of ["", "lan, 64:ff9b::/96", "64:ff9b::a9fe:a9fe/128"]) {
    assertEquals(
      verdicts6(allow, "", HOST6, never).slice(0, never.length),
      never.map(() => "private"),
      allow,
    );
  }
});

Deno.test("of IPv6, what a translator of the gateway's network leads to is reached by an entry alone", () => {
  const judge6 = (allow: string) =>
    verdicts6(allow, "", HOST6, ["64:ff9b:1::a00:1", "64:ff9b:1:a00:0:100::", "64:ff9b:2::1"]);
  assertEquals(judge6(""), ["private", "private", "pass"]);
  assertEquals(judge6("lan"), ["private", "private", "pass", LAN]);
  assertEquals(judge6("64:ff9b:1::/96"), ["pass", "private", "pass"]);
});

Deno.test("of IPv6, no entry opens the gateway's own addresses, nor a cloud's metadata service", () => {
  const never = [
    ...["2001:db8:1::1", "2001:db8:2::1"],
    ...["fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42"],
  ];
  const shut = never.map((): EgressVerdict => "private");
  assertEquals(verdicts6("", "", HOST6, never), shut);
  assertEquals(verdicts6("lan, ::/0, fd00::/8", "", HOST6, never).slice(0, never.length), shut);
  const named = never.map((address) => `${address}/128`).join(", ");
  assertEquals(verdicts6(named, "", HOST6, never).slice(0, never.length), shut);
});

Deno.test("of IPv6 with our NAT, of the gateway's own addresses that outside alone is open, unless it is denied", () => {
  const own = ["2001:db8:1::1", "2001:db8:2::1", "fd00:ec2::254", INTERNET6];
  // As it is local, the kernel has a route for it alone.
  const host = { ...HOST6, local: [parseCidr6("2001:db8:1::1/128")!] };
  const judge6 = (allow: string, deny = "") => verdicts6(allow, deny, host, own, true).slice(0, 4);
  const shut: EgressVerdict[] = ["pass", "private", "private", "pass"];
  assertEquals(judge6(""), shut);
  assertEquals(judge6("lan, ::/0"), shut);
  assertEquals(judge6("", "2001:db8:1::1/128"), ["denied", ...shut.slice(1)]);
  assertEquals(judge6("", "2001:db8:1::/64"), shut);
});

Deno.test("of IPv6, networks of the gateway's are no more reached by a translator's addresses for them", () => {
  assertEquals(verdicts6("", "", HOST6, ["64:ff9b::c000:209", "64:ff9b::c633:6409"]), [
    "private",
    "pass",
  ]);
  assertEquals(translated(parseCidr("192.0.2.0/24")!), parseCidr6("64:ff9b::c000:200/120"));
});

Deno.test("of IPv6, nothing leads to the internet while there is no interface outside", () => {
  const host = { ...HOST6, external: null, routes: HOST6.routes.slice(1) };
  assertEquals(verdicts6("2001:db8:2::/64", "", host, [INTERNET6, LAN_HOST6]), [
    "nowhere",
    "host",
    LAN,
  ]);
});
