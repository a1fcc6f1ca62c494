/**
 * ECN across a tunnel (RFC 6040): what becomes of the two bits of a packet inside, by those of the datagram that
 * carried it. On the outside stands what the packet has (normal mode, section 4.1), so that routers may mark it instead
 * of dropping it.
 */
import * as ipv4 from "./ipv4.ts";

/** Of the first two bytes of a packet: set in IPv6's version, and not in IPv4's. */
const VERSION_6 = 0x2000;
/** Where the bits stand in the first two bytes of an IPv6 packet, whose traffic class crosses both. */
const SHIFT_6 = 4;

/** The two bits, in the type of service. */
export const Ecn = { notEct: 0, ect1: 1, ect0: 2, ce: 3 } as const;
const ECN_MASK = 0b11;

/** Stands for a packet that is to be dropped. */
const DROP = 0xff;
/**
 * Section 4.2, figure 4: by the bits inside, four at a time those outside, as numbers of `Ecn`. A router has marked
 * what says of itself that it would not answer to a mark: a drop is what it answers to.
 */
const COMBINED = Uint8Array.of(
  ...[Ecn.notEct, Ecn.notEct, Ecn.notEct, DROP],
  ...[Ecn.ect1, Ecn.ect1, Ecn.ect1, Ecn.ce],
  ...[Ecn.ect0, Ecn.ect1, Ecn.ect0, Ecn.ce],
  ...[Ecn.ce, Ecn.ce, Ecn.ce, Ecn.ce],
);

/** The bits of a packet that has passed the checks, or is to. */
export function ecnOf(view: DataView, packet: number): number {
  const first = view.getUint16(packet);
  return ((first & VERSION_6) === 0 ? first : first >>> SHIFT_6) & ECN_MASK;
}

/**
 * Takes over what routers have marked on the datagram that carried a packet, which has passed `checkIpv4`.
 *
 * @param outer the datagram's bits
 * @returns whether the packet may go on
 */
export function takeOverEcn(view: DataView, packet: number, outer: number): boolean {
  const before = view.getUint16(packet);
  const combined = COMBINED[(before & ECN_MASK) << 2 | outer];
  if (combined === DROP) return false;
  const after = before & ~ECN_MASK | combined;
  if (after === before) return true;
  view.setUint16(packet, after);
  // RFC 1624: HC' = ~(~HC + ~m + m').
  const checksum = view.getUint16(packet + ipv4.HEADER_CHECKSUM_OFFSET);
  let sum = (~checksum & 0xffff) + (~before & 0xffff) + after;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(packet + ipv4.HEADER_CHECKSUM_OFFSET, ~sum & 0xffff);
  return true;
}

/** The same of an IPv6 packet, which has no checksum to be kept right. */
export function takeOverEcn6(view: DataView, packet: number, outer: number): boolean {
  const before = view.getUint16(packet);
  const combined = COMBINED[(before >>> SHIFT_6 & ECN_MASK) << 2 | outer];
  if (combined === DROP) return false;
  view.setUint16(packet, before & ~(ECN_MASK << SHIFT_6) | combined << SHIFT_6);
  return true;
}
