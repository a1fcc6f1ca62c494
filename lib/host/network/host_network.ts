/**
 * Host network: the changes that a tunnel makes there, to the interface's settings, routes and routing rules.
 *
 * Addresses and routes on the TUN vanish with it. What would outlive it goes through the journal, which undoes it.
 */
import { ESRCH } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import {
  type AddressFamily,
  defaultPrefix,
  formatPrefix,
  type IpPrefix,
  ipv4FromNumber,
  ipv4ToNumber,
  parsePrefix,
} from "../../../ffi/netlink/ip_address.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/socket_constants.ts";
import { RouteProtocol, RouteTable, RouteType } from "../../../ffi/netlink/routes.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { RuleSpec } from "../../../ffi/netlink/rules.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { addressBytes, type HostAddress, isIpv6 } from "../../core/wire/host_address.ts";
import type { Ipv4Prefix } from "../../core/wire/ipv4_text.ts";
import { ALL_IPV6, type Ipv6PrefixText, isWithin6 } from "../../core/wire/ipv6_prefix.ts";
import { Detour } from "./detour.ts";
import { guestBridges } from "./guest_bridges.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import type { Fixture } from "../upkeep/fixture.ts";
import { hasIpv6 } from "./ipv6_presence.ts";
import type { Journal } from "../journal/journal.ts";
import {
  addLinkRoute,
  linkFixtures,
  type LinkRoute,
  type LinkState,
  settle,
} from "./link_fixtures.ts";
import { getLogger } from "../../process/logging.ts";
import { disableIpv6, enableIpv6 } from "./link_ipv6.ts";
import { conflictsOf, type TunnelNumbers } from "./network_conflict.ts";
import { covers, deviceWith, networkOf, type OwnPlace, ownPlace, setOwn } from "./own_place.ts";
import { DEFAULT_MARK, type RoutePlan, type WayOutside } from "./route_plan.ts";

/** Packets that wait on the TUN for us, while the socket is full; 500 is the kernel's default. */
const TX_QUEUE_LENGTH = 1000;
/** Of the rule that leads to the main table (net/ipv4/fib_rules.c). */
const MAIN_PRIORITY = 32766;
/** Lets the reverse-path filter take the mark into account, so that answers to marked packets pass it. */
const SRC_VALID_MARK = "/proc/sys/net/ipv4/conf/all/src_valid_mark";

export interface InterfaceSettings {
  readonly name: string;
  readonly addresses: readonly Ipv4Prefix[];
  /** Where there is none, the interface has no IPv6. */
  readonly addresses6: readonly Ipv6PrefixText[];
  /** In bytes. */
  readonly mtu: number;
}

export class HostNetwork implements Disposable {
  readonly #netlink = Rtnetlink.open(openLibc());
  readonly #strictNetlink = Rtnetlink.open(openLibc(), { strict: true });
  readonly #journal: Journal;
  /** The TUN as it is to be; null before it is set up. */
  #link: Omit<LinkState, "routes"> | null = null;
  readonly #routes = new Map<string, LinkRoute>();
  /** The tables of the tunnel's own routes, a full tunnel's default route included; null before they are known. */
  #insideTables: { readonly ipv4: number; readonly ipv6: number } | null = null;
  readonly #inside = new Set<HostAddress>();
  #fixtures: readonly Fixture[] = [];
  #detours: readonly Detour[] = [];

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /** Makes sure that an interface name is free. @throws {AppError} with exit code 2 */
  requireFreeName(name: string): void {
    if (this.#netlink.links.find(name) === null) return;
    throw new AppError(
      `Cannot create interface "${name}": the name is taken: stop what uses it, ` +
        "or choose another with --interface",
      { exitCode: ExitCode.usage },
    );
  }

  /** A text that differs when packets of this mark to an address take another way, or leave by another of ours. */
  traceOf(destination: HostAddress, mark: number): string {
    try {
      const { link, gateway, preferredSource } = this.#netlink.routes.lookup(
        addressBytes(destination),
        { mark },
      );
      return `${link} ${gateway} ${preferredSource}`;
    } catch (error) {
      if (error instanceof NetlinkError) return "";
      throw error;
    }
  }

  /** How the host reaches an address with packets of this mark; null where it does not. */
  wayTo(destination: HostAddress, mark: number): WayOutside | null {
    const { routes, links } = this.#netlink;
    try {
      const { link, gateway } = routes.lookup(addressBytes(destination), { mark });
      if (link === null) return null;
      // A gateway may have an IPv6 address (RFC 5549): then it is in no network of ours.
      const nextHop = gateway === null
        ? destination
        : gateway.length === 4
        ? ipv4ToNumber(gateway)
        : null;
      return {
        device: links.get(link).name,
        network: nextHop === null || isIpv6(nextHop)
          ? null
          : networkOf(this.#netlink, nextHop, link),
      };
    } catch (error) {
      if (error instanceof NetlinkError) return null;
      throw error;
    }
  }

  /** Names of bridges that nobody but guests of the host is on: containers, virtual machines. */
  guestBridges(): string[] {
    return guestBridges(this.#strictNetlink);
  }

  /** By which networks of the host's the tunnel's numbers are used as well, a line for each. */
  conflicts(tunnel: TunnelNumbers): string[] {
    return conflictsOf(this.#strictNetlink, tunnel);
  }

  /** Gives the TUN its addresses and MTU and switches it on. */
  bringUp({ name, addresses, addresses6, mtu }: InterfaceSettings): void {
    const { links, addresses: linkAddresses } = this.#netlink;
    const { index } = links.get(name);
    links.configure(index, { mtu, txQueueLength: TX_QUEUE_LENGTH });
    if (addresses6.length === 0) disableIpv6(name);
    else enableIpv6(name);
    for (const { address, prefixLength } of addresses) {
      linkAddresses.add(index, { address: ipv4FromNumber(address), prefixLength });
    }
    for (const text of addresses6) {
      const { address, length: prefixLength } = parsePrefix(text);
      // A TUN has no neighbours to ask, but the kernel settles that in its own time (`addrconf_dad_work()`), and until
      // then no socket can be bound to the address: the DNS proxy's on a busy host.
      linkAddresses.add(index, { address, prefixLength, isUnasked: true });
    }
    links.configure(index, { up: true });
    const link = { name, index, addresses, addresses6, mtu };
    this.#link = link;
    this.#fixtures = linkFixtures(this.#strictNetlink, () => ({
      ...this.#link ?? link,
      routes: [...this.#routes.values()],
    }));
  }

  /** Resolves when packets to all addresses of the TUN come in. */
  async takesPackets(): Promise<void> {
    if (this.#link !== null) await settle(this.#netlink, this.#link);
  }

  /** By which packets might go past a full tunnel, where it is one. */
  get detours(): readonly Detour[] {
    return this.#detours;
  }

  /** What of the TUN is to be watched. */
  get fixtures(): readonly Fixture[] {
    return this.#fixtures;
  }

  /** Gives the TUN another MTU, as long as it is there. */
  setMtu(name: string, mtu: number): void {
    const link = this.#netlink.links.find(name);
    if (link !== null) this.#netlink.links.configure(link.index, { mtu });
    if (this.#link !== null) this.#link = { ...this.#link, mtu };
  }

  /** The interface of this host that has an address; null for none. */
  deviceWith(address: number): string | null {
    return deviceWith(this.#netlink, address);
  }

  /** Where this host is in a network, besides the TUN; null where it is not. */
  placeIn(network: Ipv4Prefix): OwnPlace | null {
    return ownPlace(this.#netlink, network, this.#link?.index ?? 0);
  }

  /**
   * Gives the host one more address, IPv4, or takes it away. It is the TUN's, and so is gone in the moment that this
   * process is, however that ends; the kernel takes packets to it, and answers for it, by any interface. It is to be
   * given again each second or two, or the kernel takes it off after five: this process may be frozen, and not know.
   */
  setVirtual(address: number, isHere: boolean): void {
    const link = this.#link;
    if (link === null) return;
    const prefix = { address, prefixLength: 32 };
    const others = link.addresses.filter((each) => each.address !== address);
    this.#link = { ...link, addresses: isHere ? [...others, prefix] : others };
    setOwn(this.#netlink, link.index, { address, isHere });
  }

  /** Routes networks through the TUN, except those that its own addresses cover already. */
  addRoutes(settings: InterfaceSettings, plain: RoutePlan["plain"]): void {
    const { index } = this.#netlink.links.get(settings.name);
    for (const route of routesOf(settings, plain)) this.#addRoute(index, route);
  }

  /** Takes such routes away again; that one is not there, or the TUN is gone, is no error. */
  removeRoutes(settings: InterfaceSettings, plain: RoutePlan["plain"]): void {
    const link = this.#netlink.links.find(settings.name);
    if (link === null) return;
    for (const route of routesOf(settings, plain)) this.#deleteRoute(link.index, route);
  }

  /**
   * Routes by policy, as wg-quick does: all traffic of a full tunnel's families through the TUN, and what IPv6 the plan
   * blocks, nowhere. The host's default route stays as it is. Packets with the mark, which are the tunnel's own, and
   * networks more specific than the default route keep to the main table; the latter but for single addresses inside,
   * which a network that the host happens to be in must not take from the tunnel.
   */
  addPolicy(
    settings: InterfaceSettings,
    { mark, isFullTunnel, isFullTunnel6, inside, inside6, blocked6 }: RoutePlan,
  ): void {
    const blocked = hasIpv6() ? blocked6 : [];
    const { main } = RouteTable;
    const allInside = [...inside, ...inside6];
    if (!isFullTunnel && !isFullTunnel6 && blocked.length === 0) {
      this.#insideTables = { ipv4: main, ipv6: main };
      this.setInside(settings.name, allInside);
      return;
    }
    // Another instance would choose the same table and priorities at the same moment.
    this.#journal.exclusively(() => {
      const { links } = this.#netlink;
      const table = this.#freeTable(mark === 0 ? DEFAULT_MARK : mark);
      for (const destination of blocked) {
        this.#journal.make({ kind: "route", destination, table, type: RouteType.unreachable });
      }
      const { index } = links.get(settings.name);
      let nowhere: number | null = null;
      if (isFullTunnel6) {
        this.#addRoute(index, { destination: defaultPrefix(AF_INET6), table });
        nowhere = this.#freeTable(table + 1);
        const type = RouteType.unreachable;
        this.#journal.make({ kind: "route", destination: ALL_IPV6, table: nowhere, type });
      }
      this.#insideTables = {
        ipv4: isFullTunnel ? table : main,
        ipv6: isFullTunnel6 ? table : main,
      };
      this.setInside(settings.name, allInside);
      if (blocked.length > 0 || isFullTunnel6) {
        this.#addRules(AF_INET6, { table, mark, hasInside: isFullTunnel6, nowhere });
      }
      this.#watchDetours(settings.name, {
        mark,
        families: [
          ...isFullTunnel ? [AF_INET] as const : [],
          ...isFullTunnel6 || blocked.includes(ALL_IPV6) ? [AF_INET6] as const : [],
        ],
      });
      if (!isFullTunnel) return;
      this.#journal.makeSysctl(SRC_VALID_MARK, "1");
      this.#addRoute(index, { destination: defaultPrefix(AF_INET), table });
      this.#addRules(AF_INET, { table, mark, hasInside: true, nowhere: null });
    });
  }

  /** Has the tunnel lead to these single addresses in front of the host's own networks, and to no others. */
  setInside(interfaceName: string, addresses: readonly HostAddress[]): void {
    const tables = this.#insideTables;
    const link = this.#netlink.links.find(interfaceName);
    if (tables === null || link === null) return;
    const routeOf = (address: HostAddress) => ({
      destination: hostPrefix(address),
      table: isIpv6(address) ? tables.ipv6 : tables.ipv4,
    });
    for (const address of addresses) {
      if (this.#inside.has(address)) continue;
      this.#inside.add(address);
      this.#addRoute(link.index, routeOf(address));
    }
    for (const address of this.#inside) {
      if (addresses.includes(address)) continue;
      this.#inside.delete(address);
      this.#deleteRoute(link.index, routeOf(address));
    }
  }

  #watchDetours(
    device: string,
    { mark, families }: { readonly mark: number; readonly families: readonly AddressFamily[] },
  ): void {
    this.#detours = families.map((family) => new Detour({ family, device, mark }));
  }

  [Symbol.dispose](): void {
    this.#netlink[Symbol.dispose]();
    this.#strictNetlink[Symbol.dispose]();
  }

  #deleteRoute(link: number, route: LinkRoute): void {
    this.#routes.delete(keyOf(route));
    try {
      this.#netlink.routes.delete({ ...route, link });
    } catch (error) {
      if (!(error instanceof NetlinkError && error.errno === ESRCH)) throw error;
    }
  }

  #addRoute(index: number, route: LinkRoute): void {
    if (addLinkRoute(this.#strictNetlink, index, route)) {
      this.#routes.set(keyOf(route), route);
      return;
    }
    getLogger("upkeep").warn(
      "{network} is not reached through the tunnel: another interface has a route to the same network: " +
        "use different networks, or remove this one from AllowedIPs",
      { network: formatPrefix(route.destination) },
    );
  }

  /** The first table from this number on that has no routes, and no rule that points at it. */
  #freeTable(first: number): number {
    const { routes, rules } = this.#netlink;
    const taken = new Set([
      ...[...routes.list(), ...rules.list()].map(({ table }) => table),
      ...[RouteTable.default, RouteTable.main, RouteTable.local],
    ]);
    let table = first;
    while (taken.has(table)) table++;
    return table;
  }

  /**
   * Rules with priorities of their own, in front of all others but that for local addresses, where the kernel would put
   * them, too. Of rules that differ in nothing but priority, the end of one tunnel must not take another's.
   */
  #addRules(
    family: AddressFamily,
    { table, mark, hasInside, nowhere }: {
      readonly table: number;
      readonly mark: number;
      readonly hasInside: boolean;
      /** The table that leads nowhere; null for none. */
      readonly nowhere: number | null;
    },
  ): void {
    const isOwn = mark === 0 ? {} : { mark: { value: mark }, inverted: true };
    const rules: Omit<RuleSpec, "family" | "priority" | "protocol">[] = [
      // The tunnel's own default route does not count yet.
      ...hasInside ? [{ table, ...isOwn, suppressPrefixLength: 0 }] : [],
      { table: RouteTable.main, suppressPrefixLength: 0 },
      { table, ...isOwn },
      // The kernel takes an interface's IPv6 routes away when it is down for a moment, or IPv6 is off there, and what a
      // full tunnel carries must not leave in the clear until they are back. In the table of those routes, it would
      // hide the host's own networks meanwhile: what is unreachable is not suppressed. Not of IPv4, whose unreachable
      // routes are for sockets bound to another interface as well: these would be cut off all the time.
      ...nowhere === null ? [] : [{ table: nowhere, ...isOwn }],
    ];
    const used = this.#netlink.rules.list({ family }).map(({ priority }) => priority);
    const first = Math.min(MAIN_PRIORITY, ...used.filter((priority) => priority > 0));
    rules.forEach((rule, index) => {
      const priority = Math.max(1, first - rules.length + index);
      const protocol = RouteProtocol.kernel;
      this.#journal.make({ kind: "rule", rule: { family, priority, protocol, ...rule } });
    });
  }
}

function hostPrefix(address: HostAddress): IpPrefix {
  const bytes = addressBytes(address);
  return { address: bytes, length: 8 * bytes.length };
}

function keyOf({ destination, table }: LinkRoute): string {
  return `${formatPrefix(destination)} ${table}`;
}

/** The routes of networks by the TUN, but for those that its own addresses cover. */
function routesOf(
  { addresses, addresses6 }: InterfaceSettings,
  { networks, networks6, table }: RoutePlan["plain"],
): LinkRoute[] {
  return [
    ...networks.filter((network) => !addresses.some((own) => covers(own, network)))
      .map(({ address, prefixLength }) => ({
        destination: { address: ipv4FromNumber(address), length: prefixLength },
        table,
      })),
    ...networks6.filter((network) => !addresses6.some((own) => isWithin6(network, own)))
      .map((network) => ({ destination: parsePrefix(network), table })),
  ];
}
