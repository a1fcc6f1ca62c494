/** ICMPv6 errors that this end sends as a router (RFC 4443 section 3), and when it may not (section 2.4 (e)). */
import { finish, pseudoHeaderSum6, sum } from "../../wire/checksum.ts";
import { IPV6_SIZE } from "../../wire/host_address.ts";
import * as icmpv6 from "../../wire/icmpv6.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import type { Memory } from "../../wire/memory.ts";

const HEADERS_SIZE = ipv6.HEADER_SIZE + icmpv6.HEADER_SIZE;
const HOP_LIMIT = 64;
/** Version 6, and network control as the traffic class, as those of IPv4 have it. */
const FIRST_WORD = 0x6c00_0000;

export interface Icmpv6Error {
  readonly type: number;
  readonly code: number;
  /** Bytes; of `TYPE_PACKET_TOO_BIG`, else 0. */
  readonly mtu: number;
}

/** Whether an error may be sent about a packet: not about errors, nor about later fragments. */
export function mayAnswer6(view: DataView, packet: number): boolean {
  const upper = ipv6.upperLayer(view, packet);
  if (ipv6.isLaterFragment(upper)) return false;
  if (ipv6.protocolOf(upper) !== ipv6.PROTOCOL_ICMPV6) return true;
  return !icmpv6.isError(icmpv6.type(view, packet + ipv6.headersSizeOf(upper)));
}

/**
 * Writes the error about `packet` to offset `at`, addressed to its sender. It is from the 16 bytes at `source` of
 * `sources`.
 *
 * @returns its length in bytes, at most 1,280 (section 2.4 (c))
 */
export function writeIcmpv6Error(
  { bytes, view }: Memory,
  at: number,
  packet: number,
  { type, code, mtu }: Icmpv6Error,
  sources: DataView,
  source: number,
): number {
  const quoted = Math.min(ipv6.totalLength(view, packet), ipv6.MIN_LINK_MTU - HEADERS_SIZE);
  const length = HEADERS_SIZE + quoted;
  const message = at + ipv6.HEADER_SIZE;
  bytes.copyWithin(at + HEADERS_SIZE, packet, packet + quoted);
  view.setUint32(at, FIRST_WORD);
  view.setUint16(at + ipv6.PAYLOAD_LENGTH_OFFSET, length - ipv6.HEADER_SIZE);
  view.setUint8(at + ipv6.NEXT_HEADER_OFFSET, ipv6.PROTOCOL_ICMPV6);
  view.setUint8(at + ipv6.HOP_LIMIT_OFFSET, HOP_LIMIT);
  for (let i = 0; i < IPV6_SIZE; i += 4) {
    view.setInt32(at + ipv6.SOURCE_ADDRESS_OFFSET + i, sources.getInt32(source + i));
  }
  const sender = packet + ipv6.SOURCE_ADDRESS_OFFSET;
  bytes.copyWithin(at + ipv6.DESTINATION_ADDRESS_OFFSET, sender, sender + IPV6_SIZE);
  view.setUint8(message + icmpv6.TYPE_OFFSET, type);
  view.setUint8(message + icmpv6.CODE_OFFSET, code);
  view.setUint32(message + icmpv6.MTU_OFFSET, mtu);
  writeIcmpv6Checksum(view, at, message, length - ipv6.HEADER_SIZE);
  return length;
}

/** Works out the checksum of a message of so many bytes. */
export function writeIcmpv6Checksum(
  view: DataView,
  packet: number,
  message: number,
  size: number,
): void {
  const at = message + icmpv6.CHECKSUM_OFFSET;
  const addresses = packet + ipv6.SOURCE_ADDRESS_OFFSET;
  view.setUint16(at, 0);
  const pseudoHeader = pseudoHeaderSum6(view, addresses, ipv6.PROTOCOL_ICMPV6, size);
  view.setUint16(at, finish(sum(view, message, size, pseudoHeader)));
}
