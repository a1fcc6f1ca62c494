/** Owns the question whether a namespace's network is as it was: all of it as lines, to be compared as sets. */
import { AF_INET6, formatIp, formatPrefix } from "../../../ffi/netlink/ip_address.ts";
import { RouteProtocol, RouteScope } from "../../../ffi/netlink/routes.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";

/**
 * Links, addresses, routes of all tables and rules, a line each. IPv6 link-local addresses and the kernel's own IPv6
 * routes are left out: they come by themselves, some time after an interface is switched on.
 */
export function networkState({ links, addresses, routes, rules }: Rtnetlink): Set<string> {
  const all = links.list();
  const nameOf = (index: number | null) =>
    all.find((link) => link.index === index)?.name ?? `link ${index}`;
  return new Set([
    ...all.map(({ name, up }) => `interface ${name}, ${up ? "up" : "down"}`),
    ...addresses.list()
      .filter(({ family, scope }) => family !== AF_INET6 || scope !== RouteScope.link)
      .map(({ address, prefixLength, link }) =>
        `address ${formatIp(address)}/${prefixLength} of ${nameOf(link)}`
      ),
    ...routes.list()
      .filter(({ family, protocol }) => family !== AF_INET6 || protocol !== RouteProtocol.kernel)
      .map(({ destination, link, table, type }) =>
        `route ${formatPrefix(destination)} by ${nameOf(link)} in table ${table}, type ${type}`
      ),
    ...rules.list().map((rule) => `rule ${rule.priority} of family ${rule.family}`),
  ]);
}

/** What `after` has more or less than `before`, a line each. */
export function difference(before: ReadonlySet<string>, after: ReadonlySet<string>): string[] {
  return [
    ...[...after.difference(before)].map((line) => `left behind: ${line}`),
    ...[...before.difference(after)].map((line) => `lost: ${line}`),
  ];
}
