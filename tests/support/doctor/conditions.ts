/**
 * Firewalls that differ in one condition each, in the words of the programs that make them: as strict hosts have them.
 */

/** A chain of nftables at the hook for this host's packets. */
export function input(rules: string, policy = "accept", around = ""): string {
  return `table inet fw { ${around} chain input { type filter hook input priority 0; ` +
    `policy ${policy}; ct state established,related accept; ${rules}; } }`;
}

/** The same for what it sends. */
function output(rules: string, policy = "accept"): string {
  return `table inet out { chain output { type filter hook output priority 0; policy ${policy}; ${rules}; } }`;
}

/** In front of routing. */
function early(rules: string, priority = -300): string {
  return `table inet pre { chain pre { type filter hook prerouting priority ${priority}; ${rules}; } }`;
}

/** At interfaces. */
function ingress(family: string, device: string): string {
  return `table ${family} dev { chain in { type filter hook ingress ${device} priority 0; udp dport 51820 drop; } }`;
}

/** What may fill while packets come. */
const SEEN = "set seen { type ipv4_addr; flags dynamic; }";

function table(name: string, ...lines: readonly string[]): string {
  return [`*${name}`, ...lines, "COMMIT"].join("\n");
}

/** Rules of iptables for what comes in, by the policy. */
function filter(policy: "ACCEPT" | "DROP", ...rules: readonly string[]): string {
  return table("filter", `:INPUT ${policy} [0:0]`, ...rules.map((rule) => `-A INPUT ${rule}`));
}

/** By a name: the program that makes it, and what is given to it. */
export const CONDITIONS: Readonly<Record<string, readonly ["nft" | "iptables", string]>> = {
  "an interface by its index, dropped": ["nft", input("iif eth0 udp dport 51820 drop")],
  "an interface by its index, accepted": [
    "nft",
    input("iif lo accept; iif eth0 udp dport 51820 accept", "drop"),
  ],
  "ingress of two interfaces": ["nft", ingress("netdev", "devices = { eth0, lo }")],
  "ingress of inet": ["nft", ingress("inet", "device eth0")],
  "ingress of another interface": ["nft", ingress("inet", "device lo")],
  "egress of an interface": [
    "nft",
    "table netdev dev { chain out { type filter hook egress device eth0 priority 0; udp sport 51820 drop; } }",
  ],
  "NAT that redirects the port": [
    "nft",
    "table ip x { chain p { type nat hook prerouting priority -100; udp dport 51820 redirect to :53; } }",
  ],
  "a program's queue": ["iptables", filter("ACCEPT", "-p udp -j NFQUEUE --queue-num 5")],
  "output without what is established": ["nft", output("udp dport 53 accept", "drop")],
  "output with what is established": ["nft", output("ct state established accept", "drop")],
  "output by the user": ["nft", output("meta skuid != 0 drop")],
  "output by a chain for routes": [
    "nft",
    "table ip x { chain o { type route hook output priority -150; udp sport 51820 drop; } }",
  ],
  "the way back": ["nft", early("fib saddr . iif oif missing drop")],
  "the way back by the mark": ["nft", early("fib saddr . mark . iif oif missing drop")],
  "a meter beyond which is dropped": [
    "nft",
    input("udp dport 51820 meter flood { ip saddr limit rate over 10/second } drop"),
  ],
  "a meter up to which is accepted": [
    "nft",
    input("udp dport 51820 meter flood { ip saddr limit rate 10/second } accept", "drop"),
  ],
  "connections of a source beyond which is rejected": [
    "nft",
    input("udp dport 51820 add @seen { ip saddr ct count over 10 } reject", "accept", SEEN),
  ],
  "a set that fills, and accepts": [
    "nft",
    input("udp dport 51820 add @seen { ip saddr } accept", "drop", SEEN),
  ],
  "a named limit beyond which is dropped": [
    "nft",
    input('udp dport 51820 limit name "l" drop', "accept", "limit l { rate over 10/second; }"),
  ],
  "a named limit up to which is accepted": [
    "nft",
    input('udp dport 51820 limit name "l" accept', "drop", "limit l { rate 10/second; }"),
  ],
  "broadcasts alone are dropped": ["nft", input("meta pkttype != unicast drop")],
  "sources of no host are dropped": ["nft", input("fib saddr type != unicast drop")],
  "another destination than this host is dropped": ["nft", input("fib daddr type != local drop")],
  "invalid packets are dropped": ["nft", input("ct state invalid drop")],
  "invalid packets are dropped too early": ["nft", early("ct state invalid drop")],
  "an untracked port where new connections come in": [
    "nft",
    `${early("udp dport 51820 notrack")} ${input("ct state new accept", "drop")}`,
  ],
  "an untracked port where untracked packets come in": [
    "nft",
    `${early("udp dport 51820 notrack")} ${input("ct state { new, untracked } accept", "drop")}`,
  ],
  "notrack behind connection tracking": [
    "nft",
    `${early("udp dport 51820 notrack", -100)} ${input("ct state new accept", "drop")}`,
  ],
  "the direction of a connection": ["nft", input("ct direction original accept", "drop")],
  "packets without a helper": ["nft", input('ct helper "ftp" accept; udp dport 51820 drop')],
  "a segment size that is set": [
    "nft",
    input("tcp flags syn tcp option maxseg size set 1400; udp dport 51820 accept", "drop"),
  ],
  "IPsec alone": ["nft", input("rt ipsec missing drop")],
  "hashlimit beyond which is dropped": [
    "iptables",
    filter("ACCEPT", "-m hashlimit --hashlimit-above 100/sec --hashlimit-name a -j DROP"),
  ],
  "hashlimit up to which is accepted": [
    "iptables",
    filter("DROP", "-m hashlimit --hashlimit-upto 100/sec --hashlimit-name b -j ACCEPT"),
  ],
  "connlimit beyond which is dropped": [
    "iptables",
    filter("ACCEPT", "-p udp -m connlimit --connlimit-above 20 -j DROP"),
  ],
  "connlimit up to which is accepted": [
    "iptables",
    filter("DROP", "-p udp -m connlimit --connlimit-upto 20 -j ACCEPT"),
  ],
  "recent that notes and accepts": ["iptables", filter("DROP", "-m recent --set -j ACCEPT")],
  "recent that drops whom it knows": [
    "iptables",
    filter("ACCEPT", "-m recent --update --seconds 60 --hitcount 4 -j DROP"),
  ],
  "recent that drops whom it does not know": [
    "iptables",
    filter("ACCEPT", "-m recent ! --rcheck --seconds 60 -j DROP"),
  ],
  "all but a range of addresses": [
    "iptables",
    filter("ACCEPT", "-m iprange ! --src-range 10.0.0.1-10.0.0.9 -j DROP"),
  ],
  "all but one Ethernet address": [
    "iptables",
    filter("ACCEPT", "-m mac ! --mac-source 00:11:22:33:44:55 -j DROP"),
  ],
  "types of addresses": [
    "iptables",
    filter(
      "ACCEPT",
      "-m addrtype ! --src-type UNICAST -j DROP",
      "-m addrtype --dst-type BROADCAST,MULTICAST -j DROP",
    ),
  ],
  "types of packets": [
    "iptables",
    filter("ACCEPT", "-m pkttype ! --pkt-type unicast -j DROP"),
  ],
  "the mark of a connection": ["iptables", filter("ACCEPT", "-m connmark --mark 0x1 -j DROP")],
  "a mark of an earlier table": [
    "iptables",
    table("mangle", "-A PREROUTING -p udp --dport 51820 -j MARK --or-mark 0x8000") + "\n" +
    filter("ACCEPT", "-m mark --mark 0x8000/0x8000 -j DROP"),
  ],
  "an untracked port in iptables": [
    "iptables",
    table("raw", "-A PREROUTING -p udp --dport 51820 -j CT --notrack") + "\n" +
    filter("DROP", "-m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT"),
  ],
  "rpfilter": ["iptables", table("raw", "-A PREROUTING -m rpfilter --invert -j DROP")],
  "rpfilter by the mark": [
    "iptables",
    table(
      "mangle",
      "-A PREROUTING -m rpfilter --validmark -j RETURN",
      "-A PREROUTING -j DROP",
    ),
  ],
  "a state by its old name": ["iptables", filter("DROP", "-m state --state NEW -j ACCEPT")],
  "a state in one direction": [
    "iptables",
    filter("DROP", "-m conntrack --ctstate NEW --ctdir ORIGINAL -j ACCEPT"),
  ],
  "a state or a status": [
    "iptables",
    filter("DROP", "-m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT"),
  ],
  "no IPsec": ["iptables", filter("DROP", "-m policy --pol none --dir in -j ACCEPT")],
  "output of root alone": [
    "iptables",
    table("filter", ":OUTPUT DROP [0:0]", "-A OUTPUT -m owner --uid-owner 0 -j ACCEPT"),
  ],
};

/** Of the client whose tables the recorder makes. */
export const CLIENT_TUNNEL = { interfaceName: "vpn0", mark: 0xca6c, port: 40_001 } as const;

/** Before the rules of another program, or behind them, the mark is another one. */
function marks(priority: number): string {
  return `table ip other { chain pre { type filter hook prerouting priority ${priority}; meta mark set 0x1; } }`;
}

/** The table that marks a server's answers, or the kill switch, and what has been done to it. */
export const OWN_TABLES: Readonly<
  Record<string, readonly ["return path" | "kill switch", string]>
> = {
  "the return path": ["return path", ""],
  "the return path, its table gone": ["return path", "delete table ip vpn_vpn0_return"],
  "the return path, its rules gone": ["return path", "flush table ip vpn_vpn0_return"],
  "the return path beside marks of others": ["return path", marks(-150)],
  "the return path without its last chain": [
    "return path",
    "delete chain ip vpn_vpn0_return last",
  ],
  "the return path without its last chain beside marks of others": [
    "return path",
    `delete chain ip vpn_vpn0_return last\n${marks(-150)}`,
  ],
  "the return path in front of marks of others": ["return path", marks(10)],
  "the kill switch": ["kill switch", ""],
  "the kill switch, its rules gone": ["kill switch", "flush table inet vpn_vpn0_killswitch"],
  "the kill switch with a hole": [
    "kill switch",
    "insert rule inet vpn_vpn0_killswitch postrouting accept",
  ],
};
