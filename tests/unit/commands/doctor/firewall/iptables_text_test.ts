/** Tests of `lib/commands/doctor/firewall/iptables_text.ts`: what rules do that only `iptables-legacy` can print. */
import { assertEquals } from "../../../../support/assert.ts";
import { fate, legacyFirewall, packet } from "../../../../support/doctor/recorded.ts";

/** What `iptables -S` prints of the table `filter`, by what it is, and what becomes of a packet to the port. */
const LEGACY = [
  ["accepted", ["-P INPUT ACCEPT"]],
  ["dropped", ["-P INPUT DROP", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"]],
  ["accepted", ["-P INPUT DROP", "-A INPUT -p udp -m udp --dport 51820 -j ACCEPT"]],
  ["rejected", ["-P INPUT ACCEPT", "-A INPUT -j REJECT --reject-with icmp-port-unreachable"]],
  [
    "dropped",
    [
      "-P INPUT ACCEPT",
      "-N wan",
      "-A INPUT -i eth+ -g wan",
      "-A INPUT -j ACCEPT",
      "-A wan -j DROP",
    ],
  ],
  [
    "accepted",
    [
      "-P INPUT DROP",
      "-N open",
      "-A INPUT -j open",
      '-A open -p udp -m multiport --dports 53,51820:51830 -m comment --comment "-j DROP" -j ACCEPT',
    ],
  ],
  ["dropped but some", ["-P INPUT DROP", "-A INPUT -s 10.0.0.0/8 -p udp -j ACCEPT"]],
  ["dropped", ["-P INPUT ACCEPT", "-A INPUT ! -s 10.0.0.0/8 -p udp -j DROP"]],
  ["dropped", ["-P INPUT DROP", "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]],
  ["dropped", ["-P INPUT DROP", '-A INPUT -j LOG --log-prefix "in --dport 51820 "']],
  ["accepted", ["-P INPUT DROP", "-A INPUT -p udp -m limit --limit 9/sec -j ACCEPT"]],
  ["dropped but some", ["-P INPUT DROP", "-A INPUT -p udp -m set --match-set ok src -j ACCEPT"]],
  ["dropped", ["-P INPUT ACCEPT", "-A INPUT -m set ! --match-set ok src -j DROP"]],
  ["accepted", ["-P INPUT ACCEPT", "-A INPUT -m hashlimit --hashlimit-above 9/sec -j DROP"]],
  [
    "accepted",
    ["-P INPUT DROP", "-A INPUT -m hashlimit --hashlimit-upto 9/sec --hashlimit-name a -j ACCEPT"],
  ],
  ["accepted", ["-P INPUT ACCEPT", "-A INPUT -m connlimit --connlimit-above 20 -j DROP"]],
  ["accepted", ["-P INPUT DROP", "-A INPUT -m connlimit --connlimit-upto 20 -j ACCEPT"]],
  ["accepted", ["-P INPUT DROP", "-A INPUT -m recent --set --name a --rsource -j ACCEPT"]],
  ["accepted", ["-P INPUT ACCEPT", "-A INPUT -m recent --update --seconds 60 --name a -j DROP"]],
  ["accepted", ["-P INPUT ACCEPT", "-A INPUT -m pkttype ! --pkt-type unicast -j DROP"]],
  ["accepted", ["-P INPUT ACCEPT", "-A INPUT -m addrtype ! --src-type UNICAST -j DROP"]],
  ["accepted", ["-P INPUT ACCEPT", "-A INPUT -m addrtype --dst-type BROADCAST,MULTICAST -j DROP"]],
  ["accepted", ["-P INPUT ACCEPT", "-A INPUT -f -j DROP"]],
  ["accepted", ["-P INPUT DROP", "-A INPUT -m policy --dir in --pol none -j ACCEPT"]],
  ["accepted", ["-P INPUT ACCEPT", "-A INPUT -m state --state INVALID -j DROP"]],
  ["accepted", ["-P INPUT DROP", "-A INPUT -m conntrack --ctstate NEW --ctdir ORIGINAL -j ACCEPT"]],
  ["queued", ["-P INPUT ACCEPT", "-A INPUT -p udp -j NFQUEUE --queue-num 0"]],
] as const;

Deno.test("iptables' older half is read as it is printed", () => {
  for (const [expected, lines] of LEGACY) {
    const subject = legacyFirewall(new Map([["filter", lines]]));
    assertEquals(fate(subject), expected, lines.join("; "));
  }
});

Deno.test("what one table sets, another reads: marks, and what is not to be tracked", () => {
  const tables = (first: string, rule: string) =>
    legacyFirewall(
      new Map([
        ["raw", ["-P PREROUTING ACCEPT", first]],
        ["filter", ["-P INPUT ACCEPT", rule]],
      ]),
    );
  const marked = "-A PREROUTING -p udp -j MARK --set-xmark 0x8000/0x8000";
  const drop = "-A INPUT -m mark --mark 0x8000/0x8000 -j DROP";
  assertEquals(fate(tables(marked, drop)), "dropped");
  assertEquals(fate(tables(marked.replace("udp", "tcp"), drop)), "accepted");
  const untracked = "-A PREROUTING -p udp -j CT --notrack";
  assertEquals(fate(tables(untracked, "-A INPUT -m state --state UNTRACKED -j DROP")), "dropped");
  assertEquals(fate(tables(untracked, "-A INPUT -m state --state NEW -j DROP")), "accepted");
});

Deno.test("nothing is tracked yet in front of connection tracking: to a rule there, all is invalid", () => {
  const subject = legacyFirewall(
    new Map([
      ["raw", ["-P PREROUTING ACCEPT", "-A PREROUTING -m conntrack --ctstate INVALID -j DROP"]],
    ]),
  );
  assertEquals(fate(subject), "dropped");
});

Deno.test("an answer under a full tunnel needs a reverse-path filter that counts marks", () => {
  const answer = packet({ isEstablished: true, needsMark: true });
  const rules = (match: string) =>
    legacyFirewall(
      new Map([
        ["mangle", [
          "-P PREROUTING ACCEPT",
          `-A PREROUTING -m rpfilter ${match} -j RETURN`,
          "-A PREROUTING -j DROP",
        ]],
      ]),
    );
  assertEquals(fate(rules("--validmark"), answer), "accepted");
  assertEquals(fate(rules("--loose"), answer), "accepted");
  assertEquals(fate(rules("--accept-local"), answer), "dropped");
  assertEquals(fate(rules("--accept-local")), "accepted");
});
