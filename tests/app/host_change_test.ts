/** Tests of `lib/app/host_change.ts` without a host: how changes are named, and that they can be written down. */
import { describeChange, type HostChange } from "../../lib/app/host_change.ts";
import { AF_INET } from "../../ffi/netlink/ip_address.ts";
import { RouteType } from "../../ffi/netlink/routes.ts";
import { assertEquals } from "../support/assert.ts";

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

Deno.test("describeChange() names what it is about", () => {
  assertEquals([RULE, ROUTE, SYSCTL, PORTS, TABLE].map(describeChange), [
    "routing rule to table 51900",
    "route 203.0.113.0/24 in table 51900",
    `${IP_FORWARD} (back to 0)`,
    "reserved ports 20000-20002,20004",
    "nftables table inet vpn_absent",
  ]);
});

Deno.test("a change is the same after it was written down and read", () => {
  for (const change of [RULE, ROUTE, SYSCTL, PORTS, TABLE]) {
    assertEquals(JSON.parse(JSON.stringify(change)), change);
  }
});
