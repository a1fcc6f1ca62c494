/** Changes in the journal as fixtures: how each is seen to be in place, and how it is made again. */
import { openLibc } from "../../../ffi/libc.ts";
import { formatPrefix, parsePrefix } from "../../../ffi/netlink/ip_address.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/socket_constants.ts";
import type { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { Rule, RuleSpec } from "../../../ffi/netlink/rules.ts";
import { resolvconfKeeping, resolvectlKeeping } from "../dns/managed_upkeep.ts";
import { isResolvConfInPlace, putBackResolvConf } from "../dns/resolv_conf_upkeep.ts";
import type { Fixture } from "../upkeep/fixture.ts";
import {
  describeChange,
  type HostChange,
  makeChange,
  portsOf,
  readReservedPorts,
  routeSpec,
  type SysctlChange,
  type TableChange,
} from "./host_change.ts";
import { areProxiesInPlace, type ProxiedNeighboursChange } from "../network/proxied_neighbours.ts";
import { readSysctl } from "../network/sysctl.ts";

type RouteChange = Extract<HostChange, { kind: "route" }>;

/** How to look at a change, and to make it again. */
interface Keeping {
  readonly isPolled: boolean;
  /** True if left out. */
  readonly yieldsToPostUp?: boolean;
  isInPlace(): boolean;
  putBack(): void;
}

/**
 * The fixture that a change is; null for commands, and for files of sockets, which `LocalSocket` alone can make again.
 * To be called when the change has been made.
 *
 * @param firewall by which a table is made
 */
export function changeFixture(change: HostChange, firewall: Nftables | null): Fixture | null {
  const keeping = keepingOf(change, firewall);
  if (keeping === null) return null;
  const name = describeChange(change);
  return {
    isPolled: keeping.isPolled,
    yieldsToPostUp: keeping.yieldsToPostUp ?? true,
    missing: () => keeping.isInPlace() ? [] : [name],
    putBack: () => keeping.putBack(),
  };
}

function keepingOf(change: HostChange, firewall: Nftables | null): Keeping | null {
  const putBack = () => makeChange(change);
  switch (change.kind) {
    case "rule":
      return { isPolled: false, isInPlace: () => isRuleThere(change.rule), putBack };
    case "route":
      return {
        isPolled: false,
        isInPlace: () => isRouteThere(change),
        putBack: () => replaceRoute(change),
      };
    case "sysctl":
      return { isPolled: true, isInPlace: () => hasValue(change), putBack };
    case "reserved-ports": {
      const isInPlace = () => portsOf(change.ranges).isSubsetOf(readReservedPorts());
      return { isPolled: true, isInPlace, putBack };
    }
    case "proxied-neighbours":
      return { isPolled: true, isInPlace: () => areProxiesThere(change), putBack };
    case "nftables-table":
    case "kill-switch":
      return firewall === null ? null : tableKeeping(change, firewall);
    case "resolv-conf": {
      let place = change.path;
      return {
        isPolled: true,
        isInPlace: () => isResolvConfInPlace(change),
        putBack: () => {
          place = putBackResolvConf(change, place);
        },
      };
    }
    case "resolvectl":
      return { isPolled: true, ...resolvectlKeeping(change) };
    case "resolvconf":
      return { isPolled: true, ...resolvconfKeeping(change) };
    // Commands have run; `LocalSocket` watches its own file; the rest is nobody else's to remove.
    case "hook":
    case "socket":
    case "directory":
    case "nat-ports":
    case "nat-ports6":
      return null;
  }
}

/** Of an interface that has gone, nothing is to be put back. */
function hasValue({ path, value, yields }: SysctlChange): boolean {
  try {
    const found = readSysctl(path);
    return found === value || found === yields;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true;
    throw error;
  }
}

function areProxiesThere(change: ProxiedNeighboursChange): boolean {
  using netlink = Rtnetlink.open(openLibc());
  return areProxiesInPlace(change, netlink);
}

function tableKeeping({ table }: TableChange, firewall: Nftables): Keeping {
  return {
    isPolled: false,
    yieldsToPostUp: false,
    isInPlace: () => firewall.isIntact(table),
    putBack: () => firewall.putBack(table),
  };
}

function isRuleThere(spec: RuleSpec): boolean {
  using netlink = Rtnetlink.open(openLibc());
  return netlink.rules.list({ family: spec.family }).some((rule) => fits(rule, spec));
}

/** Whether a rule does what is wanted; one that also asks for a source or an interface does less. */
function fits(rule: Rule, spec: RuleSpec): boolean {
  return rule.table === spec.table && rule.priority === spec.priority &&
    rule.mark?.value === spec.mark?.value && rule.inverted === (spec.inverted ?? false) &&
    rule.suppressPrefixLength === (spec.suppressPrefixLength ?? null) &&
    rule.source === null && rule.destination === null &&
    rule.inputInterface === null && rule.outputInterface === null;
}

/** Another one may have taken its place: that is lost, too. */
function replaceRoute(change: RouteChange): void {
  using netlink = Rtnetlink.open(openLibc());
  netlink.routes.replace(routeSpec(change));
}

function isRouteThere({ destination, table, type }: RouteChange): boolean {
  using netlink = Rtnetlink.open(openLibc(), { strict: true });
  const wanted = parsePrefix(destination);
  const family = wanted.address.length === 4 ? AF_INET : AF_INET6;
  return netlink.routes.list({ family, table }).some((route) =>
    route.type === type && formatPrefix(route.destination) === formatPrefix(wanted)
  );
}
