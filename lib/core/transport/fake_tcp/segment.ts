/**
 * Fake-TCP segments as bytes: how ours are written, and which of those that arrive are examined further.
 *
 * Checksums are left at zero: the sender of a segment knows whether the kernel, or the interface, will compute them.
 */
import { finish, pseudoHeaderSum, pseudoHeaderSum6, sum } from "../../wire/checksum.ts";
import { DropReason } from "../../wire/drop_reason.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import * as tcp from "../../wire/tcp.ts";
import { HEADERS6_SIZE, HEADERS_SIZE, TIME_TO_LIVE, WINDOW, WINDOW_SHIFT } from "./constants.ts";
import { type FourTuple, headersSizeOf, isTuple6 } from "./four_tuple.ts";

/** The first words of an IPv4 header, but for the length; flags; time to live and protocol. */
const VERSION_AND_IHL = 0x45 << 24;
const DONT_FRAGMENT = ipv4.FLAG_DONT_FRAGMENT;
const TTL_AND_PROTOCOL = TIME_TO_LIVE << 24 | ipv4.PROTOCOL_TCP << 16;
/** The first word of an IPv6 header, and where in it the traffic class has the ECN bits. */
const VERSION_6 = 6 << 28;
const ECN_SHIFT_6 = 20;
/** Flags and window stand in the word that begins with the data offset, which counts words. */
const DATA_OFFSET_SHIFT = 28;
const FLAGS_SHIFT = 16;

/** RFC 7323 section 2.3: what is higher counts as this. */
const MAX_WINDOW_SHIFT = 14;

/**
 * Writes the headers of a segment without options.
 *
 * @param at where, a multiple of 4: `headersSizeOf(tuple)` bytes, the payload behind them
 */
export function writeHeaders(
  view: DataView,
  at: number,
  tuple: FourTuple,
  flags: number,
  seq: number,
  ack: number,
  payloadLength: number,
): void {
  const segment = isTuple6(tuple)
    ? writeIpv6Header(view, at, tuple.addresses, payloadLength)
    : writeIpv4Header(view, at, tuple.addresses, payloadLength);
  view.setInt32(segment, tuple.localPort << 16 | tuple.remotePort);
  view.setInt32(segment + tcp.SEQUENCE_NUMBER_OFFSET, seq);
  view.setInt32(segment + tcp.ACKNOWLEDGMENT_NUMBER_OFFSET, ack);
  view.setInt32(
    segment + tcp.DATA_OFFSET_OFFSET,
    tcp.MIN_HEADER_SIZE / 4 << DATA_OFFSET_SHIFT | flags << FLAGS_SHIFT | WINDOW,
  );
  view.setInt32(segment + tcp.CHECKSUM_OFFSET, 0);
}

/** Returns where it ends. */
function writeIpv4Header(
  view: DataView,
  at: number,
  addresses: Int32Array,
  payloadLength: number,
): number {
  view.setInt32(at, VERSION_AND_IHL | HEADERS_SIZE + payloadLength);
  view.setInt32(at + ipv4.IDENTIFICATION_OFFSET, DONT_FRAGMENT);
  view.setInt32(at + ipv4.TIME_TO_LIVE_OFFSET, TTL_AND_PROTOCOL);
  view.setInt32(at + ipv4.SOURCE_ADDRESS_OFFSET, addresses[1]);
  view.setInt32(at + ipv4.DESTINATION_ADDRESS_OFFSET, addresses[0]);
  return at + ipv4.MIN_HEADER_SIZE;
}

function writeIpv6Header(
  view: DataView,
  at: number,
  addresses: Int32Array,
  payloadLength: number,
): number {
  view.setInt32(at, VERSION_6);
  view.setInt32(
    at + ipv6.PAYLOAD_LENGTH_OFFSET,
    tcp.MIN_HEADER_SIZE + payloadLength << 16 | ipv4.PROTOCOL_TCP << 8 | TIME_TO_LIVE,
  );
  for (let i = 0; i < 4; i++) {
    view.setInt32(at + ipv6.SOURCE_ADDRESS_OFFSET + 4 * i, addresses[4 + i]);
    view.setInt32(at + ipv6.DESTINATION_ADDRESS_OFFSET + 4 * i, addresses[i]);
  }
  return at + ipv6.HEADER_SIZE;
}

/** Writes the ECN bits of a segment that `writeHeaders()` has written. */
export function setSegmentEcn(view: DataView, packet: number, ecn: number): void {
  if (ipv6.isIpv6(view, packet)) view.setInt32(packet, VERSION_6 | ecn << ECN_SHIFT_6);
  else view.setUint8(packet + ipv4.TYPE_OF_SERVICE_OFFSET, ecn);
}

/** What a SYN, or a SYN/ACK, says. */
export interface SynOptions {
  /** The longest payload that its sender takes; null where nothing was said. */
  readonly maxSegmentSize: number | null;
  /** Null where windows are not to be scaled. */
  readonly windowShift: number | null;
}

/** Writes a SYN or SYN/ACK, 68 bytes at most, that asks for window scaling or does not. Returns its bytes. */
export function writeSyn(
  view: DataView,
  at: number,
  syn: {
    readonly tuple: FourTuple;
    readonly flags: number;
    readonly seq: number;
    readonly ack: number;
    readonly maxSegmentSize: number;
    readonly isScaled: boolean;
  },
): number {
  const optionsSize = syn.isScaled ? 8 : 4;
  writeHeaders(view, at, syn.tuple, syn.flags, syn.seq, syn.ack, optionsSize);
  const headersSize = headersSizeOf(syn.tuple);
  const options = at + headersSize;
  const segment = options - tcp.MIN_HEADER_SIZE;
  const dataOffset = (tcp.MIN_HEADER_SIZE + optionsSize) / 4 << 4;
  view.setUint8(segment + tcp.DATA_OFFSET_OFFSET, dataOffset);
  view.setInt32(options, tcp.OPTION_MSS << 24 | tcp.OPTION_MSS_SIZE << 16 | syn.maxSegmentSize);
  if (syn.isScaled) {
    view.setInt32(
      options + 4,
      tcp.OPTION_NO_OPERATION << 24 | tcp.OPTION_WINDOW_SCALE << 16 |
        tcp.OPTION_WINDOW_SCALE_SIZE << 8 |
        WINDOW_SHIFT,
    );
  }
  return headersSize + optionsSize;
}

/** Reads the options of a whole TCP header. What is broken, and all behind it, counts as not there. */
export function readSynOptions(view: DataView, segment: number): SynOptions {
  let maxSegmentSize: number | null = null;
  let windowShift: number | null = null;
  for (
    let option = tcp.firstOption(view, segment);
    option >= 0;
    option = tcp.nextOption(view, segment, option)
  ) {
    const kind = view.getUint8(option);
    const size = view.getUint8(option + 1);
    if (kind === tcp.OPTION_MSS && size === tcp.OPTION_MSS_SIZE) {
      maxSegmentSize = view.getUint16(option + 2);
    } else if (kind === tcp.OPTION_WINDOW_SCALE && size === tcp.OPTION_WINDOW_SCALE_SIZE) {
      windowShift = Math.min(view.getUint8(option + 2), MAX_WINDOW_SHIFT);
    }
  }
  return { maxSegmentSize, windowShift };
}

/**
 * Judges a captured packet: `DropReason.none` for a whole TCP segment, padding behind it or not. The host's
 * stack has not looked at it.
 *
 * @param isVerified whether its TCP checksum is known to be right, or to be nobody's business (a partial one)
 */
export function checkSegment(
  view: DataView,
  offset: number,
  length: number,
  isVerified: boolean,
): DropReason {
  if (length < HEADERS_SIZE) return DropReason.fakeTcpBadSegment;
  const reason = ipv6.isIpv6(view, offset)
    ? checkIpv6Header(view, offset, length)
    : checkIpv4Header(view, offset, length);
  if (reason !== DropReason.none) return reason;
  const segment = segmentOffset(view, offset);
  const available = packetSize(view, offset) + offset - segment;
  if (!tcp.isWhole(view, segment, available)) return DropReason.fakeTcpBadSegment;
  if (isVerified) return DropReason.none;
  const pseudoHeader = pseudoHeaderOf(view, offset, available);
  return finish(sum(view, segment, available, pseudoHeader)) === 0
    ? DropReason.none
    : DropReason.fakeTcpBadSegment;
}

function checkIpv4Header(view: DataView, offset: number, length: number): DropReason {
  const header = ipv4.headerSize(view, offset);
  const total = ipv4.totalLength(view, offset);
  const fragment = view.getUint16(offset + ipv4.FLAGS_OFFSET) &
    (ipv4.FLAG_MORE_FRAGMENTS | ipv4.FRAGMENT_OFFSET_MASK);
  if (
    ipv4.version(view, offset) !== 4 || header < ipv4.MIN_HEADER_SIZE || header > total ||
    total > length || fragment !== 0 || ipv4.protocol(view, offset) !== ipv4.PROTOCOL_TCP ||
    finish(sum(view, offset, header)) !== 0
  ) return DropReason.fakeTcpBadSegment;
  // An answer to a broadcast or multicast address would come from many (RFC 9293 section 3.9.2.3).
  const first = view.getUint8(offset + ipv4.SOURCE_ADDRESS_OFFSET);
  return first >= 224 || first === 0 ? DropReason.badSource : DropReason.none;
}

/** No end of ours writes extension headers, and none that a middlebox put in would be left out of an answer. */
function checkIpv6Header(view: DataView, offset: number, length: number): DropReason {
  if (
    length < HEADERS6_SIZE || ipv6.totalLength(view, offset) > length ||
    view.getUint8(offset + ipv6.NEXT_HEADER_OFFSET) !== ipv4.PROTOCOL_TCP
  ) return DropReason.fakeTcpBadSegment;
  return isNoSource6(view, offset + ipv6.SOURCE_ADDRESS_OFFSET)
    ? DropReason.badSource
    : DropReason.none;
}

/**
 * Multicast; the unspecified address; one that stands for IPv4, which sockets would take for that; and a link-local
 * one, of which the segment does not say whose link it is.
 */
function isNoSource6(view: DataView, at: number): boolean {
  const first = view.getUint16(at);
  if (first >= 0xff00 || (first & 0xffc0) === 0xfe80) return true;
  if (view.getInt32(at) !== 0 || view.getInt32(at + 4) !== 0) return false;
  const third = view.getInt32(at + 8);
  return third === 0xffff || third === 0 && view.getInt32(at + 12) !== 1;
}

function pseudoHeaderOf(view: DataView, packet: number, length: number): number {
  if (ipv6.isIpv6(view, packet)) {
    const addresses = packet + ipv6.SOURCE_ADDRESS_OFFSET;
    return pseudoHeaderSum6(view, addresses, ipv4.PROTOCOL_TCP, length);
  }
  return pseudoHeaderSum(
    view.getInt32(packet + ipv4.SOURCE_ADDRESS_OFFSET),
    view.getInt32(packet + ipv4.DESTINATION_ADDRESS_OFFSET),
    ipv4.PROTOCOL_TCP,
    length,
  );
}

/** Where the TCP header of a packet begins, of which `checkSegment()` has seen the IP header. */
export function segmentOffset(view: DataView, packet: number): number {
  return packet +
    (ipv6.isIpv6(view, packet) ? ipv6.HEADER_SIZE : ipv4.headerSize(view, packet));
}

/** Where the payload of a packet that has passed `checkSegment()` begins. */
export function payloadOffset(view: DataView, packet: number): number {
  const segment = segmentOffset(view, packet);
  return segment + tcp.headerSize(view, segment);
}

/** Bytes of it. */
export function payloadSize(view: DataView, packet: number): number {
  return packet + packetSize(view, packet) - payloadOffset(view, packet);
}

function packetSize(view: DataView, packet: number): number {
  return ipv6.isIpv6(view, packet)
    ? ipv6.totalLength(view, packet)
    : ipv4.totalLength(view, packet);
}
