/** Division: the fragments of an IPv4 packet without DF that is too long for where it goes (RFC 791 section 3.2). */
import { finish, sum } from "../../wire/checksum.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import type { Memory } from "../../wire/memory.ts";

/** Bytes that a packet can have at most: fragments that lie behind them are an attack on those who join them. */
const LONGEST = 0xffff;
/** Of an option's type: each fragment has it. */
const OPTION_IS_COPIED = 0x80;

/**
 * Bytes of payload in each fragment but the last one: what fits with the header of the first, in units of eight.
 *
 * @param mtu bytes of a fragment at most
 * @returns 0 where the packet cannot be divided: it ends behind the longest packet, or there is no room for a unit
 */
export function fragmentStep(view: DataView, packet: number, mtu: number): number {
  const headerSize = ipv4.headerSize(view, packet);
  const payloadSize = ipv4.totalLength(view, packet) - headerSize;
  if ((ipv4.fragmentOffset(view, packet) << 3) + payloadSize > LONGEST - headerSize) return 0;
  return Math.max(0, (mtu - headerSize) & ~7);
}

/**
 * Writes the fragment of a packet that begins `from` bytes into its payload; the next one begins `step` bytes on.
 *
 * @param at offset of the fragment, where there is room for `step` bytes and the packet's header
 * @param step of `fragmentStep()`
 * @returns bytes of the fragment
 */
export function writeFragment(
  { bytes, view }: Memory,
  at: number,
  packet: number,
  from: number,
  step: number,
): number {
  const headerSize = ipv4.headerSize(view, packet);
  const payload = packet + headerSize + from;
  const end = packet + ipv4.totalLength(view, packet);
  const isLast = payload + step >= end;
  const size = isLast ? end - payload : step;
  bytes.copyWithin(at, packet, packet + headerSize);
  const ownSize = from === 0 ? headerSize : keepCopiedOptions(view, at, headerSize);
  bytes.copyWithin(at + ownSize, payload, payload + size);

  const flags = view.getUint16(packet + ipv4.FLAGS_OFFSET);
  // A fragment that is divided once more keeps its own offset, and its last piece its "more fragments".
  const more = isLast ? flags & ipv4.FLAG_MORE_FRAGMENTS : ipv4.FLAG_MORE_FRAGMENTS;
  const units = (flags & ipv4.FRAGMENT_OFFSET_MASK) + (from >>> 3);
  view.setUint16(at + ipv4.TOTAL_LENGTH_OFFSET, ownSize + size);
  view.setUint16(at + ipv4.FLAGS_OFFSET, more | units);
  view.setUint16(at + ipv4.HEADER_CHECKSUM_OFFSET, 0);
  view.setUint16(at + ipv4.HEADER_CHECKSUM_OFFSET, finish(sum(view, at, ownSize)));
  return ownSize + size;
}

/** Leaves a header no options but those that each fragment has. Returns its size. */
function keepCopiedOptions(view: DataView, header: number, headerSize: number): number {
  const end = header + headerSize;
  let to = header + ipv4.MIN_HEADER_SIZE;
  for (let at = to; at < end;) {
    const option = view.getUint8(at);
    if (option === ipv4.OPTION_END) break;
    const size = option === ipv4.OPTION_NO_OPERATION ? 1 : at + 1 < end ? view.getUint8(at + 1) : 0;
    // `checkIpv4()` passes no such.
    if (size === 0 || at + size > end) break;
    if ((option & OPTION_IS_COPIED) !== 0) {
      for (let i = 0; i < size; i++) view.setUint8(to++, view.getUint8(at + i));
    }
    at += size;
  }
  while ((to - header & 3) !== 0) view.setUint8(to++, ipv4.OPTION_END);
  const ownSize = to - header;
  view.setUint8(header, 4 << 4 | ownSize >>> 2);
  return ownSize;
}
