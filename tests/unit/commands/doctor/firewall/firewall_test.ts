/**
 * Tests of `lib/commands/doctor/firewall/`: what firewalls do with a packet, as the kernel lists them. The listings are
 * recorded, see `support/record_firewalls.ts`, where their rules are to be read.
 */
import { assertEquals, assertMatch } from "../../../../support/assert.ts";
import { parseIpv4 } from "../../../../../lib/core/wire/ipv4_text.ts";
import {
  fate,
  firewall,
  legacyFirewall,
  type Name,
  packet,
  packet6,
  sent,
} from "../../../../support/doctor/recorded.ts";

const INPUT_FATES: Readonly<Partial<Record<Name, string>>> = {
  "an interface by its index, dropped": "dropped",
  "an interface by its index, accepted": "accepted",
  "ingress of two interfaces": "dropped",
  "ingress of inet": "dropped",
  "ingress of another interface": "accepted",
  "NAT that redirects the port": "redirected",
  "a program's queue": "queued",
  "a policy of drop": "dropped",
  "a policy of drop with the port": "accepted",
  "a rule that rejects the rest": "rejected",
  "a rule that drops the port": "dropped",
  "a rule that drops what is behind it": "dropped",
  "a chain that is gone to": "dropped",
  "a chain that is jumped to and returns": "accepted",
  "a map of verdicts": "accepted",
  "a set without the port": "dropped",
  "a set with the port in an interval": "accepted",
  "sources that may come in": "dropped but some",
  "sources that may not come in": "accepted",
  "all but some sources": "dropped",
  "any source": "accepted",
  "a limit": "accepted",
  "a limit beyond which is dropped": "accepted",
  "another interface": "dropped",
  "a mark": "dropped",
  "an early chain": "dropped",
  "a tunnel of ours": "accepted",
  "ufw": "dropped",
  "ufw with the port": "accepted",
  "ufw with several ports": "accepted",
  "firewalld": "rejected",
  "firewalld with the port": "accepted",
  "Docker": "redirected",
};

for (const [name, expected] of Object.entries(INPUT_FATES)) {
  Deno.test(`what comes to the port is ${expected} by ${name}`, () => {
    assertEquals(fate(firewall(name as Name)), expected);
  });
}

Deno.test("an answer is accepted where connection tracking knows the connection, whatever the port", () => {
  const answer = packet({ isEstablished: true, destinationPort: 40_000 });
  for (const name of ["a policy of drop", "a rule that rejects the rest", "ufw", "firewalld"]) {
    assertEquals(fate(firewall(name as Name), answer), "accepted", name);
  }
});

Deno.test("a rule that names an interface decides for packets of that interface alone", () => {
  const subject = firewall("another interface");
  assertEquals(fate(subject, packet({ input: "lan3" })), "accepted");
  assertEquals(fate(subject, packet({ input: null })), "dropped but some");
});

Deno.test("a rule that names a source decides for packets of that source alone", () => {
  const from = (address: string) => packet({ source: parseIpv4(address) });
  assertEquals(fate(firewall("sources that may come in"), from("10.1.2.3")), "accepted");
  assertEquals(fate(firewall("sources that may come in"), from("11.1.2.3")), "dropped");
  assertEquals(fate(firewall("sources that may not come in"), from("198.51.100.255")), "dropped");
  assertEquals(fate(firewall("sources that may not come in"), from("198.51.101.0")), "accepted");
});

Deno.test("what clients ask a resolver on the tunnel's interface is decided by rules for it", () => {
  const ask = (protocol: "udp" | "tcp") => packet({ protocol, input: "vpn0", destinationPort: 53 });
  const both = firewall("the tunnel's interface for DNS");
  assertEquals([fate(both, ask("udp")), fate(both, ask("tcp"))], ["accepted", "accepted"]);
  const one = firewall("DNS by UDP alone");
  assertEquals([fate(one, ask("udp")), fate(one, ask("tcp"))], ["accepted", "dropped"]);
  for (const name of ["ufw with the port", "firewalld with the port"] as const) {
    assertEquals(fate(firewall(name), ask("udp")) === "accepted", false, name);
  }
});

Deno.test("what is forwarded needs a rule for each direction", () => {
  const there = packet({ input: "vpn0", output: "eth0", isLocal: false, destinationPort: 443 });
  const back = packet({ input: "eth0", output: "vpn0", isLocal: false, isEstablished: true });
  const fates = (name: Name) => [there, back].map((each) => fate(firewall(name), each, "through"));
  assertEquals(fates("a way there and none back"), ["accepted", "dropped"]);
  assertEquals(fates("a way there and back"), ["accepted", "accepted"]);
  assertEquals(fates("Docker"), ["dropped", "dropped"]);
  assertEquals(fates("ufw"), ["dropped", "accepted"]);
  assertEquals(fates("firewalld"), ["rejected", "accepted"]);
});

Deno.test("chains that refuse what this host sends are named, and others are not", () => {
  assertEquals(firewall("output by another chain").refusingOutput(), ["inet fw output"]);
  assertEquals(firewall("output by a map").refusingOutput(), ["inet fw output"]);
  assertEquals(firewall("output behind routing").refusingOutput(), ["ip fw post"]);
  assertEquals(firewall("output that refuses nothing").refusingOutput(), []);
  assertEquals(firewall("a tunnel of ours").refusingOutput(), []);
  const legacy = (line: string) =>
    legacyFirewall(new Map([["filter", ["-P OUTPUT ACCEPT", line]]])).refusingOutput();
  assertEquals(legacy("-A OUTPUT -d 203.0.113.9/32 -j DROP"), ["iptables' OUTPUT"]);
  assertEquals(legacy("-A OUTPUT -d 203.0.113.9/32 -j ACCEPT"), []);
});

Deno.test("an obstacle is named by its chain, the rule that decides, and who keeps it", () => {
  const name = (listed: Name) => {
    const [obstacle] = firewall(listed).obstacles("in", packet());
    return [obstacle?.title, obstacle?.manager, obstacle?.insert];
  };
  assertEquals(name("ufw"), ["ip filter INPUT", "ufw", "iptables"]);
  assertEquals(name("firewalld"), ["inet firewalld filter_INPUT", "firewalld", "nft"]);
  assertEquals(name("Docker"), ["ip nat PREROUTING", null, "iptables"]);
  const [dropped] = firewall("a rule that drops the port").obstacles("in", packet());
  assertMatch(dropped!.decision.by, /^rule \d+ of inet fw input$/);
  const [policy] = firewall("a policy of drop").obstacles("in", packet());
  assertEquals(policy!.decision.by, "the policy of inet fw input");
});

Deno.test("tables that cannot be read are named", () => {
  assertEquals(legacyFirewall(new Map([["filter", null]])).unread("ip"), ["filter"]);
  assertEquals(legacyFirewall(new Map([["filter", []]])).unread("ip"), []);
});

Deno.test("NAT decides on the first packet of a connection alone: what goes on with one passes it by", () => {
  const subject = firewall("NAT that redirects the port");
  assertEquals(fate(subject, packet({ isEstablished: true })), "accepted");
  const legacy = legacyFirewall(
    new Map([["nat", ["-P PREROUTING ACCEPT", "-A PREROUTING -p udp -j REDIRECT"]]]),
  );
  assertEquals(fate(legacy), "redirected");
  assertEquals(fate(legacy, packet({ isEstablished: true })), "accepted");
});

Deno.test("what this host sends passes the chains for that, by hooks, by routes, and at the interface", () => {
  const fates = (name: Name) => [fate(firewall(name), sent(), "out"), fate(firewall(name))];
  assertEquals(fates("output without what is established"), ["dropped", "accepted"]);
  assertEquals(fates("output with what is established"), ["accepted", "accepted"]);
  assertEquals(fates("output by the user"), ["accepted", "accepted"]);
  assertEquals(fates("output by a chain for routes"), ["dropped", "accepted"]);
  assertEquals(fates("egress of an interface"), ["dropped", "accepted"]);
  assertEquals(fates("a policy of drop"), ["accepted", "dropped"]);
});

Deno.test("an answer under a full tunnel fails where the reverse path is looked up without the mark", () => {
  const answer = packet({ isEstablished: true, needsMark: true });
  const fates = (name: Name) => [fate(firewall(name), answer), fate(firewall(name))];
  assertEquals(fates("the way back"), ["dropped", "accepted"]);
  assertEquals(fates("the way back by the mark"), ["accepted", "accepted"]);
  assertEquals(fates("rpfilter"), ["dropped", "accepted"]);
  assertEquals(fates("rpfilter by the mark"), ["accepted", "accepted"]);
});

Deno.test("packets of IPv6 pass the chains of that family and of both, and no others", () => {
  const fates = (name: Name) => [fate(firewall(name)), fate(firewall(name), packet6())];
  assertEquals(fates("a policy of drop"), ["dropped", "dropped"]);
  assertEquals(fates("a policy of drop with the port"), ["accepted", "accepted"]);
  assertEquals(fates("firewalld"), ["rejected", "rejected"]);
  // Of ip alone.
  assertEquals(fates("ufw"), ["dropped", "accepted"]);
  assertEquals(fates("an early chain"), ["dropped", "accepted"]);
  assertEquals(fates("NAT that redirects the port"), ["redirected", "accepted"]);
  // Rules that ask for an address of IPv4 are for nobody else.
  assertEquals(fates("any source"), ["accepted", "dropped"]);
  assertEquals(fates("sources that may come in"), ["dropped but some", "dropped"]);
});

Deno.test("rules of ip6tables are those of IPv6, and are changed by their own program", () => {
  const tables = new Map([["filter", ["-P INPUT DROP", "-A INPUT -s 2001:db8:9::/48 -j ACCEPT"]]]);
  const subject = legacyFirewall(tables, "ip6");
  assertEquals([fate(subject), fate(subject, packet6())], ["accepted", "dropped but some"]);
  assertEquals(fate(subject, packet6({ source: "2001:db8:9::7" })), "accepted");
  assertEquals(fate(subject, packet6({ source: "2001:db8:8::7" })), "dropped");
  const [obstacle] = subject.obstacles("in", packet6());
  assertEquals([obstacle!.title, obstacle!.insert], ["ip6tables' INPUT", "ip6tables-legacy"]);
  const unread = legacyFirewall(new Map([["filter", null]]), "ip6");
  assertEquals([unread.unread("ip"), unread.unread("ip6")], [[], ["filter"]]);
});
