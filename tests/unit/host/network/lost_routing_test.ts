/** Tests of `lib/host/network/lost_routing.ts`: what is taken for the rules of a tunnel that has ended. */
import { parsePrefix } from "../../../../ffi/netlink/ip_address.ts";
import {
  type Route,
  RouteProtocol,
  RouteTable,
  RouteType,
} from "../../../../ffi/netlink/routes.ts";
import type { Rule } from "../../../../ffi/netlink/rules.ts";
import { AF_INET, AF_INET6 } from "../../../../ffi/socket_constants.ts";
import { lostRules } from "../../../../lib/host/network/lost_routing.ts";
import { assertEquals } from "../../../support/assert.ts";

const MARK = { value: 51820, mask: 0xffffffff };

function rule(priority: number, table: number, more: Partial<Rule> = {}): Rule {
  return {
    family: AF_INET6,
    priority,
    action: 1,
    table,
    mark: null,
    inverted: false,
    suppressPrefixLength: null,
    protocol: RouteProtocol.kernel,
    source: null,
    destination: null,
    inputInterface: null,
    outputInterface: null,
    ...more,
  };
}

function route(table: number, more: Partial<Route> = {}): Route {
  return {
    family: AF_INET6,
    destination: parsePrefix("::/0"),
    table,
    type: RouteType.unreachable,
    scope: 0,
    protocol: RouteProtocol.kernel,
    link: 1,
    gateway: null,
    paths: 1,
    metric: 1024,
    preferredSource: null,
    mtu: null,
    mtuIsLearnt: false,
    ...more,
  };
}

const OWN = { mark: MARK, inverted: true };
const KERNELS = [rule(0, RouteTable.local), rule(32766, RouteTable.main)];

/** What a full tunnel of IPv6 adds. */
const FULL = [
  rule(32762, 51820, { ...OWN, suppressPrefixLength: 0 }),
  rule(32763, RouteTable.main, { suppressPrefixLength: 0 }),
  rule(32764, 51820, OWN),
  rule(32765, 51821, OWN),
];
const NOWHERE = route(51821);

/** Priorities and tables of the rules, and the tables of the routes, that are taken for lost. */
function lost(
  rules: readonly Rule[],
  routes: readonly Route[] = [NOWHERE],
  known: readonly number[] = [],
): { readonly rules: number[]; readonly routes: number[] } {
  const changes = lostRules([KERNELS[0]!, ...rules, KERNELS[1]!], {
    isKnown: (table) => known.includes(table),
    routesOf: (table) => routes.filter((route) => route.table === table),
  });
  return {
    rules: changes.flatMap((change) => change.kind === "rule" ? [change.rule.priority!] : []),
    routes: changes.flatMap((change) => change.kind === "route" ? [change.table] : []),
  };
}

const NOTHING = { rules: [], routes: [] };

Deno.test("the rules of a tunnel that has ended are found, with the routes that lead nowhere", () => {
  assertEquals(lost(FULL), { rules: [32762, 32763, 32764, 32765], routes: [51821] });
  const blocked = FULL.slice(1, 3);
  assertEquals(lost(blocked, [route(51820)]), { rules: [32763, 32764], routes: [51820] });
  const ipv4 = FULL.slice(0, 3).map((each) => ({ ...each, family: AF_INET }) as Rule);
  assertEquals(lost(ipv4, []), { rules: [32762, 32763, 32764], routes: [] });
});

Deno.test("of two tunnels, the one that leads to an interface, or that a journal names, is left", () => {
  const second = FULL.map((each) => ({
    ...each,
    priority: each.priority - 4,
    table: each.table === RouteTable.main ? each.table : each.table + 2,
  }));
  const both = [...second, ...FULL];
  const runs = route(51822, { type: RouteType.unicast, link: 7 });
  const firstAlone = { rules: [32762, 32763, 32764, 32765], routes: [51821] };
  assertEquals(lost(both, [NOWHERE, runs, route(51823)]), firstAlone);
  assertEquals(lost(both, [NOWHERE, route(51823)], [51822, 51823]), firstAlone);
  assertEquals(lost(both, [NOWHERE], [51820, 51821, 51822]), NOTHING);
});

const FOREIGN: Readonly<Record<string, readonly Rule[]>> = {
  "of another protocol": FULL.map((each) => ({ ...each, protocol: RouteProtocol.boot })),
  "for one source": FULL.map((each) => ({ ...each, source: parsePrefix("fd00::/8") })),
  "by one interface": FULL.map((each) => ({ ...each, inputInterface: "eth0" })),
  "for a mark rather than without it": FULL.map((each) => ({ ...each, inverted: false })),
  "for a part of a mark": FULL.map((each) =>
    each.mark === null ? each : { ...each, mark: { value: 1, mask: 0xff } }
  ),
  "to tables that others number": FULL.map((each) =>
    each.table === RouteTable.main ? each : { ...each, table: each.table - 51720 }
  ),
  "apart from each other": FULL.map((each, index) => ({ ...each, priority: 100 + 2 * index })),
  "without the main table": FULL.filter(({ table }) => table !== RouteTable.main),
};

for (const [what, rules] of Object.entries(FOREIGN)) {
  Deno.test(`rules ${what} are not taken for ours`, () => {
    assertEquals(lost(rules), NOTHING);
  });
}

Deno.test("rules to whose tables another rule leads, or which have another's route, are left", () => {
  assertEquals(lost([rule(100, 51820, { inputInterface: "eth0" }), ...FULL]), NOTHING);
  const boot = route(51820, { protocol: RouteProtocol.boot });
  assertEquals(lost(FULL, [NOWHERE, boot]), NOTHING);
});

Deno.test("rules without a mark are ours only where a route that leads nowhere is behind them", () => {
  const unmarked = [FULL[1]!, rule(32764, 51820)];
  assertEquals(lost(unmarked, []), NOTHING);
  assertEquals(lost(unmarked, [route(51820)]), { rules: [32763, 32764], routes: [51820] });
});
