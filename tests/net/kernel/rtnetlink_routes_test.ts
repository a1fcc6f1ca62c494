/** Tests of routes and policy rules in `ffi/netlink/`, compared with what `ip` shows. */
import {
  EEXIST,
  EHOSTUNREACH,
  EINVAL,
  ENETUNREACH,
  ENODEV,
  ENOENT,
  ESRCH,
} from "../../../ffi/errno.ts";
import {
  defaultPrefix,
  formatIp,
  formatPrefix,
  parseIp,
  parsePrefix,
} from "../../../ffi/netlink/ip_address.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/socket_constants.ts";
import { type Route, RouteScope, RouteTable, RouteType } from "../../../ffi/netlink/routes.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../../support/assert.ts";
import { netTest, type TestNamespace, type Topology } from "../../support/net.ts";

const WITH_IP = { programs: ["ip"] };
const MARK = 51820;

/** A namespace with `eth0` as 10.0.0.1/24 and fd00::1/64, up and with a transport, towards another namespace. */
function hostNamespace(topology: Topology): TestNamespace {
  const [host, network] = [topology.namespace("host"), topology.namespace("network")];
  topology.cable(
    { namespace: host, name: "eth0", address: "10.0.0.1/24" },
    { namespace: network, name: "eth0", address: "10.0.0.2/24" },
  );
  const { index } = host.rtnetlink.links.get("eth0");
  host.rtnetlink.addresses.add(index, { address: parseIp("fd00::1"), prefixLength: 64 });
  return host;
}

/** The lines that `ip` writes, each run of blanks made one. */
async function ipLines(namespace: TestNamespace, command: string): Promise<string[]> {
  const text = await namespace.output(["ip", ...command.split(" ")]);
  return text.split("\n").map((line) => line.trim().replaceAll(/\s+/g, " ")).filter((line) =>
    line !== ""
  );
}

function ethernetIndex(rtnetlink: Rtnetlink): number {
  return rtnetlink.links.get("eth0").index;
}

netTest("add() makes routes that `ip route` shows as its own", async (topology) => {
  const host = hostNamespace(topology);
  const { routes } = host.rtnetlink;
  const link = ethernetIndex(host.rtnetlink);
  const gateway = parseIp("10.0.0.2");
  const table = 100;
  routes.add({ destination: parsePrefix("10.1.0.0/16"), gateway, link, table });
  routes.add({ destination: parsePrefix("10.2.0.0/16"), link, metric: 77, table });
  routes.add({ destination: parsePrefix("10.3.0.0/16"), gateway, table, mtu: 1400 });
  routes.add({ destination: parsePrefix("10.4.0.0/16"), type: RouteType.unreachable, table });
  routes.add({ destination: parsePrefix("10.5.0.0/16"), type: RouteType.blackhole, table });
  routes.add({
    destination: parsePrefix("10.6.0.1/32"),
    link,
    table,
    scope: RouteScope.global,
    preferredSource: parseIp("10.0.0.1"),
  });
  routes.add({ destination: defaultPrefix(AF_INET), gateway, table });
  assertEquals(await ipLines(host, "-d route show table 100"), [
    "unicast default via 10.0.0.2 dev eth0 proto boot scope global",
    "unicast 10.1.0.0/16 via 10.0.0.2 dev eth0 proto boot scope global",
    "unicast 10.2.0.0/16 dev eth0 proto boot scope link metric 77",
    "unicast 10.3.0.0/16 via 10.0.0.2 dev eth0 proto boot scope global mtu 1400",
    "unreachable 10.4.0.0/16 proto boot scope global",
    "blackhole 10.5.0.0/16 proto boot scope global",
    "unicast 10.6.0.1 dev eth0 proto boot scope global src 10.0.0.1",
  ]);
}, WITH_IP);

netTest(
  "add() makes IPv6 routes, also an unreachable default in a table of its own",
  async (topology) => {
    const host = hostNamespace(topology);
    const { routes } = host.rtnetlink;
    const link = ethernetIndex(host.rtnetlink);
    const table = MARK;
    routes.add({ destination: defaultPrefix(AF_INET6), type: RouteType.unreachable, table });
    routes.add({ destination: parsePrefix("fd01::/64"), gateway: parseIp("fd00::2"), link, table });
    const shown = (await ipLines(host, `-d -6 route show table ${table}`))
      .map((line) => line.replace(/ pref medium$/, ""));
    assertEquals(shown, [
      "unicast fd01::/64 via fd00::2 dev eth0 proto boot scope global metric 1024",
      "unreachable default dev lo proto boot scope global metric 1024",
    ]);
    routes.delete({ destination: defaultPrefix(AF_INET6), table });
    assertEquals(routes.list({ table }).map((route) => formatPrefix(route.destination)), [
      "fd01::/64",
    ]);
  },
  WITH_IP,
);

netTest("list() has every route of every table, as `ip route show table all`", async (topology) => {
  const host = hostNamespace(topology);
  const { routes, links } = host.rtnetlink;
  await host.output(["ip", "route", "add", "10.7.0.0/16", "via", "10.0.0.2", "table", "70000"]);
  await host.output(["ip", "route", "add", "prohibit", "10.8.0.0/16", "metric", "5"]);
  const names = new Map(links.list().map((link) => [link.index, link.name]));
  const type = new Map(Object.entries(RouteType).map(([name, number]) => [number, name]));
  const summary = (route: Route) =>
    [
      type.get(route.type as RouteType),
      formatPrefix(route.destination),
      route.gateway === null ? null : formatIp(route.gateway),
      route.link === null ? null : names.get(route.link),
      route.table,
      route.metric,
    ].join(" ");
  const ipNumbers = new Map(Object.entries(RouteTable).map(([name, number]) => [name, number]));
  for (const family of [AF_INET, AF_INET6] as const) {
    const text = await host.output(
      ["ip", family === AF_INET ? "-4" : "-6", "-json", "-d", "route", "show", "table", "all"],
    );
    const width = family === AF_INET ? 32 : 128;
    // deno-lint-ignore no-explicit-any
    const expected = JSON.parse(text).map((route: any) => {
      const destination = route.dst === "default" ? formatPrefix(defaultPrefix(family)) : route.dst;
      return [
        route.type,
        destination.includes("/") ? destination : `${destination}/${width}`,
        route.gateway ?? null,
        route.dev ?? null,
        ipNumbers.get(route.table) ?? Number(route.table ?? RouteTable.main),
        route.metric ?? 0,
      ].join(" ");
    });
    assertEquals(routes.list({ family }).map(summary).sort(), expected.sort());
  }
  assertEquals(
    routes.list().length,
    routes.list({ family: AF_INET }).length + routes.list({ family: AF_INET6 }).length,
  );
  assertEquals(routes.list({ table: 70000 }).map(summary), [
    "unicast 10.7.0.0/16 10.0.0.2 eth0 70000 0",
  ]);
}, WITH_IP);

netTest("list() reads multipath routes and IPv6 gateways of IPv4 routes", async (topology) => {
  const host = hostNamespace(topology);
  const { routes } = host.rtnetlink;
  const link = ethernetIndex(host.rtnetlink);
  await host.output(
    "ip route add 10.1.0.0/16 table 100 nexthop via 10.0.0.2 nexthop via 10.0.0.3".split(" "),
  );
  await host.output("ip route add 10.2.0.0/16 table 100 via inet6 fd00::2 dev eth0".split(" "));
  const [multipath, mixed] = routes.list({ table: 100 });
  assertEquals([multipath.paths, multipath.link], [2, link]);
  assertEquals(multipath.gateway, parseIp("10.0.0.2"));
  assertEquals([mixed.paths, mixed.link], [1, link]);
  assertEquals(mixed.gateway, parseIp("fd00::2"));
}, WITH_IP);

netTest(
  "add() refuses a route that is there, replace() takes its place, delete() ends it",
  (topology) => {
    const { rtnetlink } = hostNamespace(topology);
    const { routes } = rtnetlink;
    const destination = parsePrefix("10.1.0.0/16");
    const spec = { destination, gateway: parseIp("10.0.0.2"), table: 100 };
    routes.add(spec);
    const twice = assertThrows(() => routes.add(spec), NetlinkError);
    assertEquals(twice.errno, EEXIST);
    assertMatch(
      twice.message,
      /^Cannot add route 10\.1\.0\.0\/16 via 10\.0\.0\.2 in table 100: file exists \(EEXIST\)/,
    );
    routes.replace({ ...spec, gateway: parseIp("10.0.0.3") });
    assertEquals(routes.list({ table: 100 }).map((route) => route.gateway), [parseIp("10.0.0.3")]);
    const other = assertThrows(() => routes.delete(spec), NetlinkError);
    assertEquals(other.errno, ESRCH);
    routes.delete({ destination, table: 100 });
    assertEquals(routes.list({ table: 100 }), []);
    assertEquals(assertThrows(() => routes.delete(spec), NetlinkError).errno, ESRCH);
  },
);

netTest(
  "add() gives the kernel's reasons for a link or gateway that does not exist",
  (topology) => {
    const { routes } = hostNamespace(topology).rtnetlink;
    const destination = parsePrefix("10.1.0.0/16");
    const noLink = assertThrows(() => routes.add({ destination, link: 999 }), NetlinkError);
    assertEquals(noLink.errno, ENODEV);
    const gateway = parseIp("192.0.2.99");
    const noGateway = assertThrows(() => routes.add({ destination, gateway }), NetlinkError);
    assertEquals(noGateway.errno, ENETUNREACH);
    assertEquals(noGateway.explanation, "Nexthop has invalid gateway");
    const hostBits = assertThrows(
      () => routes.add({ destination: parsePrefix("10.1.2.3/16"), link: 1 }),
      NetlinkError,
    );
    assertEquals(hostBits.errno, EINVAL);
    assertEquals(hostBits.explanation, "Invalid prefix for given prefix length");
    assert(noGateway.message.endsWith("(ENETUNREACH): Nexthop has invalid gateway"));
  },
);

netTest(
  "lookup() finds the route by destination and by mark, as `ip route get`",
  async (topology) => {
    const host = hostNamespace(topology);
    const { routes, rules } = host.rtnetlink;
    const link = ethernetIndex(host.rtnetlink);
    routes.add({
      destination: parsePrefix("10.1.0.0/16"),
      gateway: parseIp("10.0.0.2"),
      mtu: 1300,
    });
    routes.add({
      destination: parsePrefix("10.1.0.0/16"),
      gateway: parseIp("10.0.0.3"),
      table: 100,
    });
    rules.add({ family: AF_INET, table: 100, mark: { value: 7 } });

    const plain = routes.lookup(parseIp("10.1.2.3"));
    assertEquals([plain.table, plain.link, plain.mtu], [RouteTable.main, link, 1300]);
    assertEquals([plain.gateway, plain.preferredSource], [
      parseIp("10.0.0.2"),
      parseIp("10.0.0.1"),
    ]);
    const marked = routes.lookup(parseIp("10.1.2.3"), { mark: 7 });
    assertEquals([marked.table, marked.mtu], [100, null]);
    assertEquals(marked.gateway, parseIp("10.0.0.3"));
    const [shown] = JSON.parse(
      await host.output("ip -json route get 10.1.2.3 mark 7".split(" ")),
    );
    assertEquals([shown.gateway, shown.dev, shown.prefsrc], ["10.0.0.3", "eth0", "10.0.0.1"]);

    const local = routes.lookup(parseIp("10.0.0.1"));
    assertEquals([local.type, local.table], [RouteType.local, RouteTable.local]);
    const six = routes.lookup(parseIp("fd00::2"));
    assertEquals([six.link, six.gateway, six.table], [link, null, RouteTable.main]);
  },
  WITH_IP,
);

netTest("lookup() reports no route and a refused route", (topology) => {
  const { routes } = hostNamespace(topology).rtnetlink;
  const nowhere = assertThrows(() => routes.lookup(parseIp("192.0.2.1")), NetlinkError);
  assertEquals(nowhere.errno, ENETUNREACH);
  assertMatch(nowhere.message, /^Cannot look up the route to 192\.0\.2\.1: network is unreachable/);
  routes.add({ destination: parsePrefix("192.0.2.0/24"), type: RouteType.unreachable });
  const refused = assertThrows(() => routes.lookup(parseIp("192.0.2.1")), NetlinkError);
  assertEquals(refused.errno, EHOSTUNREACH);
});

netTest(
  "add() makes the rules of a full tunnel as `ip rule` shows them, delete() undoes them",
  async (topology) => {
    const host = hostNamespace(topology);
    const { rules } = host.rtnetlink;
    const before = [await ipLines(host, "rule"), await ipLines(host, "-6 rule")];
    const all = ([AF_INET, AF_INET6] as const).flatMap((family) => [
      { family, table: MARK, mark: { value: MARK }, inverted: true },
      { family, table: RouteTable.main, suppressPrefixLength: 0 },
      { family, table: 100, mark: { value: 0x50, mask: 0xf0 }, priority: 99 },
    ]);
    for (const spec of all) rules.add(spec);
    const expected = [
      "99: from all fwmark 0x50/0xf0 lookup 100",
      "32764: from all lookup main suppress_prefixlength 0",
      "32765: not from all fwmark 0xca6c lookup 51820",
    ];
    for (const option of ["-4", "-6"]) {
      const shown = await ipLines(host, `${option} rule`);
      assertEquals(shown.slice(1, 4), expected);
    }
    assertEquals(
      rules.list({ family: AF_INET }).map((rule) => [
        rule.priority,
        rule.table,
        rule.mark,
        rule.inverted,
        rule.suppressPrefixLength,
      ]),
      [
        [0, RouteTable.local, null, false, null],
        [99, 100, { value: 0x50, mask: 0xf0 }, false, null],
        [32764, RouteTable.main, null, false, 0],
        [32765, MARK, { value: MARK, mask: 0xffffffff }, true, null],
        [32766, RouteTable.main, null, false, null],
        [32767, RouteTable.default, null, false, null],
      ],
    );
    for (const spec of all) rules.delete(spec);
    assertEquals([await ipLines(host, "rule"), await ipLines(host, "-6 rule")], before);
  },
  WITH_IP,
);

netTest("add() refuses a rule that is there, delete() one that is not", (topology) => {
  const { rules } = topology.namespace("rules").rtnetlink;
  const spec = { family: AF_INET, table: MARK, mark: { value: MARK }, priority: 99 } as const;
  rules.add(spec);
  const twice = assertThrows(() => rules.add(spec), NetlinkError);
  assertEquals(twice.errno, EEXIST);
  rules.delete(spec);
  const gone = assertThrows(() => rules.delete(spec), NetlinkError);
  assertEquals(gone.errno, ENOENT);
  assertMatch(
    gone.message,
    /^Cannot delete IPv4 routing rule with priority 99 for table 51820: no such file/,
  );
});

netTest("list() of rules reads selectors that others use", async (topology) => {
  const host = hostNamespace(topology);
  await host.output(
    "ip rule add from 10.1.0.0/16 to 10.2.0.0/16 iif lo oif eth0 table 70000".split(" "),
  );
  await host.output("ip rule add from 10.3.0.0/16 prohibit".split(" "));
  const [, prohibit, lookup] = host.rtnetlink.rules.list({ family: AF_INET });
  assertEquals([lookup.source, lookup.destination], [
    parsePrefix("10.1.0.0/16"),
    parsePrefix("10.2.0.0/16"),
  ]);
  assertEquals([lookup.inputInterface, lookup.outputInterface], ["lo", "eth0"]);
  assertEquals([lookup.action, lookup.table], [1, 70000]);
  assertEquals([prohibit.action, prohibit.source], [8, parsePrefix("10.3.0.0/16")]);
}, WITH_IP);
