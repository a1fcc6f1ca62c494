/** Tests of `lib/commands/doctor/firewall_checks.ts`: what is said of a firewall that keeps a tunnel from working. */
import { assert, assertEquals, assertMatch } from "../../../support/assert.ts";
import { firewall, legacyFirewall, type Name } from "../../../support/doctor/recorded.ts";
import { configText, newIdentity, type Section } from "../../../net/support/config.ts";
import {
  checkForwarding,
  FIREWALL_CHECKS,
} from "../../../../lib/commands/doctor/firewall_checks.ts";
import type { Subject } from "../../../../lib/commands/doctor/subject.ts";
import type { Verdict } from "../../../../lib/commands/doctor/check.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { addressBytes } from "../../../../lib/core/wire/host_address.ts";
import { RouteType } from "../../../../ffi/netlink/routes.ts";
import { validateClient, validateServer } from "../../../../lib/core/config/roles.ts";

const CLIENT = validateClient(parseConfig(
  configText(
    { PrivateKey: newIdentity().privateKey, Address: "10.66.77.2/24" },
    {
      PublicKey: newIdentity().publicKey,
      Endpoint: "192.0.2.1:51820",
      AllowedIPs: "0.0.0.0/0",
    },
  ),
  "client.conf",
));

/** A gateway whose tunnel carries IPv6, with further lines in `[Interface]`. */
function gateway(lines: Section = {}) {
  return validateServer(parseConfig(
    configText({
      PrivateKey: newIdentity().privateKey,
      Address: "10.66.77.1/24, fd00:77::1/64",
      ListenPort: 51820,
      ...lines,
    }, {
      PublicKey: newIdentity().publicKey,
      AllowedIPs: "10.66.77.2/32, fd00:77::2/128",
    }),
    "server.conf",
  ));
}

/** The subject of a gateway that reaches both internets by eth0. */
function gatewaySubject(server: Subject["server"], ruled: Subject["firewall"]): Subject {
  return {
    client: null,
    server,
    options: { interfaceName: "vpn0" },
    netlink: {
      routes: {
        lookup: (address: Uint8Array) => ({
          type: RouteType.unicast,
          link: 7,
          preferredSource: address.length === 4
            ? Uint8Array.of(192, 0, 2, 1)
            : addressBytes("2001:db8::1"),
        }),
        list: () => [],
      },
      links: {
        find: (link: string | number) => link === "vpn0" ? null : { name: "eth0", index: 7 },
        list: () => [],
      },
      addresses: { list: () => [] },
      rules: { list: () => [] },
    },
    firewall: ruled,
    command: (text: string) => `\`${text}\``,
    place: (key: string) => `server.conf: ${key}`,
  } as unknown as Subject;
}

/** What a check says of a gateway under these rules of `ip6tables -S`. */
async function look6(check: string, lines: readonly string[], section: Section = {}) {
  const rules = legacyFirewall(new Map([["filter", lines]]), "ip6");
  const [verdict] = await FIREWALL_CHECKS.find((each) => each.name === check)!
    .look(gatewaySubject(gateway(section), () => Promise.resolve(rules)));
  assert(verdict !== undefined, `${check} says nothing`);
  return verdict;
}

/** The subject of a client with a full tunnel, on a host that reaches its server by eth0. */
function subject(name: Name): Subject {
  return {
    client: CLIENT,
    running: () => Promise.resolve({ kind: "none" }),
    server: null,
    options: { interfaceName: "vpn0" },
    netlink: {
      routes: { lookup: () => ({ link: 7, preferredSource: Uint8Array.of(192, 0, 2, 2) }) },
      links: { find: () => ({ name: "eth0" }) },
    },
    firewall: () => Promise.resolve(firewall(name)),
    command: (text: string) => `\`${text}\``,
  } as unknown as Subject;
}

async function look(check: string, name: Name): Promise<Verdict> {
  const [verdict] = await FIREWALL_CHECKS.find((each) => each.name === check)!.look(subject(name));
  assert(verdict !== undefined, `${check} says nothing`);
  return verdict;
}

Deno.test("a policy that drops what this host sends is found: towards the server, and into the tunnel", async () => {
  const name = "output without what is established";
  const outside = await look("answer-firewall", name);
  assertEquals(outside.status, "fail");
  assertMatch(outside.why, /^the firewall \(inet out output\) drops the client's packets/);
  assertMatch(outside.remedy!, /^`nft insert rule inet out output udp dport 51820 accept`/);
  const inside = await look("tunnel-firewall", name);
  assertEquals(inside.status, "warn");
  assertMatch(inside.why, /drops packets of programs through vpn0/);
});

Deno.test("a firewall that lets a client's packets pass is no alarm", async () => {
  for (const check of ["input-firewall", "answer-firewall", "tunnel-firewall"]) {
    assertEquals((await look(check, "invalid packets are dropped")).status, "ok", check);
    assertEquals((await look(check, "the way back by the mark")).status, "ok", check);
  }
});

Deno.test("a reverse-path filter that counts no marks drops the answers to a full tunnel", async () => {
  const verdict = await look("input-firewall", "the way back");
  assertEquals(verdict.status, "fail");
  assertMatch(verdict.why, /^the firewall \(inet pre pre\) drops the server's answers: rule \d+/);
});

Deno.test("a program that decides on packets by itself is a warning", async () => {
  const verdict = await look("input-firewall", "a program's queue");
  assertEquals(verdict.status, "warn");
  assertMatch(verdict.why, /passes to another program .*: that program decides/);
});

Deno.test("a gateway that the kernel is to translate for is not ok on a kernel without nf_tables", () => {
  const server = { interface: { egress: "kernel" } } as Subject["server"];
  const [verdict] = checkForwarding({ server, instance: null }, () => false);
  assertEquals(verdict?.status, "fail");
  assertMatch(verdict!.why, /^Egress = kernel, but this kernel has no nf_tables/);
});

Deno.test("what keeps IPv6 from a gateway's port is a warning, and a failure where clients have no other address", async () => {
  const rules = ["-P INPUT DROP", "-A INPUT -p tcp --dport 22 -j ACCEPT"];
  const closed = await look6("input-firewall", rules);
  assertEquals(closed.status, "warn");
  assertMatch(
    closed.why,
    /^the firewall \(ip6tables' INPUT\) drops packets from clients to UDP port 51820 by IPv6: the policy/,
  );
  assertEquals(closed.remedy, "`ip6tables-legacy -I INPUT -p udp --dport 51820 -j ACCEPT`");
  const only = await look6("input-firewall", rules, { PublicEndpoint: "[2001:db8::1]:51820" });
  assertEquals(only.status, "fail");
  const open = await look6("input-firewall", [...rules, "-A INPUT -p udp -j ACCEPT"]);
  assertEquals(open.status, "ok");
  assertEquals((await look6("answer-firewall", ["-P OUTPUT DROP"])).status, "warn");
});

Deno.test("what keeps clients' IPv6 from being forwarded is found, whatever IPv4 leaves by", async () => {
  const rules = ["-P FORWARD DROP"];
  // By a netfilter queue, the gateway's own NAT has no IPv6.
  const byKernel = { Capture: "nfqueue" };
  const closed = await look6("forward-firewall", rules, byKernel);
  assertEquals(closed.status, "warn");
  assertMatch(closed.why, /packets that the kernel forwards for vpn0 \(Egress6 = nat\) by IPv6/);
  assertEquals(
    closed.remedy,
    "`ip6tables-legacy -I FORWARD -i vpn0 -j ACCEPT` and `ip6tables-legacy -I FORWARD -o vpn0 -j ACCEPT`, " +
      "or Egress6 = off (server.conf: Egress6)",
  );
  const asked = await look6("forward-firewall", rules, { Egress6: "routed" });
  assertEquals(asked.status, "fail");
  const through = [...rules, "-A FORWARD -i vpn0 -j ACCEPT", "-A FORWARD -o vpn0 -j ACCEPT"];
  assertEquals((await look6("forward-firewall", through, byKernel)).status, "ok");
  const both = await look6("forward-firewall", rules, { Egress: "kernel" });
  assertMatch(both.why, /Egress6 = nat/);
});

Deno.test("a firewall that takes answers alone keeps forwarded ports of IPv6 closed, which is found", async () => {
  const rules = [
    "-P FORWARD DROP",
    "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A FORWARD -i vpn0 -j ACCEPT",
  ];
  const section = { Capture: "nfqueue", Forward6: "tcp:8080 -> [fd00:77::2]:80" };
  const look = (lines: string[], others: Section = {}) =>
    look6("forward-firewall", lines, { ...section, ...others });
  assertEquals((await look6("forward-firewall", rules, { Capture: "nfqueue" })).status, "ok");
  const closed = await look(rules);
  assertEquals(closed.status, "fail");
  assertMatch(
    closed.why,
    /drops new connections to forwarded ports \(Forward6\) through vpn0 by IPv6/,
  );
  assertEquals(
    closed.remedy,
    "`ip6tables-legacy -I FORWARD -i vpn0 -j ACCEPT` and `ip6tables-legacy -I FORWARD -o vpn0 -j ACCEPT`, " +
      "or remove the line (server.conf: Forward6)",
  );
  const to = "-A FORWARD -d fd00:77::2/128 -o vpn0 -p tcp -m tcp --dport";
  assertEquals((await look([...rules, `${to} 8080 -j ACCEPT`])).status, "fail");
  assertEquals((await look([...rules, `${to} 80 -j ACCEPT`])).status, "ok");
  // As firewalld has it. With their own addresses, clients are reached without it, too.
  const redirected = [...rules, "-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT"];
  assertEquals((await look(redirected)).status, "ok");
  assertEquals((await look(redirected, { Egress6: "routed" })).status, "fail");
  const raw = new Map([["filter", ["-P FORWARD ACCEPT"]], ["raw", [
    "-P PREROUTING ACCEPT",
    "-A PREROUTING -p tcp -m tcp --dport 8080 -j DROP",
  ]]]);
  const [entering] = await FIREWALL_CHECKS.find(({ name }) => name === "forward-firewall")!
    .look(gatewaySubject(gateway(section), () => Promise.resolve(legacyFirewall(raw, "ip6"))));
  assertMatch(
    entering!.remedy!,
    /^`ip6tables-legacy -t raw -I PREROUTING -i eth0 -p tcp --dport 8080/,
  );
});

Deno.test("what clients ask the proxy by IPv6 is judged, too", async () => {
  const rules = ["-P INPUT DROP", "-A INPUT -p udp -m udp --dport 53 -j ACCEPT"];
  const verdict = await look6("dns-firewall", rules, { DnsProxy: "192.0.2.9" });
  assertEquals(verdict.status, "fail");
  assertMatch(verdict.why, /queries of clients to DnsProxy on port 53 of vpn0 by IPv6/);
});

Deno.test("a server that is reached by IPv6 is judged by the rules of that family", async () => {
  const client = validateClient(parseConfig(
    configText(
      { PrivateKey: newIdentity().privateKey, Address: "10.66.77.2/24" },
      {
        PublicKey: newIdentity().publicKey,
        Endpoint: "[2001:db8::1]:51820",
        AllowedIPs: "0.0.0.0/0",
      },
    ),
    "client.conf",
  ));
  const rules = (family: "ip" | "ip6") =>
    legacyFirewall(
      new Map([["filter", ["-P OUTPUT DROP", "-A OUTPUT -d 2001:db8:9::1 -j ACCEPT"]]]),
      family,
    );
  const look = async (family: "ip" | "ip6") => {
    const [verdict] = await FIREWALL_CHECKS.find(({ name }) => name === "answer-firewall")!.look({
      ...gatewaySubject(null, () => Promise.resolve(rules(family))),
      client,
      running: () => Promise.resolve({ kind: "none" }),
    } as unknown as Subject);
    return verdict!;
  };
  assertEquals((await look("ip")).status, "ok");
  const closed = await look("ip6");
  assertEquals(closed.status, "fail");
  assertMatch(closed.why, /drops the client's packets to the server's UDP port 51820 by IPv6/);
});
