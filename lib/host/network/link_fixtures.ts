/**
 * The TUN as fixtures: that it is up, its MTU, that it has IPv6, its addresses, and the routes by it. They vanish with
 * the device, so that the journal has none of them.
 */
import { setTimeout as delay } from "node:timers/promises";
import { EEXIST } from "../../../ffi/errno.ts";
import {
  type AddressFamily,
  familyOf,
  formatPrefix,
  type IpAddress,
  type IpPrefix,
  ipv4FromNumber,
  parsePrefix,
} from "../../../ffi/netlink/ip_address.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/socket_constants.ts";
import {
  RouteProtocol,
  type RouteSpec,
  RouteTable,
  RouteType,
} from "../../../ffi/netlink/routes.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { formatCidr, type Ipv4Prefix, prefixMask } from "../../core/wire/ipv4_text.ts";
import { addressOf6, type Ipv6PrefixText, network6 } from "../../core/wire/ipv6_prefix.ts";
import { DeviceGone } from "../../process/device_gone.ts";
import type { Fixture } from "../upkeep/fixture.ts";
import { changedSettings, enableIpv6 } from "./link_ipv6.ts";

/** A route by the TUN. */
export interface LinkRoute {
  readonly destination: IpPrefix;
  readonly table: number;
  /** Of the route that comes with an address. */
  readonly preferredSource?: IpAddress;
}

/** What the TUN is to be like. */
export interface LinkState {
  readonly name: string;
  /** It may be renamed, and another get its name. */
  readonly index: number;
  readonly addresses: readonly Ipv4Prefix[];
  readonly addresses6: readonly Ipv6PrefixText[];
  /** Bytes. */
  readonly mtu: number;
  readonly routes: readonly LinkRoute[];
}

/** ms after which a local route of IPv6 that has not come will not come by itself. */
const LATE = 5_000;
/** ms between two looks for one. */
const LOOK_INTERVAL = 5;

/**
 * @param stateNow what is asked for at the moment
 * @param now monotonic ms
 */
export function linkFixtures(
  netlink: Rtnetlink,
  stateNow: () => LinkState,
  now: () => number = () => performance.now(),
): readonly Fixture[] {
  return [
    switchedOn(netlink, stateNow),
    mtu(netlink, stateNow),
    ipv6Settings(netlink, stateNow),
    addresses(netlink, stateNow),
    localRoutes(netlink, stateNow),
    localRoutes6(netlink, stateNow, now),
    routes(netlink, stateNow),
  ];
}

/**
 * Adds a route, unless it is there.
 *
 * @returns false where another interface has the network: the kernel takes no second route to it
 */
export function addLinkRoute(netlink: Rtnetlink, index: number, route: LinkRoute): boolean {
  try {
    netlink.routes.add(routeSpec(index, route));
    return true;
  } catch (error) {
    if (!(error instanceof NetlinkError && error.errno === EEXIST)) throw error;
    // Two of the configured networks may be one and the same.
    const family = familyOf(route.destination.address);
    return netlink.routes.list({ family, table: route.table, link: index })
      .some((there) => textOf(there) === textOf(route));
  }
}

function routeSpec(link: number, route: LinkRoute): RouteSpec {
  // Of the kernel's making, in name: see `RouteProtocol`.
  return { ...route, link, protocol: RouteProtocol.kernel };
}

function linkOf(netlink: Rtnetlink, { name, index }: LinkState) {
  const link = netlink.links.find(index);
  if (link?.name !== name) throw new DeviceGone(name);
  return link;
}

function switchedOn(netlink: Rtnetlink, stateNow: () => LinkState): Fixture {
  return {
    isPolled: false,
    yieldsToPostUp: true,
    missing: () => linkOf(netlink, stateNow()).up ? [] : [`${stateNow().name} being up`],
    putBack: () => netlink.links.configure(stateNow().index, { up: true }),
  };
}

function mtu(netlink: Rtnetlink, stateNow: () => LinkState): Fixture {
  return {
    isPolled: false,
    yieldsToPostUp: true,
    missing: () => {
      const state = stateNow();
      return linkOf(netlink, state).mtu === state.mtu ? [] : [`MTU ${state.mtu} of ${state.name}`];
    },
    putBack: () => netlink.links.configure(stateNow().index, { mtu: stateNow().mtu }),
  };
}

function ipv6Settings(netlink: Rtnetlink, stateNow: () => LinkState): Fixture {
  return {
    isPolled: false,
    yieldsToPostUp: true,
    missing: () => {
      const state = stateNow();
      const { name } = linkOf(netlink, state);
      return state.addresses6.length === 0 ? [] : changedSettings(name);
    },
    putBack: () => enableIpv6(stateNow().name),
  };
}

function addresses(netlink: Rtnetlink, stateNow: () => LinkState): Fixture {
  const lost = () => {
    const { index, addresses, addresses6 } = stateNow();
    const there = netlink.addresses.list({ link: index })
      .map(({ address, prefixLength }) => formatPrefix({ address, length: prefixLength }));
    return [...addresses.map(formatCidr), ...addresses6].filter((text) => !there.includes(text));
  };
  const nameOf = (text: string) => `address ${text}`;
  return {
    isPolled: false,
    yieldsToPostUp: true,
    missing: () => lost().map(nameOf),
    putBack: (wanted) => {
      forEach(lost().filter((text) => wanted.includes(nameOf(text))), (text) => {
        const { address, length: prefixLength } = parsePrefix(text);
        const isUnasked = address.length === 16;
        netlink.addresses.replace(stateNow().index, { address, prefixLength, isUnasked });
      });
    },
  };
}

/** By which the host takes packets to its own addresses. The kernel makes them with an address, and not again. */
function localRoutes(netlink: Rtnetlink, stateNow: () => LinkState): Fixture {
  const table = RouteTable.local;
  const lost = () => {
    const { index, addresses } = stateNow();
    const there = localAddresses(netlink, AF_INET, index);
    return addresses.filter(({ address }) =>
      !there.includes(formatCidr({ address, prefixLength: 32 }))
    );
  };
  const nameOf = (own: Ipv4Prefix) => `local route of ${formatCidr(own)}`;
  return {
    isPolled: false,
    yieldsToPostUp: true,
    missing: () => lost().map(nameOf),
    putBack: (wanted) => {
      const { index } = stateNow();
      forEach(lost().filter((own) => wanted.includes(nameOf(own))), (own) => {
        const { address, prefixLength } = own;
        const preferredSource = ipv4FromNumber(address);
        const put = (address: number, type: RouteType) => {
          const destination = { address: ipv4FromNumber(address), length: 32 };
          netlink.routes.replace({
            ...routeSpec(index, { destination, table, preferredSource }),
            type,
          });
        };
        put(address, RouteType.local);
        // RFC 3021: a network of two addresses has none for all.
        if (prefixLength < 31) {
          put((address | ~prefixMask(prefixLength)) >>> 0, RouteType.broadcast);
        }
      });
    },
  };
}

/**
 * The same of IPv6, where the kernel makes them some time after the address (`addrconf_dad_work()`, in a queue that a
 * busy host comes to late): one that has been there counts as lost when it is not there at a second look, one that has
 * not been when it has not come for seconds. It comes back with the address, as the kernel's own, which go with the
 * address one day.
 */
function localRoutes6(
  netlink: Rtnetlink,
  stateNow: () => LinkState,
  now: () => number,
): Fixture {
  let missed: readonly Ipv6PrefixText[] = [];
  /** When it is to have come at the latest, of those that have not been seen. */
  const awaited = new Map<Ipv6PrefixText, number>();
  const lost = () => {
    const { index, addresses6 } = stateNow();
    const missing = missingLocal6(netlink, index, addresses6);
    return addresses6.filter((text) => {
      if (!missing.includes(text)) awaited.set(text, -Infinity);
      else if (!awaited.has(text)) awaited.set(text, now() + LATE);
      return missing.includes(text) && now() >= awaited.get(text)!;
    });
  };
  const nameOf = (text: Ipv6PrefixText) => `local route of ${text}`;
  return {
    isPolled: true,
    yieldsToPostUp: true,
    missing: () => {
      const before = missed;
      missed = lost();
      return missed.filter((text) => before.includes(text)).map(nameOf);
    },
    putBack: (wanted) => {
      const { index } = stateNow();
      forEach(lost().filter((text) => wanted.includes(nameOf(text))), (text) => {
        const { address, length: prefixLength } = parsePrefix(text);
        netlink.addresses.delete(index, { address, prefixLength });
        netlink.addresses.replace(index, { address, prefixLength, isUnasked: true });
        awaited.set(text, now() + LATE);
      });
      missed = [];
    },
  };
}

/** Waits until the kernel has made the local routes of a TUN's IPv6 addresses; what does not come is the upkeep's. */
export async function settle(
  netlink: Rtnetlink,
  { index, addresses6 }: Pick<LinkState, "index" | "addresses6">,
): Promise<void> {
  const deadline = performance.now() + LATE;
  while (
    missingLocal6(netlink, index, addresses6).length > 0 && performance.now() < deadline
  ) await delay(LOOK_INTERVAL);
}

/** Those of a link's IPv6 addresses that have no local route. */
function missingLocal6(
  netlink: Rtnetlink,
  index: number,
  addresses6: readonly Ipv6PrefixText[],
): Ipv6PrefixText[] {
  if (addresses6.length === 0) return [];
  const there = localAddresses(netlink, AF_INET6, index);
  return addresses6.filter((text) => !there.includes(`${addressOf6(text)}/128`));
}

/**
 * Puts back one after the other. What the kernel refuses keeps none behind it from it: a route of IPv6, which somebody
 * has switched off, those of IPv4.
 *
 * @throws what was thrown first
 */
function forEach<Item>(items: readonly Item[], putBack: (item: Item) => void): void {
  const errors: unknown[] = [];
  for (const item of items) {
    try {
      putBack(item);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

/** The destinations of the local routes by a link. */
function localAddresses(netlink: Rtnetlink, family: AddressFamily, link: number): string[] {
  return netlink.routes.list({ family, table: RouteTable.local, link })
    .filter(({ type }) => type === RouteType.local)
    .map(({ destination }) => formatPrefix(destination));
}

function routes(netlink: Rtnetlink, stateNow: () => LinkState): Fixture {
  const lost = () => {
    const { index, addresses, addresses6, routes: added } = stateNow();
    const routes = [...addresses.flatMap(routeOf), ...addresses6.flatMap(routeOf6), ...added];
    const there = new Set(
      [...lists(routes)].flatMap(([table, families]) =>
        [...families].flatMap((family) => netlink.routes.list({ family, table, link: index }))
          .map(textOf)
      ),
    );
    return routes.filter((route) => !there.has(textOf(route)));
  };
  return {
    isPolled: false,
    yieldsToPostUp: true,
    missing: () => lost().map(textOf),
    putBack: (wanted) => {
      forEach(lost().filter((route) => wanted.includes(textOf(route))), (route) => {
        // Another one may have taken its place: that is lost, too.
        netlink.routes.replace(routeSpec(stateNow().index, route));
      });
    },
  };
}

/** The route that the kernel makes with an address, but not again when somebody has removed it. */
function routeOf({ address, prefixLength }: Ipv4Prefix): LinkRoute[] {
  if (prefixLength === 32) return [];
  const network = (address & prefixMask(prefixLength)) >>> 0;
  return [{
    destination: { address: ipv4FromNumber(network), length: prefixLength },
    table: RouteTable.main,
    preferredSource: ipv4FromNumber(address),
  }];
}

/** The same of IPv6. */
function routeOf6(text: Ipv6PrefixText): LinkRoute[] {
  const destination = parsePrefix(network6(text));
  return destination.length === 128 ? [] : [{ destination, table: RouteTable.main }];
}

/** What to list for these routes: of each table the families. */
function lists(routes: readonly LinkRoute[]): Map<number, Set<AddressFamily>> {
  const families = new Map<number, Set<AddressFamily>>();
  for (const { table, destination } of routes) {
    const known = families.get(table) ?? new Set();
    families.set(table, known.add(familyOf(destination.address)));
  }
  return families;
}

function textOf({ destination, table }: Pick<LinkRoute, "destination" | "table">): string {
  return `route ${formatPrefix(destination)} in table ${table}`;
}
