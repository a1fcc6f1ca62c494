/** Own place: where this host is in a network, and the address that it has there or gets. */
import { EADDRNOTAVAIL } from "../../../ffi/errno.ts";
import { ipv4FromNumber, ipv4ToNumber } from "../../../ffi/netlink/ip_address.ts";
import { RouteTable } from "../../../ffi/netlink/routes.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { AF_INET } from "../../../ffi/socket_constants.ts";
import { type Ipv4Prefix, prefixMask } from "../../core/wire/ipv4_text.ts";

export interface OwnPlace {
  /** Index and name of the interface. */
  readonly link: number;
  readonly device: string;
  /** The address there, host order. */
  readonly address: number;
}

/**
 * Where this host is in a network.
 *
 * @param network an address in it, which is none that counts, and its length
 * @param except the index of an interface that does not count
 */
export function ownPlace(netlink: Rtnetlink, network: Ipv4Prefix, except: number): OwnPlace | null {
  for (const { address: bytes, link } of netlink.addresses.list({ family: AF_INET })) {
    const address = ipv4ToNumber(bytes);
    if (link === except || address === network.address) continue;
    if (!covers(network, { address, prefixLength: 32 })) continue;
    return { link, device: netlink.links.get(link).name, address };
  }
  return null;
}

/** The interface of this host that has an address; null for none. */
export function deviceWith(netlink: Rtnetlink, address: number): string | null {
  const found = netlink.addresses.list({ family: AF_INET })
    .find((each) => ipv4ToNumber(each.address) === address);
  return found === undefined ? null : netlink.links.get(found.link).name;
}

/** Seconds after which the kernel takes an address of `setOwn()` off that is not set again. */
const LIFETIME = 5;

/**
 * Gives an interface (an index) an address of a host alone, for five seconds from each call, or takes it away: what is
 * so already is no error.
 */
export function setOwn(
  netlink: Rtnetlink,
  link: number,
  { address, isHere }: { readonly address: number; readonly isHere: boolean },
): void {
  const spec = { address: ipv4FromNumber(address), prefixLength: 32 };
  try {
    if (isHere) netlink.addresses.replace(link, { ...spec, lifetime: LIFETIME });
    else netlink.addresses.delete(link, spec);
  } catch (error) {
    if (!isHere && error instanceof NetlinkError && error.errno === EADDRNOTAVAIL) return;
    throw error;
  }
}

/** The network on an interface that an address is in. */
export function networkOf(netlink: Rtnetlink, address: number, link: number): Ipv4Prefix | null {
  const networks = netlink.routes.list({ family: AF_INET, table: RouteTable.main })
    .filter((route) => route.link === link && route.gateway === null)
    .map(({ destination }) => ({
      address: ipv4ToNumber(destination.address),
      prefixLength: destination.length,
    }))
    .filter((network) => network.prefixLength > 0 && covers(network, { address, prefixLength: 32 }))
    .sort((a, b) => b.prefixLength - a.prefixLength);
  return networks[0] ?? null;
}

/** Whether all of `inner` lies in the network of `outer`. */
export function covers(outer: Ipv4Prefix, inner: Ipv4Prefix): boolean {
  if (inner.prefixLength < outer.prefixLength) return false;
  const mask = prefixMask(outer.prefixLength);
  return ((outer.address ^ inner.address) & mask) === 0;
}
