/**
 * Fake-TCP path: what the host's routing says of the route to the other end: our address on it, and how long packets
 * may be.
 */
import { formatIp, type IpAddress, ipv4ToNumber } from "../../../ffi/netlink/ip_address.ts";
import { HardwareType } from "../../../ffi/netlink/links.ts";
import type { Route } from "../../../ffi/netlink/routes.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { addressBytes, type HostAddress } from "../../core/wire/host_address.ts";

/** Bytes of a path's MTU where no interface has any. */
const DEFAULT_PATH_MTU = 1500;

export interface PathOptions {
  /** Mark of fake TCP's segments; 0 for none. */
  readonly mark: number;
}

/** Our address on the way to another; null without a way. */
export function sourceTo(
  netlink: Rtnetlink,
  address: HostAddress,
  options: PathOptions,
): HostAddress | null {
  const source = routeTo(netlink, address, options)?.preferredSource ?? null;
  return source === null ? null : toHostAddress(source);
}

/** An address of the kernel's, by value. */
export function toHostAddress(address: IpAddress): HostAddress {
  return address.length === 4 ? ipv4ToNumber(address) : formatIp(address);
}

/** The longest packet in bytes that the way to an address takes at first sight. */
export function pathMtuTo(netlink: Rtnetlink, address: HostAddress, options: PathOptions): number {
  const route = routeTo(netlink, address, options);
  const link = netlink.links.list().find(({ index }) => index === route?.link);
  // What ICMP has told the kernel of another connection to that host may be forged.
  const configured = route?.mtuIsLearnt === true ? null : route?.mtu;
  return configured ?? link?.mtu ?? DEFAULT_PATH_MTU;
}

/** The longest that any of the host's wires takes, for those who write to it from wherever. */
export function widestMtu(netlink: Rtnetlink): number {
  const wires = netlink.links.list().filter(({ hardwareType }) =>
    hardwareType === HardwareType.ethernet
  );
  return wires.length === 0 ? DEFAULT_PATH_MTU : Math.max(...wires.map(({ mtu }) => mtu));
}

function routeTo(netlink: Rtnetlink, address: HostAddress, { mark }: PathOptions): Route | null {
  try {
    return netlink.routes.lookup(addressBytes(address), { mark });
  } catch (error) {
    if (error instanceof NetlinkError) return null;
    throw error;
  }
}
