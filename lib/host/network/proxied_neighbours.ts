/**
 * Proxied neighbours: addresses of clients that a gateway answers for on its uplink (RFC 4389), where the router there
 * takes the whole prefix for its own link and asks for each address.
 */
import { AF_INET6 } from "../../../ffi/socket_constants.ts";
import { formatIp, parseIp } from "../../../ffi/netlink/ip_address.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import type { Ipv6Text } from "../../core/wire/host_address.ts";

/** IPv6 addresses that this host answers for on an interface, as if they were its own. */
export interface ProxiedNeighboursChange {
  readonly kind: "proxied-neighbours";
  readonly device: string;
  readonly addresses: readonly Ipv6Text[];
}

export function makeProxies(
  { device, addresses }: ProxiedNeighboursChange,
  { links, neighbours }: Rtnetlink,
): void {
  const { index } = links.get(device);
  for (const address of addresses) neighbours.addProxy({ link: index, address: parseIp(address) });
}

/** Those that are gone are no error, and all are, with the interface. */
export function undoProxies(
  { device, addresses }: ProxiedNeighboursChange,
  { links, neighbours }: Rtnetlink,
): void {
  const link = links.find(device);
  if (link === null) return;
  for (const address of addresses) {
    try {
      neighbours.deleteProxy({ link: link.index, address: parseIp(address) });
    } catch (error) {
      if (!(error instanceof NetlinkError && error.code === "ENOENT")) throw error;
    }
  }
}

/** Whether nothing is to be put back. */
export function areProxiesInPlace(
  { device, addresses }: ProxiedNeighboursChange,
  { links, neighbours }: Rtnetlink,
): boolean {
  const link = links.find(device);
  if (link === null) return true;
  const there = new Set(neighbours.listProxies(AF_INET6, link.index).map(formatIp));
  return addresses.every((address) => there.has(address));
}
