/**
 * Firewalls of IPv6 as `vpn doctor` reads them, against what the kernel does: each set of rules is laid, a datagram is
 * sent, and whether it came through is what the doctor has said.
 */
import { openLibc } from "../../../ffi/libc.ts";
import { dumpFirewall, readFirewall } from "../../../ffi/netlink/nftables/nftables_listing.ts";
import { Firewall, type Journey } from "../../../lib/commands/doctor/firewall/firewall.ts";
import { SupposedPacket } from "../../../lib/commands/doctor/firewall/packet.ts";
import { assertEquals } from "../../support/assert.ts";
import { input } from "../../support/doctor/conditions.ts";
import { netTest, type TestNamespace, type Topology } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import {
  addIpv6,
  CABLE,
  CLIENT_OUTSIDE6,
  layWire,
  SERVER_OUTSIDE6,
  SERVER_PORT,
  type Wire,
} from "../support/wire.ts";

/** Behind the host, where nobody is. */
const BEHIND = "2001:db8:7::2";
const LAN = "lan0";
/** Of the host: leads there. */
const FORWARDED = 8080;

function table(family: string, hook: string, rules: string, policy = "accept"): string {
  return `table ${family} fw { chain c { type filter hook ${hook} priority 0; policy ${policy}; ${rules}; } }`;
}

function iptables(chain: string, policy: string, ...rules: readonly string[]): string {
  return [
    "*filter",
    `:${chain} ${policy} [0:0]`,
    ...rules.map((each) => `-A ${chain} ${each}`),
    "COMMIT",
  ]
    .join("\n");
}

/** A set from one network to the next: an interval that is no prefix. */
const ACROSS = "2001:db7:ffff::-2001:db8::5";
const SETS = "set near { type ipv6_addr; flags interval; elements = { " + ACROSS + " }; } " +
  "set pairs { type ipv6_addr . inet_service; flags interval; " +
  `elements = { ${ACROSS} . 51000-52000 }; } ` +
  "set exact { type ipv6_addr . inet_service; elements = { 2001:db8::2 . 51820 }; } ";

/** What comes in by a forwarded port meets nothing before it goes on. */
type Way = Exclude<Journey, "entering">;

/** Which way a datagram goes, who makes the rules, and they; and whether it comes through. */
const CASES: readonly (readonly [Way, "nft" | "ip6tables", string, boolean])[] = [
  ["in", "nft", input("udp dport 51821 accept", "drop"), false],
  ["in", "nft", input("udp dport 51820 accept", "drop"), true],
  ["in", "nft", table("ip6", "input", "udp dport 51820 drop"), false],
  ["in", "nft", table("ip", "input", "udp dport 51820 drop"), true],
  ["in", "nft", input("meta nfproto ipv4 drop"), true],
  ["in", "nft", input("meta nfproto ipv6 drop"), false],
  ["in", "nft", input("meta nfproto vmap { ipv4 : drop, ipv6 : accept }", "drop"), true],
  [
    "in",
    "nft",
    input("meta protocol ip6 udp dport 51820 reject with icmpx admin-prohibited"),
    false,
  ],
  ["in", "nft", input("ip saddr 192.0.2.0/24 accept", "drop"), false],
  ["in", "nft", input("ip6 saddr 2001:db8::/64 accept", "drop"), true],
  ["in", "nft", input("ip6 saddr != 2001:db8::/64 drop"), true],
  ["in", "nft", input("ip6 saddr fe80::/10 accept", "drop"), false],
  ["in", "nft", input("ip6 daddr 2001:db8::1 udp dport 51820 accept", "drop"), true],
  ["in", "nft", input("ip6 saddr @near drop", "accept", SETS), false],
  ["in", "nft", input("ip6 saddr . udp dport @pairs accept", "drop", SETS), true],
  ["in", "nft", input("ip6 saddr . udp dport @exact drop", "accept", SETS), false],
  ["in", "nft", input("ip6 nexthdr udp accept", "drop"), true],
  ["in", "nft", input("meta l4proto ipv6-icmp accept", "drop"), false],
  ["in", "nft", input("exthdr frag exists drop"), true],
  ["in", "nft", input("ct state new accept", "drop"), true],
  ["in", "nft", input("fib daddr type local accept", "drop"), true],
  ["in", "nft", input("fib saddr . iif oif missing drop"), true],
  ["in", "nft", table("ip6", "prerouting", "iifname eth0 udp dport 51820 drop"), false],
  ["in", "ip6tables", iptables("INPUT", "DROP", "-s 2001:db8::/32 -p udp -j ACCEPT"), true],
  ["in", "ip6tables", iptables("INPUT", "DROP", "! -s 2001:db8::2 -j ACCEPT"), false],
  [
    "in",
    "ip6tables",
    iptables("INPUT", "DROP", "-p udp -m multiport --dports 53,51820 -j ACCEPT"),
    true,
  ],
  [
    "in",
    "ip6tables",
    iptables("INPUT", "DROP", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
    false,
  ],
  ["in", "ip6tables", iptables("INPUT", "ACCEPT", "-p udp --dport 51820 -j REJECT"), false],
  ["in", "ip6tables", iptables("INPUT", "ACCEPT", "-m rt --rt-type 0 -j DROP"), true],
  ["in", "ip6tables", iptables("INPUT", "DROP", "-p ipv6-icmp -j ACCEPT"), false],
  ["through", "nft", table("inet", "forward", "", "drop"), false],
  ["through", "nft", table("ip6", "forward", "iifname eth0 oifname lan0 accept", "drop"), true],
  ["through", "nft", table("ip6", "forward", "oifname eth0 accept", "drop"), false],
  ["through", "ip6tables", iptables("FORWARD", "DROP", "-o lan0 -j ACCEPT"), true],
  ["through", "ip6tables", iptables("FORWARD", "DROP", "-o lan1 -j ACCEPT"), false],
  ["onward", "nft", table("inet", "forward", "ct status dnat accept", "drop"), true],
  ["onward", "nft", table("inet", "forward", "ct state established accept", "drop"), false],
  ["onward", "nft", table("ip6", "forward", "udp dport 8080 accept", "drop"), false],
  [
    "onward",
    "ip6tables",
    iptables("FORWARD", "DROP", "-m conntrack --ctstate DNAT -j ACCEPT"),
    true,
  ],
  [
    "through",
    "ip6tables",
    iptables("FORWARD", "DROP", "-m conntrack --ctstate DNAT -j ACCEPT"),
    false,
  ],
  ["out", "nft", table("inet", "output", "udp dport 53 accept", "drop"), false],
  ["out", "nft", table("ip6", "output", "meta skuid 0 ip6 daddr 2001:db8::2 accept", "drop"), true],
  ["out", "ip6tables", iptables("OUTPUT", "ACCEPT", "-o eth0 -d 2001:db8::/64 -j DROP"), false],
];

/** Counts what comes to the first chain of all and to the last; to the doctor, tables with such a name are ours. */
const PROBE = "table ip6 vpn_probe {\n" + [
  ["first_in", "prerouting", -500],
  ["first_out", "output", -500],
  ["last_in", "input", 500],
  ["last_out", "postrouting", 500],
].map(([name, hook, priority]) =>
  `chain ${name} {\ntype filter hook ${hook} priority ${priority};\nmeta l4proto udp counter\n}\n`
).join("") +
  `chain change {\ntype nat hook prerouting priority -100;\n` +
  `udp dport ${FORWARDED} dnat to [${BEHIND}]:${SERVER_PORT}\n}\n}\n`;

const CHAINS: Readonly<Record<Way, readonly [string, string]>> = {
  in: ["first_in", "last_in"],
  through: ["first_in", "last_out"],
  onward: ["first_in", "last_out"],
  out: ["first_out", "last_out"],
};

netTest(
  "vpn doctor says of IPv6 firewalls what the kernel does, of what comes in, passes through and leaves",
  async (topology) => {
    const wire = await layHost(topology);
    for (const [journey, program, rules, passes] of CASES) {
      await lay(wire.server, program, rules);
      const obstacles = firewallOf(wire.server).obstacles(journey, supposed(journey));
      const found = {
        rules,
        doctor: obstacles.length === 0,
        kernel: await comesThrough(wire, journey),
      };
      assertEquals(found, { rules, doctor: passes, kernel: passes });
    }
  },
  { programs: ["nft", "ip6tables-restore", "bash"] },
);

/** A host that forwards between the client and a link where nobody answers. */
async function layHost(topology: Topology): Promise<Wire> {
  const wire = await layWire(topology);
  await addIpv6(wire);
  await wire.server.output(["ip", "-batch", "-"], {
    stdin: `link add ${LAN} type veth peer name lan9\nlink set ${LAN} up\nlink set lan9 up\n` +
      `address add 2001:db8:7::1/64 dev ${LAN} nodad\n` +
      `neighbour add ${BEHIND} lladdr 02:00:00:00:00:09 dev ${LAN} nud permanent\n`,
  });
  await wire.server.output(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"]);
  // Rules that let nothing in keep neighbours from being found, too.
  for (
    const [namespace, address, other] of [
      [wire.server, CLIENT_OUTSIDE6, wire.client],
      [wire.client, SERVER_OUTSIDE6, wire.server],
    ] as const
  ) {
    const hardware = Array.from(
      other.rtnetlink.links.get(CABLE).hardwareAddress!,
      (byte) => byte.toString(16).padStart(2, "0"),
    ).join(":");
    const neighbour = [address, "lladdr", hardware, "dev", CABLE, "nud", "permanent"];
    await namespace.output(["ip", "neighbour", "replace", ...neighbour]);
  }
  await wire.client.output(["ip", "route", "add", "2001:db8:7::/64", "via", SERVER_OUTSIDE6]);
  return wire;
}

async function lay(
  host: TestNamespace,
  program: "nft" | "ip6tables",
  rules: string,
): Promise<void> {
  // nft wants each bracket that closes a chain or a table at the end of a line.
  const lines = rules.replaceAll("; }", ";\n}\n").replaceAll("} chain", "}\nchain")
    .replaceAll("} set", "}\nset");
  await host.output(["nft", "-f", "-"], {
    stdin: `flush ruleset\n${program === "nft" ? lines : ""}\n`,
  });
  if (program !== "nft") await host.output(["ip6tables-restore"], { stdin: `${rules}\n` });
  await host.output(["nft", "-f", "-"], { stdin: PROBE });
}

function firewallOf(host: TestNamespace): Firewall {
  const listing = host.inside(() => readFirewall(dumpFirewall(openLibc())));
  const links = new Map(host.rtnetlink.links.list().map(({ name, index }) => [name, index]));
  return new Firewall(listing, { ip: new Map(), ip6: new Map() }, links);
}

function supposed(journey: Way): SupposedPacket {
  return new SupposedPacket({
    protocol: "udp",
    source: journey === "out" ? SERVER_OUTSIDE6 : CLIENT_OUTSIDE6,
    destination: {
      ...{ in: SERVER_OUTSIDE6, through: BEHIND, onward: BEHIND, out: CLIENT_OUTSIDE6 },
    }[journey],
    destinationPort: SERVER_PORT,
    input: journey === "out" ? null : CABLE,
    output: { in: null, through: LAN, onward: LAN, out: CABLE }[journey],
    isRedirected: journey === "onward",
    isLocal: journey === "in",
  });
}

async function comesThrough({ client, server }: Wire, journey: Way): Promise<boolean> {
  const { options: { destination } } = supposed(journey);
  const sender = journey === "out" ? server : client;
  const place = journey === "onward"
    ? `${SERVER_OUTSIDE6}/${FORWARDED}`
    : `${destination}/${SERVER_PORT}`;
  // What is refused at once is an error of the sender's.
  await sender.run(["bash", "-c", `echo >/dev/udp/${place}`]);
  const [first, last] = CHAINS[journey];
  const listed = await eventually(async () => {
    const text = await server.output(["nft", "list", "table", "ip6", "vpn_probe"]);
    return countOf(text, first) > 0 ? text : null;
  });
  return countOf(listed, last) > 0;
}

function countOf(listed: string, chain: string): number {
  return Number(new RegExp(`chain ${chain} {[^}]*counter packets (\\d+)`).exec(listed)?.[1] ?? NaN);
}
