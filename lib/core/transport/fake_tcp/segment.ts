/**
 * Fake-TCP segments as bytes: how ours are written, and which of those that arrive are examined further.
 *
 * Checksums are left at zero: the sender of a segment knows whether the kernel, or the interface, will compute them.
 */
import { finish, pseudoHeaderSum, sum } from "../../wire/checksum.ts";
import { DropReason } from "../../wire/drop_reason.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import * as tcp from "../../wire/tcp.ts";
import { HEADERS_SIZE, TIME_TO_LIVE, WINDOW, WINDOW_SHIFT } from "./constants.ts";
import type { FourTuple } from "./session.ts";

/** The first words of an IPv4 header, but for the length; flags; time to live and protocol. */
const VERSION_AND_IHL = 0x45 << 24;
const DONT_FRAGMENT = ipv4.FLAG_DONT_FRAGMENT;
const TTL_AND_PROTOCOL = TIME_TO_LIVE << 24 | ipv4.PROTOCOL_TCP << 16;
/** Flags and window stand in the word that begins with the data offset, which counts words. */
const DATA_OFFSET_SHIFT = 28;
const FLAGS_SHIFT = 16;

/** RFC 7323 section 2.3: what is higher counts as this. */
const MAX_WINDOW_SHIFT = 14;

/**
 * Writes the headers of a segment without options.
 *
 * @param at where, a multiple of 4: `HEADERS_SIZE` bytes, the payload behind them
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
  view.setInt32(at, VERSION_AND_IHL | HEADERS_SIZE + payloadLength);
  view.setInt32(at + ipv4.IDENTIFICATION_OFFSET, DONT_FRAGMENT);
  view.setInt32(at + ipv4.TIME_TO_LIVE_OFFSET, TTL_AND_PROTOCOL);
  view.setInt32(at + ipv4.SOURCE_ADDRESS_OFFSET, tuple.localAddress);
  view.setInt32(at + ipv4.DESTINATION_ADDRESS_OFFSET, tuple.remoteAddress);
  const segment = at + ipv4.MIN_HEADER_SIZE;
  view.setInt32(segment, tuple.localPort << 16 | tuple.remotePort);
  view.setInt32(segment + tcp.SEQUENCE_NUMBER_OFFSET, seq);
  view.setInt32(segment + tcp.ACKNOWLEDGMENT_NUMBER_OFFSET, ack);
  view.setInt32(
    segment + tcp.DATA_OFFSET_OFFSET,
    tcp.MIN_HEADER_SIZE / 4 << DATA_OFFSET_SHIFT | flags << FLAGS_SHIFT | WINDOW,
  );
  view.setInt32(segment + tcp.CHECKSUM_OFFSET, 0);
}

/** What a SYN, or a SYN/ACK, says. */
export interface SynOptions {
  /** The longest payload that its sender takes; null where nothing was said. */
  readonly maxSegmentSize: number | null;
  /** Null where windows are not to be scaled. */
  readonly windowShift: number | null;
}

/** Writes a SYN or SYN/ACK, 48 bytes at most, that asks for window scaling or does not. Returns its bytes. */
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
  const segment = at + ipv4.MIN_HEADER_SIZE;
  const dataOffset = (tcp.MIN_HEADER_SIZE + optionsSize) / 4 << 4;
  view.setUint8(segment + tcp.DATA_OFFSET_OFFSET, dataOffset);
  const options = segment + tcp.MIN_HEADER_SIZE;
  view.setInt32(options, tcp.OPTION_MSS << 24 | tcp.OPTION_MSS_SIZE << 16 | syn.maxSegmentSize);
  if (syn.isScaled) {
    view.setInt32(
      options + 4,
      tcp.OPTION_NO_OPERATION << 24 | tcp.OPTION_WINDOW_SCALE << 16 |
        tcp.OPTION_WINDOW_SCALE_SIZE << 8 |
        WINDOW_SHIFT,
    );
  }
  return HEADERS_SIZE + optionsSize;
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
 * Judges a captured packet: `DropReason.none` for a whole TCP segment in its first `totalLength` bytes. The host's
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
  if (length < HEADERS_SIZE || ipv4.version(view, offset) !== 4) {
    return DropReason.fakeTcpBadSegment;
  }
  const header = ipv4.headerSize(view, offset);
  const total = ipv4.totalLength(view, offset);
  const fragment = view.getUint16(offset + ipv4.FLAGS_OFFSET) &
    (ipv4.FLAG_MORE_FRAGMENTS | ipv4.FRAGMENT_OFFSET_MASK);
  if (
    header < ipv4.MIN_HEADER_SIZE || header > total || total > length || fragment !== 0 ||
    ipv4.protocol(view, offset) !== ipv4.PROTOCOL_TCP ||
    !tcp.isWhole(view, offset + header, total - header) ||
    finish(sum(view, offset, header)) !== 0
  ) return DropReason.fakeTcpBadSegment;
  // An answer to a broadcast or multicast address would come from many (RFC 9293 section 3.9.2.3).
  const source = view.getInt32(offset + ipv4.SOURCE_ADDRESS_OFFSET);
  if (source >>> 24 >= 224 || source >>> 24 === 0) return DropReason.badSource;
  if (isVerified) return DropReason.none;
  const pseudoHeader = pseudoHeaderSum(
    source,
    view.getInt32(offset + ipv4.DESTINATION_ADDRESS_OFFSET),
    ipv4.PROTOCOL_TCP,
    total - header,
  );
  return finish(sum(view, offset + header, total - header, pseudoHeader)) === 0
    ? DropReason.none
    : DropReason.fakeTcpBadSegment;
}

/** Where the payload of an IPv4 packet that has passed `checkSegment()` begins. */
export function payloadOffset(view: DataView, packet: number): number {
  const segment = packet + ipv4.headerSize(view, packet);
  return segment + tcp.headerSize(view, segment);
}

/** Bytes of it. */
export function payloadSize(view: DataView, packet: number): number {
  return packet + ipv4.totalLength(view, packet) - payloadOffset(view, packet);
}
