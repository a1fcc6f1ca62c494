/**
 * Route plan: decides what goes through the tunnel and by which kind of routing, and refuses networks that would cut a
 * client's tunnel off from its own server.
 */
import type { ClientConfig, PeerConfig, ServerConfig } from "../../core/config/config.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import {
  isAllIpv4,
  isWithin,
  outermostOf,
  withoutRepetitions,
} from "../../core/config/values/networks.ts";
import {
  formatAddress,
  type HostAddress,
  type Ipv6Text,
  isIpv6,
} from "../../core/wire/host_address.ts";
import { formatCidr, type Ipv4Prefix } from "../../core/wire/ipv4_text.ts";
import {
  addressOf6,
  ALL_IPV6,
  type Ipv6PrefixText,
  isAllIpv6,
  isWithin6,
  LINK_LOCAL6,
  outermostOf6,
  splitCidr6,
} from "../../core/wire/ipv6_prefix.ts";

/** The mark of the tunnel's own datagrams where `FwMark` gives none: the number that wg-quick starts from. */
export const DEFAULT_MARK = 51820;
/** RT_TABLE_MAIN (linux/rtnetlink.h). */
const MAIN_TABLE = 254;
/** A resolver on this host. */
const LOOPBACK_NETWORK = 127;
const LOOPBACK6 = "::1";

export interface RoutePlan {
  /** SO_MARK of the tunnel's own datagrams; 0 for none. */
  readonly mark: number;
  /** Whether all IPv4 traffic is sent through the tunnel, by policy routing. */
  readonly isFullTunnel: boolean;
  /** The same of IPv6. */
  readonly isFullTunnel6: boolean;
  /**
   * Single addresses, host order, that the tunnel leads to whatever networks the host is in: the resolvers, and under a
   * full tunnel those that `AllowedIPs` names, as the gateway's inner one.
   */
  readonly inside: readonly number[];
  /** The same of IPv6. */
  readonly inside6: readonly Ipv6Text[];
  /** The networks that get plain routes by the TUN, and where. */
  readonly plain: {
    readonly networks: readonly Ipv4Prefix[];
    readonly networks6: readonly Ipv6PrefixText[];
    readonly table: number;
  };
  /** IPv6 networks, as text, that are made unreachable: the tunnel does not carry them, and nothing else shall. */
  readonly blocked6: readonly string[];
}

/** How the host reaches the server before anything is changed. */
export interface WayOutside {
  /** Name of the interface. */
  readonly device: string;
  /** The network on that interface which the server, or the gateway to it, is in; null where there is none. */
  readonly network: Ipv4Prefix | null;
}

/** What the configuration asks for. */
export function planRoutes(config: ClientConfig): RoutePlan {
  const { table, fwMark, killSwitch, allowIpv6, addresses6 } = config.interface;
  const allowedIps6 = [...new Set(config.allowedIps6)];
  const carried6 = addresses6.length > 0 ? allowedIps6 : [];
  const allowedIps = withoutRepetitions(config.allowedIps);
  const given = fwMark ?? 0;
  // As in wg-quick, `off` and a table of one's own mean routing of one's own choice: a default route is then one like
  // others.
  if (table !== "auto") {
    return {
      mark: given === 0 && killSwitch ? DEFAULT_MARK : given,
      isFullTunnel: false,
      isFullTunnel6: false,
      inside: [],
      inside6: [],
      plain: table === "off"
        ? { networks: [], networks6: [], table: MAIN_TABLE }
        : { networks: allowedIps, networks6: carried6, table },
      blocked6: [],
    };
  }
  const outermost = outermostOf(allowedIps);
  const isFullTunnel = isAllIpv4(allowedIps);
  const isFullTunnel6 = isAllIpv6(carried6);
  const outermost6 = outermostOf6(carried6);
  // Of what is carried, the rest is blocked: more specific networks keep their routes.
  const unwanted6 = isFullTunnel ? [ALL_IPV6] : addresses6.length > 0 ? [] : allowedIps6;
  const blocked6 = allowIpv6 || isFullTunnel6 ? [] : unwanted6;
  // What is blocked may contain the server.
  const mayBlockServer = blocked6.length > 0 &&
    config.endpoints.some(({ address }) => typeof address !== "number");
  return {
    mark: given === 0 && (isFullTunnel || isFullTunnel6 || killSwitch || mayBlockServer)
      ? DEFAULT_MARK
      : given,
    isFullTunnel,
    isFullTunnel6,
    inside: insideOf(config.interface, { allowedIps, isFullTunnel }),
    inside6: insideOf6(config.interface, { carried6, isFullTunnel6 }),
    plain: {
      networks: isFullTunnel
        ? allowedIps.filter((prefix) => !outermost.includes(prefix) && prefix.prefixLength < 32)
        : allowedIps,
      networks6: isFullTunnel6
        ? carried6.filter((prefix) =>
          !outermost6.includes(prefix) && splitCidr6(prefix).prefixLength < 128
        )
        : carried6,
      table: MAIN_TABLE,
    },
    blocked6,
  };
}

function insideOf(
  { addresses, dns }: ClientConfig["interface"],
  { allowedIps, isFullTunnel }: {
    readonly allowedIps: readonly Ipv4Prefix[];
    readonly isFullTunnel: boolean;
  },
): number[] {
  const named = allowedIps.filter(({ prefixLength }) => prefixLength === 32)
    .map(({ address }) => address);
  const own = addresses.map(({ address }) => address);
  // Without a full tunnel, those that are named have routes already, and a resolver may be outside.
  const isInside = (address: number) =>
    isFullTunnel ||
    !named.includes(address) &&
      allowedIps.some((network) => isWithin({ address, prefixLength: 32 }, network));
  return [...new Set([...isFullTunnel ? named : [], ...dns.filter(isInside)])]
    .filter((address) => !own.includes(address) && address >>> 24 !== LOOPBACK_NETWORK);
}

function insideOf6(
  { addresses6, dns6 }: ClientConfig["interface"],
  { carried6, isFullTunnel6 }: {
    readonly carried6: readonly Ipv6PrefixText[];
    readonly isFullTunnel6: boolean;
  },
): Ipv6Text[] {
  const named = carried6.filter((prefix) => splitCidr6(prefix).prefixLength === 128).map(
    addressOf6,
  );
  const own = addresses6.map(addressOf6);
  const isInside = (address: Ipv6Text) =>
    isFullTunnel6 ||
    !named.includes(address) &&
      carried6.some((network) => isWithin6(`${address}/128`, network));
  const isOfHost = (address: Ipv6Text) =>
    own.includes(address) || address === LOOPBACK6 || isWithin6(`${address}/128`, LINK_LOCAL6);
  return [...new Set([...isFullTunnel6 ? named : [], ...dns6.filter(isInside)])]
    .filter((address) => !isOfHost(address));
}

/**
 * The routes of a gateway to its peers' networks. A default route is not among them: the host's own is never replaced,
 * and it is what the gateway is reached by.
 */
export function planPeerRoutes(
  config: {
    readonly interface: Pick<ServerConfig["interface"], "table" | "addresses6">;
    readonly peers: readonly Pick<PeerConfig, "allowedIps" | "allowedIps6">[];
  },
): RoutePlan["plain"] {
  const { table, addresses6 } = config.interface;
  if (table === "off") return { networks: [], networks6: [], table: MAIN_TABLE };
  const networks = config.peers.flatMap(({ allowedIps }) => allowedIps);
  const networks6 = addresses6.length === 0
    ? []
    : config.peers.flatMap(({ allowedIps6 }) => allowedIps6);
  if (table !== "auto" && table !== MAIN_TABLE) return { networks, networks6, table };
  return {
    networks: networks.filter(({ prefixLength }) => prefixLength > 0),
    networks6: networks6.filter((network) => splitCidr6(network).prefixLength > 0),
    table: MAIN_TABLE,
  };
}

/** What a user may not expect of the plan, one line each, beginning with file and line. */
export function routeWarnings(config: ClientConfig, plan: RoutePlan): string[] {
  const { killSwitch, allowIpv6, lines } = config.interface;
  if (!killSwitch) return [];
  const warning = (key: string, text: string) =>
    `${config.fileName}:${lines.get(key)}: ${key}: ${text}`;
  return [
    ...plan.isFullTunnel || plan.isFullTunnel6
      ? []
      : [warning("KillSwitch", "blocks everything that AllowedIPs do not cover")],
    ...allowIpv6 ? [warning("AllowIPv6", "has no effect with KillSwitch = on")] : [],
  ];
}

/**
 * Refuses what would lead the tunnel's datagrams into the tunnel: a plain route that covers the server, and one that
 * overlaps the network which the server is reached through. Policy routing and tables of one's own are no danger.
 *
 * @param server its address
 * @throws {ConfigError} that names both
 */
export function requireReachableOutside(
  config: ClientConfig,
  { plan, server, way }: {
    readonly plan: RoutePlan;
    readonly server: HostAddress;
    readonly way: WayOutside | null;
  },
): void {
  const own = isIpv6(server) ? null : { address: server, prefixLength: 32 };
  const refuse = (key: string, prefix: Ipv4Prefix, remedy: string) => {
    const owner = config.peers.find(({ allowedIps }) => allowedIps.includes(prefix));
    const line = key === "Address" ? config.interface.lines.get(key) : owner?.line;
    const place = `${config.fileName}:${line}: ${key}: cannot use "${formatCidr(prefix)}"`;
    if (own !== null && isWithin(own, prefix)) {
      throw new ConfigError(
        `${place}: it contains the server's own address ${formatAddress(server)}; ${remedy}`,
      );
    }
    const network = way?.network ?? null;
    if (network === null || !(isWithin(prefix, network) || isWithin(network, prefix))) return;
    throw new ConfigError(
      `${place}: it overlaps ${formatCidr(network)} on ${
        way!.device
      }, the network by which the server ` +
        `${formatAddress(server)} is reached; ${remedy}`,
    );
  };
  if (isIpv6(server)) requireReachable6(config, plan, server);
  // The kernel makes a route of each address that is more than one.
  for (const address of config.interface.addresses) {
    if (address.prefixLength === 32) continue;
    refuse("Address", address, "give the tunnel another network, or a /32");
  }
  if (plan.plain.table !== MAIN_TABLE) return;
  for (const network of plan.plain.networks) {
    const remedy = network.prefixLength === 0
      ? `remove Table (line ${config.interface.lines.get("Table")}) for a full tunnel`
      : "remove it, or use 0.0.0.0/0 for a full tunnel";
    refuse("AllowedIPs", network, remedy);
  }
}

/** The same of a server's IPv6 address: the networks that the tunnel itself leads to may not contain it. */
function requireReachable6(config: ClientConfig, plan: RoutePlan, server: HostAddress): void {
  const { addresses6, lines } = config.interface;
  const refuse = (
    line: number | undefined,
    key: string,
    network: Ipv6PrefixText,
    remedy: string,
  ) => {
    if (!isWithin6(`${formatAddress(server)}/128`, network)) return;
    throw new ConfigError(
      `${config.fileName}:${line}: ${key}: cannot use "${network}": it contains the server's own address ` +
        `${formatAddress(server)}; ${remedy}`,
    );
  };
  for (const address of addresses6) {
    if (splitCidr6(address).prefixLength === 128) continue;
    refuse(lines.get("Address"), "Address", address, "give the tunnel another network, or a /128");
  }
  if (plan.plain.table !== MAIN_TABLE) return;
  for (const network of plan.plain.networks6) {
    const owner = config.peers.find(({ allowedIps6 }) => allowedIps6.includes(network));
    refuse(owner?.line, "AllowedIPs", network, "remove it, or use ::/0 for a full tunnel");
  }
}

/**
 * The addresses that the tunnel would not take away from itself.
 *
 * @param require throws for one that it would
 * @throws {Error} what it throws for the first, where it would all
 */
export function reachableOutside(
  addresses: readonly HostAddress[],
  require: (address: HostAddress) => void,
): readonly HostAddress[] {
  const errors: unknown[] = [];
  const reachable = addresses.filter((address) => {
    try {
      require(address);
      return true;
    } catch (error) {
      errors.push(error);
      return false;
    }
  });
  if (reachable.length === 0) throw errors[0];
  return reachable;
}
