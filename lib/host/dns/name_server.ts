/**
 * Name servers: resolvers as `resolv.conf` names them. A link-local address, as routers advertise it for themselves
 * (RFC 8106 section 5.1), is one with its interface alone, as in `fe80::1%eth0` (RFC 4007 section 11).
 */
import { openLibc } from "../../../ffi/libc.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { type HostAddress, isIpv6, parseAddress } from "../../core/wire/host_address.ts";
import { isWithin6, LINK_LOCAL6 } from "../../core/wire/ipv6_prefix.ts";

export interface NameServer {
  readonly address: HostAddress;
  /** Index of the interface that a link-local address is on; left out for any other address. */
  readonly link?: number;
}

/** The resolvers that texts name; without those whose text is no address, or whose interface is not there. */
export function nameServersIn(texts: readonly string[]): NameServer[] {
  return texts.flatMap((text) => {
    const [host = "", zone] = text.split("%");
    const address = parseAddress(host);
    if (address === null) return [];
    if (!isIpv6(address) || !isWithin6(`${address}/128`, LINK_LOCAL6)) return [{ address }];
    const link = zone === undefined ? null : linkOf(zone);
    return link === null ? [] : [{ address, link }];
  });
}

/** The index of an interface, of which the text is the name or the index. */
function linkOf(zone: string): number | null {
  using netlink = Rtnetlink.open(openLibc());
  const links = netlink.links.list();
  return links.find(({ name, index }) => name === zone || `${index}` === zone)?.index ?? null;
}
