/**
 * Segment limit: TCP's ends are told in each other's SYN to send no segments that the path to a peer does not take
 * (RFC 9293 section 3.7.1), as each of them knows its own link alone. A peer of another kind knows no more of the path,
 * and networks lose the ICMP that would say it.
 *
 * What its ends authenticate, options included, passes as it is: changed, it would be dropped by whom it is for, and no
 * connection made.
 */
import { clampMss } from "../nat/rewrite.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as tcp from "../wire/tcp.ts";

const OVERHEAD = ipv4.MIN_HEADER_SIZE + tcp.MIN_HEADER_SIZE;
const OVERHEAD6 = ipv6.HEADER_SIZE + tcp.MIN_HEADER_SIZE;

/** Limits the segments of whom a checked packet is for, if it is a SYN, to what fits `mtu` bytes. */
export function limitSegments(view: DataView, packet: number, mtu: number): void {
  if (ipv4.protocol(view, packet) !== ipv4.PROTOCOL_TCP) return;
  // A later fragment has no TCP header.
  if (ipv4.fragmentOffset(view, packet) !== 0) return;
  limit(view, packet + ipv4.headerSize(view, packet), mtu - OVERHEAD);
}

/** The same of IPv6; the segments may be shorter than what each link takes, so that nothing is divided outside. */
export function limitSegments6(view: DataView, packet: number, mtu: number): void {
  const upper = ipv6.upperLayer(view, packet);
  if (ipv6.protocolOf(upper) !== ipv4.PROTOCOL_TCP || ipv6.isLaterFragment(upper)) return;
  // RFC 4302 section 3.3.3: all that is behind the header. Of IPv4, that header is the protocol.
  if (ipv6.isAuthenticated(upper)) return;
  limit(view, packet + ipv6.headersSizeOf(upper), mtu - OVERHEAD6);
}

function limit(view: DataView, segment: number, size: number): void {
  if ((tcp.flags(view, segment) & tcp.FLAG_SYN) === 0 || tcp.isAuthenticated(view, segment)) return;
  clampMss(view, segment, size);
}
