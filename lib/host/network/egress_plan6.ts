/** Egress plan of IPv6: the interface by which a gateway reaches the internet, and what else is there. */
import { AF_INET6 } from "../../../ffi/socket_constants.ts";
import { formatIp, type IpAddress } from "../../../ffi/netlink/ip_address.ts";
import { RouteTable, RouteType } from "../../../ffi/netlink/routes.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { HostSurroundings } from "../../core/access/egress_rules.ts";
import type { ServerConfig } from "../../core/config/config.ts";
import { isNat66 } from "../../core/config/egress6.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import { addressBytes, type Ipv6Text } from "../../core/wire/host_address.ts";
import { addressOf6, type Ipv6Prefix } from "../../core/wire/ipv6_prefix.ts";
import * as ipv6 from "../../core/wire/ipv6.ts";
import {
  describeLink,
  type EgressTraffic,
  MIN_NETWORK_LENGTH,
  routeOutside,
} from "./egress_plan.ts";

/** Addresses far apart in the internet, of different registries: nobody is asked anything there. */
const INTERNET6: readonly IpAddress[] = ["2400::1", "2600::1", "2a00::1"].map(addressBytes);

/** The interface that leads outside by IPv6, and the address that packets of this host leave there with. */
export type ExternalLink6 = ExternalLink<Ipv6Text>;

/**
 * The interface named by `EgressInterface`, if a route leads to the internet there, or else the one by which the kernel
 * would send or forward clients' packets now.
 *
 * @param tunnel the tunnel's name: it never leads outside
 * @param mark that of packets which the gateway's own NAT sends
 * @returns null where there is none, or, with a NAT, no address but the tunnel's own
 */
export function findExternalLink6(
  { interface: section }: ServerConfig,
  netlink: Rtnetlink,
  { tunnel, mark }: { readonly tunnel: string; readonly mark: number },
): ExternalLink6 | null {
  const { egressInterface, egress6, addresses6 } = section;
  const wanted = egressInterface === null ? null : netlink.links.find(egressInterface);
  if (egressInterface !== null && wanted === null) return null;
  const sent: EgressTraffic = isNat66(section)
    ? { mark }
    : wanted === null
    ? { source: addressOf6(addresses6[0]!) }
    : {};
  const traffic = wanted === null ? { ...sent, tunnel } : sent;
  const route = routeOutside(netlink, INTERNET6, traffic, wanted?.index ?? null);
  const link = route === null ? null : netlink.links.find(route.link);
  if (link === null || link.name === tunnel || !route?.preferredSource) return null;
  const address = formatIp(route.preferredSource);
  const isOutside = !isMartian(route.preferredSource) &&
    !addresses6.map(addressOf6).includes(address);
  if (egress6 === "nat" && !isOutside) return null;
  return describeLink(link, address);
}

/** The interface, and the address of it, by which this host's own packets reach the internet; null for none. */
export function findEntrance6(netlink: Rtnetlink): ExternalLink6 | null {
  const route = routeOutside(netlink, INTERNET6, {}, null);
  const link = route === null ? null : netlink.links.find(route.link);
  if (link === null || !route?.preferredSource || isMartian(route.preferredSource)) return null;
  return describeLink(link, formatIp(route.preferredSource));
}

/** What the host is attached to by IPv6, and where its routes lead, but for the tunnel, and without link-local ones. */
export function hostSurroundings6(
  netlink: Rtnetlink,
  { external, tunnel }: { readonly external: ExternalLink6 | null; readonly tunnel: string },
): HostSurroundings<Ipv6Text> {
  const tunnelLink = netlink.links.find(tunnel)?.index ?? null;
  const addresses = netlink.addresses.list({ family: AF_INET6 })
    .filter(({ link, address }) => link !== tunnelLink && !isMartian(address));
  // Not only addresses: of each network, a host that forwards has the routers' as well (RFC 4291 section 2.6.1).
  const local = netlink.routes.list({ family: AF_INET6, table: RouteTable.local })
    .filter(({ type, link, destination: { address } }) =>
      (type === RouteType.local || type === RouteType.anycast) && link !== tunnelLink &&
      !isMartian(address)
    );
  const routes = netlink.routes.list({ family: AF_INET6, table: RouteTable.main })
    .filter(({ type }) => type === RouteType.unicast)
    .sort((a, b) => a.metric - b.metric)
    .flatMap(({ destination: { address, length }, link, gateway }) =>
      link === null || link === tunnelLink || (length > 0 && isMartian(address)) ||
        // A routing rule may have the internet elsewhere than this table does.
        (length === 0 && link !== external?.link)
        ? []
        : [{ address: formatIp(address), prefixLength: length, link, gateway }]
    );
  return {
    external,
    addresses: addresses.map(({ address }) => formatIp(address)),
    local: local.map(({ destination: { address, length } }) => ({
      address: formatIp(address),
      prefixLength: length,
    })),
    networks: [
      ...addresses.map(({ address, prefixLength, peer }): Ipv6Prefix => ({
        address: formatIp(peer ?? address),
        prefixLength,
      })),
      ...routes.filter(({ gateway, prefixLength }) =>
        gateway === null && prefixLength >= MIN_NETWORK_LENGTH
      ),
    ],
    routes,
  };
}

function isMartian({ buffer, byteOffset }: IpAddress): boolean {
  return ipv6.isMartian(new DataView(buffer, byteOffset), 0);
}
