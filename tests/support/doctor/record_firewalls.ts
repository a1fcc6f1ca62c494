/**
 * Recorder of firewalls: makes each with its own program, and writes down what the kernel says of it, for tests without
 * a kernel.
 *
 *     unshare --net deno run -A tests/support/doctor/record_firewalls.ts tests/support/doctor/firewalls.json
 *
 * In an empty network namespace of its own, as root.
 */
import { openLibc } from "../../../ffi/libc.ts";
import { dumpFirewall } from "../../../ffi/netlink/nftables/nftables_listing.ts";
import { KillSwitch } from "../../../lib/host/firewall/kill_switch.ts";
import { ReturnPath } from "../../../lib/host/firewall/return_path.ts";
import type { Journal } from "../../../lib/host/journal/journal.ts";
import { getLogger } from "../../../lib/process/logging.ts";
import { CLIENT_TUNNEL, CONDITIONS, input, OWN_TABLES } from "./conditions.ts";

/** How ufw 0.36 has it after `ufw enable`: its own `before.rules` in short, and the chains around it. */
const UFW = [
  "*filter",
  ":INPUT DROP [0:0]",
  ":FORWARD DROP [0:0]",
  ":OUTPUT ACCEPT [0:0]",
  ...["before-logging-input", "before-input", "after-input", "after-logging-input"]
    .concat(["reject-input", "track-input", "user-input", "not-local", "logging-deny"])
    .concat(["skip-to-policy-input", "before-forward", "user-forward", "user-limit"])
    .concat(["user-limit-accept"]).map((name) => `:ufw-${name} - [0:0]`),
  "-A INPUT -j ufw-before-logging-input",
  "-A INPUT -j ufw-before-input",
  "-A INPUT -j ufw-after-input",
  "-A INPUT -j ufw-after-logging-input",
  "-A INPUT -j ufw-reject-input",
  "-A INPUT -j ufw-track-input",
  "-A FORWARD -j ufw-before-forward",
  "-A ufw-before-input -i lo -j ACCEPT",
  "-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
  "-A ufw-before-input -m conntrack --ctstate INVALID -j ufw-logging-deny",
  "-A ufw-before-input -m conntrack --ctstate INVALID -j DROP",
  "-A ufw-before-input -p icmp --icmp-type echo-request -j ACCEPT",
  "-A ufw-before-input -p udp --sport 67 --dport 68 -j ACCEPT",
  "-A ufw-before-input -j ufw-not-local",
  "-A ufw-before-input -d 224.0.0.251/32 -p udp --dport 5353 -j ACCEPT",
  "-A ufw-before-input -j ufw-user-input",
  "-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN",
  "-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN",
  "-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny",
  "-A ufw-not-local -j DROP",
  '-A ufw-logging-deny -m limit --limit 3/min -j LOG --log-prefix "[UFW BLOCK] "',
  "-A ufw-after-input -p udp --dport 137 -j ufw-skip-to-policy-input",
  "-A ufw-skip-to-policy-input -j DROP",
  "-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
  "-A ufw-before-forward -j ufw-user-forward",
  "-A ufw-user-input -p tcp --dport 22 -j ACCEPT",
];

const FIREWALLD = [
  "table inet firewalld {",
  " chain filter_PREROUTING { type filter hook prerouting priority -290; policy accept;",
  "  icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept",
  "  meta nfproto ipv6 fib saddr . mark . iif oif missing drop; }",
  " chain filter_INPUT { type filter hook input priority 10; policy accept;",
  "  ct state { established, related } accept",
  "  ct status dnat accept",
  '  iifname "lo" accept',
  "  ct state invalid drop",
  "  jump filter_INPUT_ZONES",
  "  reject with icmpx admin-prohibited; }",
  " chain filter_FORWARD { type filter hook forward priority 10; policy accept;",
  "  ct state { established, related } accept",
  "  ct status dnat accept",
  '  iifname "lo" accept',
  "  ct state invalid drop",
  "  jump filter_FORWARD_ZONES",
  "  reject with icmpx admin-prohibited; }",
  " chain filter_INPUT_ZONES {",
  '  iifname "eth0" goto filter_IN_public',
  "  goto filter_IN_public; }",
  " chain filter_FORWARD_ZONES {",
  '  iifname "eth0" goto filter_FWD_public',
  "  goto filter_FWD_public; }",
  " chain filter_IN_public { jump filter_IN_public_deny; jump filter_IN_public_allow",
  "  meta l4proto { icmp, ipv6-icmp } accept",
  "  reject with icmpx admin-prohibited; }",
  " chain filter_IN_public_deny { }",
  " chain filter_IN_public_allow { tcp dport 22 accept; PORT; }",
  " chain filter_FWD_public { reject with icmpx admin-prohibited; }",
  "}",
];

const DOCKER = [
  "*nat",
  ":DOCKER - [0:0]",
  "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
  "-A DOCKER -i docker0 -j RETURN",
  "-A DOCKER ! -i docker0 -p udp -m udp --dport 51820 -j DNAT --to-destination 172.17.0.2:51820",
  "COMMIT",
  "*filter",
  ":FORWARD DROP [0:0]",
  ":DOCKER-USER - [0:0]",
  ":DOCKER-ISOLATION - [0:0]",
  "-A FORWARD -j DOCKER-USER",
  "-A FORWARD -j DOCKER-ISOLATION",
  "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
  "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
  "-A DOCKER-ISOLATION -i docker0 ! -o docker0 -j RETURN",
  "-A DOCKER-USER -j RETURN",
  "COMMIT",
];

/** A program; or what a client of ours has there, which nft then spoils. */
type Maker = "nft" | "iptables" | "return path" | "kill switch";

/** By a name: the program that makes it, and what is given to it. */
const FIREWALLS: Readonly<Record<string, readonly [Maker, string]>> = {
  "a policy of drop": ["nft", input("udp dport 51821 accept", "drop")],
  "a policy of drop with the port": ["nft", input("udp dport 51820 accept", "drop")],
  "a rule that rejects the rest": ["nft", input("tcp dport 22 accept; reject")],
  "a rule that drops the port": ["nft", input("udp dport 51000-52000 drop")],
  "a rule that drops what is behind it": ["nft", input("drop; udp dport 51820 accept")],
  "a chain that is gone to": [
    "nft",
    input('iifname "eth0" goto wan; accept', "accept", "chain wan { udp dport 51820 drop; }"),
  ],
  "a chain that is jumped to and returns": [
    "nft",
    input("jump a; udp dport 51820 accept", "drop", "chain a { udp dport 51820 return; drop; }"),
  ],
  "a map of verdicts": [
    "nft",
    input(
      'iifname vmap { "lo" : accept, "eth0" : jump wan }',
      "drop",
      "chain wan { meta l4proto . th dport vmap { tcp . 22 : accept, udp . 51820 : accept }; }",
    ),
  ],
  "a set without the port": [
    "nft",
    input(
      "udp dport @open accept",
      "drop",
      "set open { type inet_service; elements = { 53, 500 }; }",
    ),
  ],
  "a set with the port in an interval": [
    "nft",
    input(
      "udp dport @open accept",
      "drop",
      "set open { type inet_service; flags interval; elements = { 53, 50000-52000 }; }",
    ),
  ],
  "sources that may come in": ["nft", input("ip saddr 10.0.0.0/8 udp dport 51820 accept", "drop")],
  "sources that may not come in": [
    "nft",
    input(
      "ip saddr @bad drop; udp dport 51820 accept",
      "drop",
      "set bad { type ipv4_addr; flags interval; elements = { 198.51.100.0/24 }; }",
    ),
  ],
  "all but some sources": ["nft", input("ip saddr != 10.0.0.0/8 udp dport 51820 drop")],
  "any source": ["nft", input("ip saddr 0.0.0.0/0 udp dport 51820 accept", "drop")],
  "a limit": ["nft", input("udp dport 51820 limit rate 100/second accept", "drop")],
  "a limit beyond which is dropped": [
    "nft",
    input("udp dport 51820 limit rate over 100/second drop; udp dport 51820 accept", "drop"),
  ],
  "another interface": ["nft", input('iifname "lan*" udp dport 51820 accept', "drop")],
  "a mark": ["nft", input("udp dport 51820 meta mark set 0x7; meta mark & 0xff == 0x7 drop")],
  "an early chain": [
    "nft",
    "table ip early { chain pre { type filter hook prerouting priority -300; udp dport 51820 drop; } } " +
    input("accept"),
  ],
  "a tunnel of ours": [
    "nft",
    "table ip vpn_12_vpn0 { chain pre { type filter hook prerouting priority -300; udp dport 51820 drop; } }",
  ],
  "the tunnel's interface for DNS": [
    "nft",
    input(
      'udp dport 51820 accept; iifname "vpn0" meta l4proto { tcp, udp } th dport 53 accept',
      "drop",
    ),
  ],
  "DNS by UDP alone": [
    "nft",
    input('udp dport 51820 accept; iifname "vpn0" udp dport 53 accept', "drop"),
  ],
  "a way there and none back": [
    "nft",
    "table ip fw { chain across { type filter hook forward priority 0; policy drop; " +
    'iifname "vpn0" accept; } }',
  ],
  "a way there and back": [
    "nft",
    "table ip fw { chain across { type filter hook forward priority 0; policy drop; " +
    'iifname "vpn0" accept; oifname "vpn0" ct state established,related accept; } }',
  ],
  "output by another chain": [
    "nft",
    "table inet fw { chain shut { ip daddr 203.0.113.9 reject; } " +
    "chain output { type filter hook output priority 0; jump shut; } }",
  ],
  "output by a map": [
    "nft",
    "table inet fw { chain output { type filter hook output priority 0; " +
    "tcp dport vmap { 25 : drop, 80 : accept }; } }",
  ],
  "output behind routing": [
    "nft",
    "table ip fw { chain post { type filter hook postrouting priority 0; ip daddr 203.0.113.9 drop; } }",
  ],
  "output that refuses nothing": [
    "nft",
    "table inet other { chain output { type filter hook output priority 0; tcp dport 80 accept; } " +
    "chain input { type filter hook input priority 0; tcp dport 81 drop; } }",
  ],
  "ufw": ["iptables", [...UFW, "COMMIT"].join("\n")],
  "ufw with the port": [
    "iptables",
    [...UFW, "-A ufw-user-input -p udp --dport 51820 -j ACCEPT", "COMMIT"].join("\n"),
  ],
  "ufw with several ports": [
    "iptables",
    [...UFW, "-A ufw-user-input -p udp -m multiport --dports 500,51820:51830 -j ACCEPT", "COMMIT"]
      .join("\n"),
  ],
  "firewalld": ["nft", FIREWALLD.join("\n").replace("PORT; ", "")],
  "firewalld with the port": [
    "nft",
    FIREWALLD.join("\n").replace("PORT", "udp dport 51820 accept"),
  ],
  "Docker": ["iptables", DOCKER.join("\n")],
  ...CONDITIONS,
  ...OWN_TABLES,
};

const libc = openLibc();
// Rules may name it by its index, and chains at an interface need one.
await feed(["ip", "-batch", "-"], "link add eth0 index 7 type veth peer name eth1\n");
const recorded: Record<string, unknown> = {};
for (const [name, [program, text]] of Object.entries(FIREWALLS)) {
  await feed(["nft", "-f", "-"], "flush ruleset");
  // nft wants each bracket that closes a chain or a table at the end of a line.
  const lines = text.replaceAll("; }", ";\n}\n").replaceAll("} table", "}\ntable").replaceAll(
    "} chain",
    "}\nchain",
  );
  if (program === "return path" || program === "kill switch") layOwn(program);
  await feed(program === "iptables" ? ["iptables-restore"] : ["nft", "-f", "-"], `${lines}\n`);
  const dump = dumpFirewall(libc);
  recorded[name] = Object.fromEntries(
    Object.entries(dump).map(([kind, bodies]) => [
      kind,
      (bodies as readonly Uint8Array<ArrayBuffer>[]).map((body) => body.toBase64()),
    ]),
  );
}
Deno.writeTextFileSync(Deno.args[0]!, `${JSON.stringify(recorded, null, 2)}\n`);

/** What a client puts there. */
function layOwn(table: "return path" | "kill switch"): void {
  const { port, ...options } = CLIENT_TUNNEL;
  const ports = [{ protocol: "udp", ports: { first: port, last: port } }] as const;
  const journal = { make() {}, exclusively: (call: () => void) => call() } as unknown as Journal;
  using _table = table === "return path"
    ? ReturnPath.install({ ...options, journal, device: null, logger: getLogger("client") }, ports)!
    : new KillSwitch({
      ...options,
      journal,
      server: { name: "192.0.2.1", address: 0xc0000201 },
      isOwned: false,
    }, ports);
}

async function feed([program, ...args]: readonly string[], text: string): Promise<void> {
  const child = new Deno.Command(program!, { args, stdin: "piped", stderr: "inherit" }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { success } = await child.status;
  if (!success) throw new Error(`Cannot make the firewall: ${program} refuses it:\n${text}`);
}
