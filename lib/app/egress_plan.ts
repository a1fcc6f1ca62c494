/** Egress plan: the choice of a gateway's way outside, the interface, its address and MTU, and what else the host is attached to. */
import { AF_INET, ipv4ToNumber } from "../../ffi/netlink/ip_address.ts";
import { RouteTable, RouteType } from "../../ffi/netlink/routes.ts";
import type { Link } from "../../ffi/netlink/links.ts";
import type { Rtnetlink } from "../../ffi/netlink/rtnetlink.ts";
import type { ServerConfig } from "../config/config.ts";
import { ConfigError } from "../config/config_error.ts";
import type { HostSurroundings } from "../egress_rules.ts";

const ETHERNET_HEADER_SIZE = 14;
/** No link has more: shorter prefixes are halves of a default route, which lead to the internet by a tunnel. */
const MIN_NETWORK_LENGTH = 8;

/** Kinds of a bridge's ports behind which a guest of the host is: a container, a virtual machine, one of those elsewhere. */
const GUEST_KINDS: readonly (string | null)[] = ["veth", "tun", "vxlan"];

/** The interface that leads outside. */
export interface ExternalLink {
  readonly name: string;
  /** Its index. */
  readonly link: number;
  /** Bytes of its link-layer header. */
  readonly linkHeaderSize: number;
  /** Host order. */
  readonly address: number;
  /** Bytes. */
  readonly mtu: number;
}

/**
 * The interface named by `EgressInterface`, or else the one with the default route.
 *
 * @returns null where nothing is configured and there is no default route: the gateway then leads nowhere
 * @throws {ConfigError} where the configured interface is not there, or has no address
 */
export function findExternalLink(config: ServerConfig, netlink: Rtnetlink): ExternalLink | null {
  const wanted = config.interface.egressInterface;
  const route = defaultRoute(netlink);
  const found = wanted !== null
    ? netlink.links.find(wanted)
    : route === undefined || route.link === null
    ? null
    : netlink.links.find(route.link);
  if (found === null) {
    if (wanted === null) return null;
    throw unusable(config, wanted, "there is no such interface");
  }
  const preferred = route?.link === found.index ? route.preferredSource : null;
  const first = netlink.addresses.list({ family: AF_INET, link: found.index })[0]?.address;
  const address = preferred ?? first;
  if (address === undefined) {
    if (wanted === null) return null;
    throw unusable(config, wanted, "it has no IPv4 address");
  }
  return {
    name: found.name,
    link: found.index,
    // Links without hardware addresses (PPP, tunnels) have no header that a packet socket would show.
    linkHeaderSize: found.hardwareAddress === null ? 0 : ETHERNET_HEADER_SIZE,
    address: ipv4ToNumber(address),
    mtu: found.mtu,
  };
}

/** What the host is attached to, and where its routes lead, but for the tunnel: what the egress rules are made from. */
export function hostSurroundings(
  netlink: Rtnetlink,
  { external, tunnel }: { readonly external: ExternalLink; readonly tunnel: string },
): HostSurroundings {
  const tunnelLink = netlink.links.find(tunnel)?.index ?? null;
  const addresses = netlink.addresses.list({ family: AF_INET })
    .filter(({ link }) => link !== tunnelLink);
  const routes = netlink.routes.list({ family: AF_INET, table: RouteTable.main })
    .filter(({ type }) => type === RouteType.unicast)
    .sort((a, b) => a.metric - b.metric)
    .flatMap(({ destination: { address, length }, link, gateway }) =>
      link === null || link === tunnelLink
        ? []
        : [{ address: ipv4ToNumber(address), prefixLength: length, link, gateway }]
    );
  return {
    external: { address: external.address, link: external.link },
    addresses: addresses.map(({ address }) => ipv4ToNumber(address)),
    networks: [
      ...addresses.map(({ address, prefixLength, peer }) => ({
        address: ipv4ToNumber(peer ?? address),
        prefixLength,
      })),
      // Where an address stands for itself alone, as in many clouds, a route says what else is on the link.
      ...routes.filter(({ gateway, prefixLength }) =>
        gateway === null && prefixLength >= MIN_NETWORK_LENGTH
      ),
    ],
    routes,
  };
}

/** Names of the bridges that no link to others is a port of. */
export function guestBridges(links: readonly Link[]): string[] {
  return links
    .filter(({ kind, index }) =>
      kind === "bridge" &&
      links.every((link) => link.master !== index || GUEST_KINDS.includes(link.kind))
    )
    .map(({ name }) => name);
}

/** The default route that the host prefers. */
function defaultRoute(netlink: Rtnetlink) {
  return netlink.routes.list({ family: AF_INET, table: RouteTable.main })
    .filter(({ destination, link }) => destination.length === 0 && link !== null)
    .sort((a, b) => a.metric - b.metric)
    .at(0);
}

function unusable(config: ServerConfig, name: string, reason: string): ConfigError {
  const line = config.interface.lines.get("EgressInterface");
  return new ConfigError(
    `${config.fileName}:${line}: EgressInterface: cannot use "${name}": ${reason}`,
  );
}
