/**
 * IPv6 header (RFC 8200 section 3), its extension headers, and the checks that a packet passes at both boundaries of a
 * tunnel that has an IPv6 address.
 *
 * Call `checkIpv6` once; behind it every accessor here, and those of the transport header, read bytes that are there.
 * Import as a namespace: the accessors have the names of the fields.
 *
 * ```text
 *   0 version, 4 bits; traffic class, 8 bits; flow label, 20 bits
 *   4 payload length 2    6 next header   7 hop limit
 *   8 source address 16  24 destination address 16
 *  40 extension headers, then the payload
 * ```
 */
import { DropReason } from "./drop_reason.ts";
import * as icmpv6 from "./icmpv6.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "./ipv4.ts";
import * as tcp from "./tcp.ts";
import * as udp from "./udp.ts";

export const PAYLOAD_LENGTH_OFFSET = 4;
export const NEXT_HEADER_OFFSET = 6;
export const HOP_LIMIT_OFFSET = 7;
export const SOURCE_ADDRESS_OFFSET = 8;
export const DESTINATION_ADDRESS_OFFSET = 24;
/** Bytes of the header without extension headers. */
export const HEADER_SIZE = 40;
/** Bytes of both addresses, which stand side by side. */
export const ADDRESSES_SIZE = 32;
/** Bytes that every link takes (RFC 8200 section 5). */
export const MIN_LINK_MTU = 1280;

export const PROTOCOL_ICMPV6 = 58;
const HOP_BY_HOP = 0;
export const ROUTING = 43;
export const FRAGMENT = 44;
export const AUTHENTICATION = 51;
export const DESTINATION_OPTIONS = 60;

/** More than any sender needs, and few enough that a long chain costs nothing (RFC 8504 section 5.3). */
const MAX_EXTENSION_HEADERS = 8;
/** Bytes of the fragment header, and what its uint16 at 2 says. */
export const FRAGMENT_HEADER_SIZE = 8;
const FRAGMENT_OFFSET_MASK = 0xfff8;
const MORE_FRAGMENTS = 1;
/** Of a routing header that lists the way itself (RFC 5095). */
const ROUTING_TYPE_SOURCE_ROUTE = 0;

/** What `upperLayer()` says of a packet that is good, besides where its payload begins. */
const PROTOCOL_MASK = 0xff;
const IS_FRAGMENT = 0x100;
const IS_LATER_FRAGMENT = 0x200;
const IS_AUTHENTICATED = 0x400;
const SIZE_SHIFT = 11;

/** Whether the packet at `offset`, which has a byte, is one of IPv6. */
export function isIpv6(view: DataView, offset: number): boolean {
  return view.getUint8(offset) >>> 4 === 6;
}

/** Bytes of headers and payload; what was received beyond them is padding. */
export function totalLength(view: DataView, offset: number): number {
  return HEADER_SIZE + view.getUint16(offset + PAYLOAD_LENGTH_OFFSET);
}

export function nextHeader(view: DataView, offset: number): number {
  return view.getUint8(offset + NEXT_HEADER_OFFSET);
}

export function hopLimit(view: DataView, offset: number): number {
  return view.getUint8(offset + HOP_LIMIT_OFFSET);
}

/** Whether two packets have the same header, but for the length. */
export function haveOneHeader(view: DataView, one: number, other: number): boolean {
  if (
    view.getInt32(one) !== view.getInt32(other) ||
    view.getUint16(one + NEXT_HEADER_OFFSET) !== view.getUint16(other + NEXT_HEADER_OFFSET)
  ) return false;
  for (let at = SOURCE_ADDRESS_OFFSET; at < HEADER_SIZE; at += 4) {
    if (view.getInt32(one + at) !== view.getInt32(other + at)) return false;
  }
  return true;
}

/**
 * Judges `length` received bytes at `offset`, the first of which says version 6: `DropReason.none` for a packet that
 * may travel on, in its first `totalLength` bytes. As with IPv4, that the source belongs to the peer others check.
 */
export function checkIpv6(view: DataView, offset: number, length: number): DropReason {
  if (length < HEADER_SIZE) return DropReason.short;
  if (totalLength(view, offset) > length) return DropReason.badTotalLength;
  if (isMartian(view, offset + DESTINATION_ADDRESS_OFFSET)) return DropReason.badDestination;
  if (areAlike(view, offset)) return DropReason.sourceEqualsDestination;
  if (isMartian(view, offset + SOURCE_ADDRESS_OFFSET)) return DropReason.badSource;
  const upper = upperLayer(view, offset);
  return upper < 0 ? -upper as DropReason : checkTransport(view, offset, upper);
}

/**
 * Whether no packet may come from or go to the address at `at`: unspecified, loopback and IPv4 inside (all of ::/96 and
 * of ::ffff:0:0/96, RFC 4291 section 2.5), link-local, which no router forwards (section 2.5.6), and multicast.
 */
export function isMartian(view: DataView, at: number): boolean {
  const first = view.getUint16(at);
  if (first >= 0xff00 || (first & 0xffc0) === 0xfe80) return true;
  if (first !== 0 || view.getInt32(at) !== 0 || view.getInt32(at + 4) !== 0) return false;
  const third = view.getInt32(at + 8);
  return third === 0 || third === 0xffff;
}

/** Whether source and destination are one address. */
function areAlike(view: DataView, offset: number): boolean {
  return view.getInt32(offset + 20) === view.getInt32(offset + 36) &&
    view.getInt32(offset + 8) === view.getInt32(offset + 24) &&
    view.getInt32(offset + 12) === view.getInt32(offset + 28) &&
    view.getInt32(offset + 16) === view.getInt32(offset + 32);
}

/**
 * Walks the extension headers of a packet that holds `totalLength` bytes: what `protocolOf()` and its like read, or
 * minus a drop reason. Of a later fragment, the protocol is what its header says, and its headers end there.
 */
export function upperLayer(view: DataView, offset: number): number {
  let protocol = nextHeader(view, offset);
  // What nearly all packets have.
  if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP || protocol === PROTOCOL_ICMPV6) {
    return HEADER_SIZE << SIZE_SHIFT | protocol;
  }
  const total = totalLength(view, offset);
  let at = HEADER_SIZE;
  let fragment = 0;
  let authentication = 0;
  let hasFragmentHeader = false;
  for (let count = 0; isExtension(protocol); count++) {
    if (count === MAX_EXTENSION_HEADERS) return -DropReason.badExtensionHeader;
    if (at + 8 > total) {
      return fragment === 0 ? -DropReason.badExtensionHeader : -DropReason.tinyFragment;
    }
    const header = offset + at;
    const next = view.getUint8(header);
    if (protocol === HOP_BY_HOP) {
      // Every router would have to look into it; a jumbogram has its length there (RFC 2675), and is none of ours.
      return -DropReason.badExtensionHeader;
    }
    if (protocol === ROUTING && isSourceRoute(view, header)) return -DropReason.sourceRoute;
    if (protocol === FRAGMENT) {
      const field = view.getUint16(header + 2);
      const before = field & FRAGMENT_OFFSET_MASK;
      const hasMore = (field & MORE_FRAGMENTS) !== 0;
      const size = total - at - FRAGMENT_HEADER_SIZE;
      // One in another; one whose end no other can join (RFC 8200 section 4.5); one past the longest packet.
      if (hasFragmentHeader || hasMore && (size & 7) !== 0 || before + size > 0xffff) {
        return -DropReason.badExtensionHeader;
      }
      hasFragmentHeader = true;
      at += FRAGMENT_HEADER_SIZE;
      if (before > 0) {
        return at << SIZE_SHIFT | authentication | IS_LATER_FRAGMENT | IS_FRAGMENT | next;
      }
      // Else it is all of a packet, which nobody has to put together (RFC 6946).
      if (hasMore) fragment = IS_FRAGMENT;
    } else {
      if (protocol === AUTHENTICATION) {
        authentication = IS_AUTHENTICATED;
        at += (view.getUint8(header + 1) + 2) << 2;
      } else at += (view.getUint8(header + 1) + 1) << 3;
      if (at > total) {
        return fragment === 0 ? -DropReason.badExtensionHeader : -DropReason.tinyFragment;
      }
    }
    protocol = next;
  }
  return at << SIZE_SHIFT | authentication | fragment | protocol;
}

/** Of what `upperLayer()` returned: the protocol behind all extension headers. */
export function protocolOf(upper: number): number {
  return upper & PROTOCOL_MASK;
}

/** Bytes in front of the transport header. */
export function headersSizeOf(upper: number): number {
  return upper >>> SIZE_SHIFT;
}

/** Whether the packet is a fragment; one that stands alone is none. */
export function isFragment(upper: number): boolean {
  return (upper & IS_FRAGMENT) !== 0;
}

/** Whether it is a fragment after the first, without a transport header. */
export function isLaterFragment(upper: number): boolean {
  return (upper & IS_LATER_FRAGMENT) !== 0;
}

/** Whether a header says that nobody may change the packet's addresses, or what is behind it (RFC 4302). */
export function isAuthenticated(upper: number): boolean {
  return (upper & IS_AUTHENTICATED) !== 0;
}

/** Of a fragment: what the fragments of its packet have in common, signed. */
export function identification(view: DataView, offset: number): number {
  return view.getInt32(identificationAt(view, offset));
}

/** Of a fragment: the offset of that. */
export function identificationAt(view: DataView, offset: number): number {
  let protocol = nextHeader(view, offset);
  let header = offset + HEADER_SIZE;
  while (protocol !== FRAGMENT) {
    const size = view.getUint8(header + 1);
    const next = view.getUint8(header);
    header += protocol === AUTHENTICATION ? (size + 2) << 2 : (size + 1) << 3;
    protocol = next;
  }
  return header + 4;
}

function isExtension(protocol: number): boolean {
  return protocol === DESTINATION_OPTIONS || protocol === FRAGMENT || protocol === ROUTING ||
    protocol === HOP_BY_HOP || protocol === AUTHENTICATION;
}

/** Type 0 in any case, and every other that has stops left: stops a sender from choosing the path itself. */
function isSourceRoute(view: DataView, header: number): boolean {
  return view.getUint8(header + 2) === ROUTING_TYPE_SOURCE_ROUTE || view.getUint8(header + 3) > 0;
}

/** Whether the transport header is whole, where this packet is the one to hold it. */
function checkTransport(view: DataView, offset: number, upper: number): DropReason {
  const protocol = protocolOf(upper);
  const headers = headersSizeOf(upper);
  if (isLaterFragment(upper)) {
    const before = view.getUint16(offset + headers - 6) & FRAGMENT_OFFSET_MASK;
    // It would overwrite the header of the first, which was judged.
    return protocol === PROTOCOL_TCP && before < tcp.MIN_HEADER_SIZE
      ? DropReason.tcpFragmentOffset
      : DropReason.none;
  }
  const payload = offset + headers;
  const available = totalLength(view, offset) - headers;
  let whole = true;
  if (protocol === PROTOCOL_TCP) {
    whole = tcp.isWhole(view, payload, available);
  } else if (protocol === PROTOCOL_UDP) {
    whole = udp.isWhole(view, payload, available) &&
      (isFragment(upper) || udp.length(view, payload) <= available);
  } else if (protocol === PROTOCOL_ICMPV6) {
    whole = icmpv6.isWhole(available);
    if (whole && icmpv6.isOfOneLink(icmpv6.type(view, payload))) return DropReason.linkOnly;
  }
  if (whole) return DropReason.none;
  return isFragment(upper) ? DropReason.tinyFragment : DropReason.shortTransportHeader;
}
