/** Tests of the changes to a host: made and undone in a namespace, by the test's own process. */
import {
  type HostChange,
  makeChange,
  readReservedPorts,
  undoChange,
} from "../../../lib/host/journal/host_change.ts";
import {
  FORWARDING_SWITCHES,
  type ForwardingFamily,
  readOwnForwarding,
} from "../../../lib/host/network/forwarding_switch.ts";
import { readSysctl, writeSysctl } from "../../../lib/host/network/sysctl.ts";
import { AF_INET } from "../../../ffi/socket_constants.ts";
import { RouteTable, RouteType } from "../../../ffi/netlink/routes.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { hostState, withoutIpv6Autoconfiguration } from "../support/host_state.ts";

const RESERVED_PORTS = "/proc/sys/net/ipv4/ip_local_reserved_ports";
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

function quiet(topology: { namespace(label: string): TestNamespace }): TestNamespace {
  const namespace = topology.namespace("host");
  withoutIpv6Autoconfiguration(namespace);
  return namespace;
}

function reservedPorts(namespace: TestNamespace): string {
  return namespace.inside(() => Deno.readTextFileSync(RESERVED_PORTS)).trim();
}

for (const change of [RULE, ROUTE, SYSCTL, PORTS]) {
  netTest(
    `undoChange() undoes a change of kind ${change.kind}, and twice does no harm`,
    async (topology) => {
      const namespace = quiet(topology);
      const before = await hostState(namespace);
      // As after a crash between the note and the change.
      namespace.inside(() => undoChange(change));
      assertEquals(await hostState(namespace), before);
      namespace.inside(() => makeChange(change));
      assert(await hostState(namespace) !== before);
      namespace.inside(() => undoChange(change));
      assertEquals(await hostState(namespace), before);
      namespace.inside(() => undoChange(change));
      assertEquals(await hostState(namespace), before);
    },
    { programs: ["ip", "sysctl"] },
  );
}

netTest("undoChange() takes no offence when a firewall table is gone", (topology) => {
  const namespace = topology.namespace("host");
  namespace.inside(() => undoChange(TABLE));
});

netTest("undoChange() leaves a sysctl alone when somebody has changed it since", (topology) => {
  const namespace = topology.namespace("host");
  namespace.inside(() => {
    const path = "/proc/sys/net/ipv4/ip_default_ttl";
    const change: HostChange = { kind: "sysctl", path, value: "100", before: "64" };
    makeChange(change);
    Deno.writeTextFileSync(path, "200");
    undoChange(change);
    assertEquals(Deno.readTextFileSync(path).trim(), "200");
  });
});

netTest(
  "undoChange() gives interfaces the forwarding of their own back, and leaves it to guests that came later",
  async (topology) => {
    for (const [family, path] of Object.entries(FORWARDING_SWITCHES)) {
      const namespace = topology.namespace(family);
      const place = family === "ip" ? "ipv4" : "ipv6";
      const add = (wire: string, bridge: string) =>
        namespace.output(["ip", "-batch", "-"], {
          stdin: `link add ${wire}a type veth peer name ${wire}b\nlink add ${bridge} type bridge\n`,
        });
      const values = () =>
        namespace.inside(() =>
          ["x1a", "x1b", "x2a", "br1", "br2"].map((name) =>
            readSysctl(`/proc/sys/net/${place}/conf/${name}/forwarding`)
          ).join("")
        );
      await add("x1", "br1");
      const change = namespace.inside((): HostChange => {
        writeSysctl(`/proc/sys/net/${place}/conf/x1a/forwarding`, "1");
        const links = readOwnForwarding(family as ForwardingFamily, namespace.rtnetlink);
        return { kind: "sysctl", path, value: "1", before: "0", links };
      });
      namespace.inside(() => makeChange(change));
      await add("x2", "br2");
      assertEquals(values(), "11111");
      namespace.inside(() => undoChange(change));
      assertEquals(values(), "10001");
    }
  },
  { programs: ["ip"] },
);

netTest("reserved ports join those of others and leave them there", (topology) => {
  const namespace = topology.namespace("host");
  namespace.inside(() => Deno.writeTextFileSync(RESERVED_PORTS, "1,20003,20006-20010,65535"));
  namespace.inside(() => makeChange(PORTS));
  assertEquals(reservedPorts(namespace), "1,20000-20004,20006-20010,65535");
  namespace.inside(() => undoChange(PORTS));
  assertEquals(reservedPorts(namespace), "1,20003,20006-20010,65535");
});

netTest("readReservedPorts() reads single ports, ranges and none", (topology) => {
  const namespace = topology.namespace("host");
  const read = () => [...namespace.inside(readReservedPorts)].sort((a, b) => a - b);
  assertEquals(read(), []);
  namespace.inside(() => Deno.writeTextFileSync(RESERVED_PORTS, "5,7-9"));
  assertEquals(read(), [5, 7, 8, 9]);
});

netTest("a rule is undone by what it says, not another that is like it", async (topology) => {
  const namespace = quiet(topology);
  const other: HostChange = {
    kind: "rule",
    rule: { family: AF_INET, table: RouteTable.main, mark: { value: 7 }, inverted: true },
  };
  namespace.inside(() => makeChange(other));
  const before = await hostState(namespace);
  namespace.inside(() => makeChange(RULE));
  namespace.inside(() => undoChange(RULE));
  assertEquals(await hostState(namespace), before);
}, { programs: ["ip", "sysctl"] });
