/**
 * Egress plan: the choice of a gateway's way outside, the interface, its address and MTU, and what else the host is
 * attached to.
 */
import { type IpAddress, ipv4ToNumber } from "../../../ffi/netlink/ip_address.ts";
import { AF_INET } from "../../../ffi/socket_constants.ts";
import { RouteTable, RouteType } from "../../../ffi/netlink/routes.ts";
import type { Link } from "../../../ffi/netlink/links.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import type { ServerConfig } from "../../core/config/config.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { addressBytes, type HostAddress } from "../../core/wire/host_address.ts";
import type { HostSurroundings } from "../../core/access/egress_rules.ts";

const ETHERNET_HEADER_SIZE = 14;
/** No link has more: shorter prefixes are halves of a default route, which lead to the internet by a tunnel. */
export const MIN_NETWORK_LENGTH = 8;
const HOST_LENGTH = 32;
const LOOPBACK_NETWORK = 127;

/** Addresses far apart in the internet: nobody is asked anything there, only the host's routing tables are. */
const INTERNET: readonly IpAddress[] = [
  Uint8Array.of(45, 0, 0, 1),
  Uint8Array.of(101, 0, 0, 1),
  Uint8Array.of(185, 0, 0, 1),
];

/** What clients' packets have on their way outside, which routing rules look at. */
export interface EgressTraffic {
  /** Of packets that this host makes itself, as its own NAT does. */
  readonly mark?: number;
  /** Where packets that it forwards are from; they come by the tunnel. */
  readonly source?: HostAddress;
  /** The tunnel's name: it never leads outside. */
  readonly tunnel?: string;
}

/**
 * The interface named by `EgressInterface`, or else the one by which the kernel would send clients' packets to the
 * internet now, be it by the default route or by a routing rule to another table, as another VPN of this host's makes
 * it.
 *
 * @returns null where nothing is configured and no route leads there: the gateway then leads nowhere
 * @throws {ConfigError} where the configured interface is not there, or has no address
 */
export function findExternalLink(
  config: ServerConfig,
  netlink: Rtnetlink,
  traffic: EgressTraffic = {},
): ExternalLink | null {
  const wanted = config.interface.egressInterface;
  if (wanted === null) {
    const route = routeOutside(netlink, INTERNET, traffic);
    const link = route === null ? null : netlink.links.find(route.link);
    const address = route?.preferredSource ?? (link === null ? null : firstAddress(netlink, link));
    return link === null || address === null ? null : describeLink(link, ipv4ToNumber(address));
  }
  const link = netlink.links.find(wanted);
  if (link === null) throw unusable(config, wanted, "there is no such interface");
  const first = firstAddress(netlink, link);
  if (first === null) throw unusable(config, wanted, "it has no IPv4 address");
  const { mark = 0 } = traffic;
  const route = routeOutside(netlink, INTERNET, { mark }, link.index);
  return describeLink(link, ipv4ToNumber(route?.preferredSource ?? first));
}

function firstAddress(netlink: Rtnetlink, { index }: Link): IpAddress | null {
  return netlink.addresses.list({ family: AF_INET, link: index })[0]?.address ?? null;
}

export function describeLink<Address extends HostAddress>(
  link: Link,
  address: Address,
): ExternalLink<Address> {
  return {
    name: link.name,
    link: link.index,
    // Links without hardware addresses (PPP, tunnels) have no header that a packet socket would show.
    linkHeaderSize: link.hardwareAddress === null ? 0 : ETHERNET_HEADER_SIZE,
    address,
    mtu: link.mtu,
  };
}

export interface RouteOutside {
  /** Index of the interface. */
  readonly link: number;
  readonly preferredSource: IpAddress | null;
}

/**
 * By which most of some addresses of the internet are reached, so that a route to one of them alone decides nothing.
 */
export function routeOutside(
  netlink: Rtnetlink,
  internet: readonly IpAddress[],
  traffic: EgressTraffic,
  link: number | null = null,
): RouteOutside | null {
  const { mark = 0, source, tunnel } = traffic;
  const inputLink = tunnel === undefined ? null : netlink.links.find(tunnel)?.index ?? null;
  const routes = internet.map((destination) => {
    const forwarded = source === undefined || inputLink === null
      ? null
      : lookUp(netlink, destination, { inputLink, source: addressBytes(source) });
    // As long as nothing is forwarded, the kernel answers for packets of this host's own alone.
    if (forwarded === null) {
      return lookUp(netlink, destination, { mark, ...link !== null && { link } });
    }
    // Of a packet that is forwarded it says no address of this host's.
    const own = lookUp(netlink, destination, { link: forwarded.link });
    return { ...forwarded, preferredSource: own?.preferredSource ?? null };
  });
  const found = routes.filter((route) => route !== null).filter(({ link }) => link !== inputLink);
  const count = ({ link }: RouteOutside) => found.filter((other) => other.link === link).length;
  return found.toSorted((a, b) => count(b) - count(a)).at(0) ?? null;
}

/** The kernel's own answer; null where no route leads there. */
function lookUp(
  netlink: Rtnetlink,
  destination: IpAddress,
  options: {
    readonly mark?: number;
    readonly link?: number;
    readonly inputLink?: number;
    readonly source?: IpAddress;
  },
): RouteOutside | null {
  try {
    const { type, link, preferredSource } = netlink.routes.lookup(destination, options);
    return type === RouteType.unicast && link !== null ? { link, preferredSource } : null;
  } catch (error) {
    if (error instanceof NetlinkError) return null;
    throw error;
  }
}

/** What the host is attached to, and where its routes lead, but for the tunnel: what the egress rules are made from. */
export function hostSurroundings(
  netlink: Rtnetlink,
  { external, tunnel, virtual = [] }: {
    readonly external: ExternalLink | null;
    readonly tunnel: string;
    /** Addresses of published services, host order. */
    readonly virtual?: readonly number[];
  },
): HostSurroundings {
  const tunnelLink = netlink.links.find(tunnel)?.index ?? null;
  const addresses = netlink.addresses.list({ family: AF_INET })
    .filter(({ link }) => link !== tunnelLink);
  const routes = netlink.routes.list({ family: AF_INET, table: RouteTable.main })
    .filter(({ type }) => type === RouteType.unicast)
    .sort((a, b) => a.metric - b.metric)
    .flatMap(({ destination: { address, length }, link, gateway }) =>
      link === null || link === tunnelLink ||
        // A routing rule may have the internet elsewhere than this table does.
        (length === 0 && link !== external?.link)
        ? []
        : [{ address: ipv4ToNumber(address), prefixLength: length, link, gateway }]
    );
  const own = new Set(addresses.map(({ address }) => ipv4ToNumber(address)));
  // What a route alone makes this host's (AnyIP): with `Egress = kernel`, it would be delivered here.
  const local = netlink.routes.list({ family: AF_INET, table: RouteTable.local })
    .filter(({ type, link }) => type === RouteType.local && link !== tunnelLink)
    .map(({ destination: { address, length } }) => ({
      address: ipv4ToNumber(address),
      prefixLength: length,
    }))
    .filter(({ address, prefixLength }) =>
      address >>> 24 !== LOOPBACK_NETWORK && (prefixLength < HOST_LENGTH || !own.has(address))
    );
  return {
    external: external === null ? null : { address: external.address, link: external.link },
    addresses: addresses.map(({ address }) => ipv4ToNumber(address)),
    virtual,
    networks: [
      ...addresses.map(({ address, prefixLength, peer }) => ({
        address: ipv4ToNumber(peer ?? address),
        prefixLength,
      })),
      // Where an address stands for itself alone, as in many clouds, a route says what else is on the link.
      ...routes.filter(({ gateway, prefixLength }) =>
        gateway === null && prefixLength >= MIN_NETWORK_LENGTH
      ),
      ...local,
    ],
    routes,
  };
}

function unusable(config: ServerConfig, name: string, reason: string): ConfigError {
  const line = config.interface.lines.get("EgressInterface");
  return new ConfigError(
    `${config.fileName}:${line}: EgressInterface: cannot use "${name}": ${reason}`,
  );
}
