/**
 * IPv4 header (RFC 791 section 3.1) and the checks that a packet passes at both boundaries of the tunnel.
 *
 * Call `checkIpv4` once; behind it every accessor here, and those of the transport header, read bytes that are there.
 * Import as a namespace: the accessors have the names of the fields.
 *
 * ```text
 *   0 version, 4 bits; IHL, 4 bits   1 type of service   2 total length 2
 *   4 identification 2               6 flags, 3 bits; fragment offset, 13 bits
 *   8 time to live   9 protocol     10 header checksum 2
 *  12 source address 4              16 destination address 4
 *  20 options, then the payload at IHL * 4
 * ```
 */
import { finish, sum } from "./checksum.ts";
import { DropReason } from "./drop_reason.ts";
import * as icmp from "./icmp.ts";
import type { Memory } from "./memory.ts";
import * as tcp from "./tcp.ts";
import * as udp from "./udp.ts";

export const TYPE_OF_SERVICE_OFFSET = 1;
export const TOTAL_LENGTH_OFFSET = 2;
export const IDENTIFICATION_OFFSET = 4;
export const FLAGS_OFFSET = 6;
export const TIME_TO_LIVE_OFFSET = 8;
export const PROTOCOL_OFFSET = 9;
export const HEADER_CHECKSUM_OFFSET = 10;
export const SOURCE_ADDRESS_OFFSET = 12;
export const DESTINATION_ADDRESS_OFFSET = 16;
/** Bytes of the header without options. */
export const MIN_HEADER_SIZE = 20;

/** Bits of the uint16 at `FLAGS_OFFSET`. */
export const FLAG_DONT_FRAGMENT = 0x4000;
export const FLAG_MORE_FRAGMENTS = 0x2000;
export const FRAGMENT_OFFSET_MASK = 0x1fff;

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

/** The upper half of 169.254/16. */
const LINK_LOCAL = 0xa9fe;

export const OPTION_END = 0;
export const OPTION_NO_OPERATION = 1;
const OPTION_LOOSE_SOURCE_ROUTE = 131;
const OPTION_STRICT_SOURCE_ROUTE = 137;

export function version(view: DataView, offset: number): number {
  return view.getUint8(offset) >>> 4;
}

/** IHL in bytes: 20 to 60 for a header that is right. */
export function headerSize(view: DataView, offset: number): number {
  return (view.getUint8(offset) & 0x0f) << 2;
}

export function typeOfService(view: DataView, offset: number): number {
  return view.getUint8(offset + TYPE_OF_SERVICE_OFFSET);
}

/** Bytes of header and payload; what was received beyond them is padding. */
export function totalLength(view: DataView, offset: number): number {
  return view.getUint16(offset + TOTAL_LENGTH_OFFSET);
}

export function identification(view: DataView, offset: number): number {
  return view.getUint16(offset + IDENTIFICATION_OFFSET);
}

export function dontFragment(view: DataView, offset: number): boolean {
  return (view.getUint16(offset + FLAGS_OFFSET) & FLAG_DONT_FRAGMENT) !== 0;
}

export function moreFragments(view: DataView, offset: number): boolean {
  return (view.getUint16(offset + FLAGS_OFFSET) & FLAG_MORE_FRAGMENTS) !== 0;
}

/**
 * As it stands in the header: units of eight bytes. A fragment after the first, one above 0, has no transport header.
 */
export function fragmentOffset(view: DataView, offset: number): number {
  return view.getUint16(offset + FLAGS_OFFSET) & FRAGMENT_OFFSET_MASK;
}

export function timeToLive(view: DataView, offset: number): number {
  return view.getUint8(offset + TIME_TO_LIVE_OFFSET);
}

export function protocol(view: DataView, offset: number): number {
  return view.getUint8(offset + PROTOCOL_OFFSET);
}

export function headerChecksum(view: DataView, offset: number): number {
  return view.getUint16(offset + HEADER_CHECKSUM_OFFSET);
}

/** Host order, 0 to 2^32 - 1. */
export function sourceAddress(view: DataView, offset: number): number {
  return view.getUint32(offset + SOURCE_ADDRESS_OFFSET);
}

/** Host order, 0 to 2^32 - 1. */
export function destinationAddress(view: DataView, offset: number): number {
  return view.getUint32(offset + DESTINATION_ADDRESS_OFFSET);
}

/**
 * Judges `length` received bytes at `offset`: `DropReason.none` for an IPv4 packet that may travel on, in its first
 * `totalLength` bytes. The order is that of lib/core/nat/README.md, "Boundaries". Two checks there need to know more
 * than the packet and are made by others: that the source belongs to the peer, and that the destination is not one of
 * the gateway's private networks.
 */
export function checkIpv4(memory: Memory, offset: number, length: number): DropReason {
  const view = memory.view;
  if (length === 0) return DropReason.empty;
  const ipVersion = version(view, offset);
  if (ipVersion === 6) return DropReason.ipv6;
  if (ipVersion !== 4) return DropReason.badVersion;

  if (length < MIN_HEADER_SIZE) return DropReason.short;
  const header = headerSize(view, offset);
  const total = totalLength(view, offset);
  if (header < MIN_HEADER_SIZE || header > total) return DropReason.badHeaderLength;
  if (total > length) return DropReason.badTotalLength;
  if (finish(sum(view, offset, header)) !== 0) return DropReason.badHeaderChecksum;

  if (header > MIN_HEADER_SIZE) {
    const reason = checkOptions(view, offset + MIN_HEADER_SIZE, offset + header);
    if (reason !== DropReason.none) return reason;
  }
  const source = sourceAddress(view, offset);
  const destination = destinationAddress(view, offset);
  if (isMartian(destination)) return DropReason.badDestination;
  if (source === destination) return DropReason.sourceEqualsDestination;
  if (isMartian(source)) return DropReason.badSource;
  return checkTransport(view, offset, header, total);
}

/**
 * Whether no packet may come from or go to `address`: 0/8, 127/8, 224/4, 240/4 with the limited broadcast, and
 * 169.254/16, which no router forwards (RFC 3927 section 7): in a cloud, the service there hands the host's credentials
 * to all who ask.
 */
export function isMartian(address: number): boolean {
  const first = address >>> 24;
  return first === 0 || first === 127 || first >= 224 || address >>> 16 === LINK_LOCAL;
}

/** Walks the options between `at` and `end`: each but the one-byte kinds has its length behind its type. */
function checkOptions(view: DataView, at: number, end: number): DropReason {
  while (at < end) {
    const option = view.getUint8(at);
    if (option === OPTION_END) return DropReason.none;
    if (option === OPTION_NO_OPERATION) {
      at += 1;
      continue;
    }
    if (option === OPTION_LOOSE_SOURCE_ROUTE || option === OPTION_STRICT_SOURCE_ROUTE) {
      return DropReason.sourceRoute;
    }
    if (at + 1 >= end) return DropReason.badOption;
    const optionLength = view.getUint8(at + 1);
    if (optionLength < 2 || at + optionLength > end) return DropReason.badOption;
    at += optionLength;
  }
  return DropReason.none;
}

/** Whether the transport header is whole, where this packet is the one to hold it. */
function checkTransport(
  view: DataView,
  offset: number,
  header: number,
  total: number,
): DropReason {
  const ipProtocol = protocol(view, offset);
  const fragment = view.getUint16(offset + FLAGS_OFFSET) &
    (FLAG_MORE_FRAGMENTS | FRAGMENT_OFFSET_MASK);
  const unitsBefore = fragment & FRAGMENT_OFFSET_MASK;
  if (unitsBefore > 0) {
    return unitsBefore === 1 && ipProtocol === PROTOCOL_TCP
      ? DropReason.tcpFragmentOffset
      : DropReason.none;
  }
  const payload = offset + header;
  const available = total - header;
  let whole = true;
  if (ipProtocol === PROTOCOL_TCP) {
    whole = tcp.isWhole(view, payload, available);
  } else if (ipProtocol === PROTOCOL_UDP) {
    // The length counts the whole datagram, so a packet that is all of it must hold that many bytes.
    whole = udp.isWhole(view, payload, available) &&
      (fragment !== 0 || udp.length(view, payload) <= available);
  } else if (ipProtocol === PROTOCOL_ICMP) {
    whole = icmp.isWhole(available);
  }
  if (whole) return DropReason.none;
  return fragment === 0 ? DropReason.shortTransportHeader : DropReason.tinyFragment;
}
