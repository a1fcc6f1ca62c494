/** What an ICMP error quotes: the beginning of the packet that it is about (RFC 792, RFC 4443 section 3). */
import * as icmp from "../wire/icmp.ts";
import * as icmpv6 from "../wire/icmpv6.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";

/** Of a packet that is no ICMP error. */
export const NO_ERROR = 0;
/**
 * Of an error that does not show whose packet it is about: cut off, of the other family, or in fragments, which no
 * router sends (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c)) and of which others could replace the quote.
 */
export const UNCLEAR = -1;

/** Where what the checked packet of IPv4 at `packet` quotes begins, with a whole IP header; or one of those above. */
export function quotedPacket(view: DataView, packet: number): number {
  if (ipv4.protocol(view, packet) !== ipv4.PROTOCOL_ICMP) return NO_ERROR;
  if (ipv4.fragmentOffset(view, packet) !== 0) return NO_ERROR;
  const message = packet + ipv4.headerSize(view, packet);
  if (!icmp.isError(icmp.type(view, message))) return NO_ERROR;
  const quoted = message + icmp.HEADER_SIZE;
  const end = packet + ipv4.totalLength(view, packet);
  const isClear = !ipv4.moreFragments(view, packet) &&
    quoted + ipv4.MIN_HEADER_SIZE <= end && ipv4.version(view, quoted) === 4;
  return isClear ? quoted : UNCLEAR;
}

/** The same of IPv6. */
export function quotedPacket6(view: DataView, packet: number): number {
  const upper = ipv6.upperLayer(view, packet);
  if (ipv6.protocolOf(upper) !== ipv6.PROTOCOL_ICMPV6 || ipv6.isLaterFragment(upper)) {
    return NO_ERROR;
  }
  const message = packet + ipv6.headersSizeOf(upper);
  if (!icmpv6.isError(icmpv6.type(view, message))) return NO_ERROR;
  const quoted = message + icmpv6.HEADER_SIZE;
  const end = packet + ipv6.totalLength(view, packet);
  const isClear = !ipv6.isFragment(upper) &&
    quoted + ipv6.HEADER_SIZE <= end && ipv6.isIpv6(view, quoted);
  return isClear ? quoted : UNCLEAR;
}
