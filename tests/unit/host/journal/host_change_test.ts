/**
 * Tests of `lib/host/journal/host_change.ts` without a host: how changes are named, and that they can be written down.
 */
import {
  describeChange,
  type HostChange,
  withoutPorts,
} from "../../../../lib/host/journal/host_change.ts";
import { AF_INET } from "../../../../ffi/socket_constants.ts";
import { RouteType } from "../../../../ffi/netlink/routes.ts";
import { assertEquals } from "../../../support/assert.ts";

const IP_FORWARD = "/proc/sys/net/ipv4/ip_forward";

const RULE: HostChange = {
  kind: "rule",
  rule: { family: AF_INET, table: 51_900, mark: { value: 7 }, inverted: true },
};
const ROUTE: HostChange = {
  kind: "route",
  destination: "203.0.113.0/24",
  table: 51_900,
  type: RouteType.unreachable,
};
const SYSCTL: HostChange = { kind: "sysctl", path: IP_FORWARD, value: "1", before: "0" };
const PORTS: HostChange = {
  kind: "reserved-ports",
  ranges: [{ first: 20_000, last: 20_002 }, { first: 20_004, last: 20_004 }],
};
const TABLE: HostChange = {
  kind: "nftables-table",
  table: { family: "inet", name: "vpn_absent" },
};

const KILL_SWITCH: HostChange = {
  kind: "kill-switch",
  table: { family: "inet", name: "vpn_vpn0_killswitch" },
  server: { name: "vpn.example.org", address: 0xc6336407 },
};
const KILL_SWITCH6: HostChange = {
  ...KILL_SWITCH,
  server: { name: "vpn.example.org", address: "2001:db8::7" },
};
const HOOK: HostChange = {
  kind: "hook",
  commands: [
    { command: "true", place: "a.conf:5: PostDown" },
    { command: "false", place: "a.conf:6: PostDown" },
  ],
};
const NAT_PORTS: HostChange = {
  kind: "nat-ports",
  device: "eth0",
  tcp: [{ first: 20_000, last: 29_999 }],
  udp: [],
};
const PROXIED: HostChange = {
  kind: "proxied-neighbours",
  device: "eth0",
  addresses: ["2001:db8:5::2", "2001:db8:5::3"],
};
const DIRECTORY: HostChange = { kind: "directory", path: "/etc/netns/a" };
const SOCKET: HostChange = { kind: "socket", path: "/run/vpn/vpn7.sock", pid: 7 };
const RESOLV_CONF: HostChange = {
  kind: "resolv-conf",
  path: "/etc/resolv.conf",
  directory: "1:2",
  owner: "12-34",
  text: "# vpn 12-34: \u00ff\n",
  inPlace: false,
};
const RESOLVCONF: HostChange = {
  kind: "resolvconf",
  record: "tun.vpn0",
  text: "nameserver 9.9.9.9\n",
};
const RESOLVECTL: HostChange = {
  kind: "resolvectl",
  interfaceName: "vpn0",
  index: 7,
  servers: ["9.9.9.9"],
  domains: ["~."],
};
const ALL = [
  ...[RULE, ROUTE, SYSCTL, PORTS, TABLE, KILL_SWITCH, KILL_SWITCH6, NAT_PORTS, PROXIED],
  ...[HOOK, DIRECTORY, SOCKET, RESOLV_CONF, RESOLVCONF, RESOLVECTL],
];

Deno.test("describeChange() names what it is about", () => {
  assertEquals(ALL.map(describeChange), [
    "routing rule to table 51900",
    "route 203.0.113.0/24 in table 51900",
    `${IP_FORWARD} (back to 0)`,
    "reserved ports 20000-20002,20004",
    "nftables table inet vpn_absent",
    "kill switch (nftables table inet vpn_vpn0_killswitch)",
    "kill switch (nftables table inet vpn_vpn0_killswitch)",
    "the NAT's ports on eth0",
    "2 addresses answered for on eth0",
    "the changes that PostDown undoes (a.conf:5: PostDown, a.conf:6: PostDown)",
    "/etc/netns/a",
    "/run/vpn/vpn7.sock",
    "/etc/resolv.conf",
    "resolvconf record tun.vpn0",
    "resolvers of vpn0 with systemd-resolved",
  ]);
});

Deno.test("a change is the same after it was written down and read", () => {
  for (const change of ALL) {
    assertEquals(JSON.parse(JSON.stringify(change)), change);
  }
});

Deno.test("withoutPorts() leaves what others do not have", () => {
  const range = (first: number, last: number) => ({ first, last });
  assertEquals(withoutPorts([range(10, 20)], []), [range(10, 20)]);
  assertEquals(withoutPorts([range(10, 20)], [range(1, 30)]), []);
  assertEquals(withoutPorts([range(10, 20), range(30, 30)], [range(12, 13), range(20, 40)]), [
    range(10, 11),
    range(14, 19),
  ]);
});
