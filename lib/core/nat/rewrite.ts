/** Rewrite: changes headers of IPv4 in place, and keeps their checksums right incrementally (RFC 1624). */
import { udpChecksum, update16, update32 } from "../wire/checksum.ts";
import * as icmp from "../wire/icmp.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";
import { type End, SOURCE } from "./headers/headers.ts";

/** Of the uint16 at `ipv4.FLAGS_OFFSET`. */
const RESERVED_FLAG = 0x8000;

/** Whether this is a fragment other than the first: it has no transport header. */
export function isLaterFragment(view: DataView, packet: number): boolean {
  return ipv4.fragmentOffset(view, packet) !== 0;
}

/**
 * Whether nothing on the way may fragment the packet and nothing has: its id means nothing then (RFC 6864 section 4).
 */
export function isAtomic(view: DataView, packet: number): boolean {
  return (view.getUint16(packet + ipv4.FLAGS_OFFSET) & ~RESERVED_FLAG) === ipv4.FLAG_DONT_FRAGMENT;
}

/**
 * Whether packets of a protocol are translated. One without ports, as GRE, ESP, 6in4, or with ports that the gateway's
 * own stack hands out as well, as SCTP, is not: a client's could not be told from the gateway's own, so that a client
 * could read what comes for a tunnel of the gateway's, and send into it under the gateway's address.
 */
export function isTranslated(protocol: number): boolean {
  return protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP ||
    protocol === ipv4.PROTOCOL_ICMP;
}

/** Replaces an address (signed), with the IP checksum and no other: all that there is to do in a later fragment. */
export function rewriteAddress(view: DataView, packet: number, end: End, address: number): void {
  const at = packet + addressOffset(end);
  const before = view.getInt32(at);
  view.setInt32(at, address);
  replaceChecksum(view, packet + ipv4.HEADER_CHECKSUM_OFFSET, before, address);
}

/**
 * Replaces an address (signed) and a port, or the id of an ICMP query, with all checksums.
 *
 * @param available bytes of the packet that are there: one quoted in an ICMP error may lack its transport checksum
 */
export function rewriteEndpoint(
  view: DataView,
  packet: number,
  available: number,
  end: End,
  address: number,
  port: number,
): void {
  const transport = packet + ipv4.headerSize(view, packet);
  const oldAddress = view.getInt32(packet + addressOffset(end));
  const protocol = ipv4.protocol(view, packet);
  rewriteAddress(view, packet, end, address);

  const portAt = transport + (protocol === ipv4.PROTOCOL_ICMP ? icmp.IDENTIFIER_OFFSET : 2 * end);
  const oldPort = view.getUint16(portAt);
  view.setUint16(portAt, port);

  const checksumAt = transport + checksumOffset(protocol);
  if (checksumAt + 2 > packet + available) return;
  const before = view.getUint16(checksumAt);
  if (protocol === ipv4.PROTOCOL_UDP) {
    // No checksum stays none.
    if (before === 0) return;
    const checksum = update16(update32(before, oldAddress, address), oldPort, port);
    view.setUint16(checksumAt, udpChecksum(checksum));
  } else if (protocol === ipv4.PROTOCOL_TCP) {
    view.setUint16(checksumAt, update16(update32(before, oldAddress, address), oldPort, port));
  } else {
    // ICMP has no pseudo-header.
    view.setUint16(checksumAt, update16(before, oldPort, port));
  }
}

/** Takes one off the time to live. */
export function decrementTimeToLive(view: DataView, packet: number): void {
  const at = packet + ipv4.TIME_TO_LIVE_OFFSET;
  const before = view.getUint16(at);
  const after = before - 0x100;
  view.setUint16(at, after);
  const checksumAt = packet + ipv4.HEADER_CHECKSUM_OFFSET;
  view.setUint16(checksumAt, update16(view.getUint16(checksumAt), before, after));
}

/** Replaces the id by which fragments find each other. */
export function rewriteIdentification(
  view: DataView,
  packet: number,
  identification: number,
): void {
  const at = packet + ipv4.IDENTIFICATION_OFFSET;
  const before = view.getUint16(at);
  view.setUint16(at, identification);
  const checksumAt = packet + ipv4.HEADER_CHECKSUM_OFFSET;
  view.setUint16(checksumAt, update16(view.getUint16(checksumAt), before, identification));
}

/**
 * Lowers the MSS option of a SYN or SYN/ACK to `limit`, never raises it, so that neither end sends segments that would
 * have to be refused with ICMP (which networks are known to lose).
 */
export function clampMss(view: DataView, segment: number, limit: number): void {
  for (
    let option = tcp.firstOption(view, segment);
    option >= 0;
    option = tcp.nextOption(view, segment, option)
  ) {
    if (view.getUint8(option) !== tcp.OPTION_MSS) continue;
    if (view.getUint8(option + 1) !== tcp.OPTION_MSS_SIZE) continue;
    lowerMss(view, segment, option + 2, limit);
    return;
  }
}

function lowerMss(view: DataView, segment: number, at: number, limit: number): void {
  const before = view.getUint16(at);
  if (before <= limit) return;
  view.setUint16(at, limit);
  const checksumAt = segment + tcp.CHECKSUM_OFFSET;
  let checksum = view.getUint16(checksumAt);
  if (((at - segment) & 1) === 0) {
    checksum = update16(checksum, before, limit);
  } else {
    // At an odd offset, the value's bytes count in each other's place.
    checksum = update16(checksum, swap(before), swap(limit));
  }
  view.setUint16(checksumAt, checksum);
}

function swap(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

function addressOffset(end: End): number {
  return end === SOURCE ? ipv4.SOURCE_ADDRESS_OFFSET : ipv4.DESTINATION_ADDRESS_OFFSET;
}

function checksumOffset(protocol: number): number {
  return protocol === ipv4.PROTOCOL_TCP
    ? tcp.CHECKSUM_OFFSET
    : protocol === ipv4.PROTOCOL_UDP
    ? udp.CHECKSUM_OFFSET
    : icmp.CHECKSUM_OFFSET;
}

function replaceChecksum(view: DataView, at: number, from: number, to: number): void {
  view.setUint16(at, update32(view.getUint16(at), from, to));
}
