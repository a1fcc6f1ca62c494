/** Control messages of UDP sockets: what the kernel says of a received datagram, and what it is told of one to send. */
import {
  IP_PKTINFO,
  IP_TOS,
  IPV6_PKTINFO,
  IPV6_TCLASS,
  SOL_IP,
  SOL_IPV6,
  SOL_UDP,
  UDP_GRO,
  UDP_SEGMENT,
} from "../socket_constants.ts";

/** `struct cmsghdr { size_t len; int level; int type; }`, its data behind it, padded to 8 bytes. */
const HEADER_SIZE = 16;
const LEVEL = 8;
const TYPE = 12;

/** `struct in_pktinfo { int ipi_ifindex; be32 ipi_spec_dst; be32 ipi_addr; }` */
const PACKET_INFO_LENGTH = HEADER_SIZE + 12;
const PACKET_INFO_SPACE = HEADER_SIZE + 16;
const PACKET_INFO_SOURCE = HEADER_SIZE + 4;
const PACKET_INFO_DESTINATION = HEADER_SIZE + 8;
/** `struct in6_pktinfo { in6_addr ipi6_addr; u32 ipi6_ifindex; }` */
const PACKET_INFO6_LENGTH = HEADER_SIZE + 20;
const PACKET_INFO6_SPACE = HEADER_SIZE + 24;
const PACKET_INFO6_INTERFACE = HEADER_SIZE + 16;
/**
 * `int` on send; on receive `u8` of IPv4, `int` of IPv6: the type of service or traffic class, of which ECN is two
 * bits.
 */
const TYPE_OF_SERVICE_LENGTH = HEADER_SIZE + 4;
const TYPE_OF_SERVICE_SPACE = HEADER_SIZE + 8;
const ECN_MASK = 0b11;
/** `u16 gso_size` on send, `int gso_size` on receive. */
const SEGMENT_SIZE_LENGTH = HEADER_SIZE + 2;
const SEGMENT_SIZE_SPACE = HEADER_SIZE + 8;

/** Room for one message of each kind: of an IPv4 datagram, a socket of both families has both addresses told. */
export const CONTROL_SIZE: number = PACKET_INFO_SPACE + PACKET_INFO6_SPACE + TYPE_OF_SERVICE_SPACE +
  SEGMENT_SIZE_SPACE;

/** Where decoded control messages go, index by index. */
export interface ReceivedControl {
  readonly receivedSegmentSizes: Int32Array;
  readonly receivedSources: Int32Array;
  /** Where among the control messages an IPv6 address stands; -1 where there is none. */
  readonly receivedSources6: Int32Array;
  readonly receivedEcns: Uint8Array;
}

/**
 * Decodes the control messages from `at` to `end` into place `index`; what is not among them is 0 there. Messages that
 * are not asked for are skipped, one without room for its own header ends the list.
 */
export function readControl(
  view: DataView,
  at: number,
  end: number,
  into: ReceivedControl,
  index: number,
): void {
  into.receivedSegmentSizes[index] = 0;
  into.receivedSources[index] = 0;
  into.receivedSources6[index] = -1;
  into.receivedEcns[index] = 0;
  while (at + HEADER_SIZE <= end) {
    const length = view.getUint32(at, true);
    if (length < HEADER_SIZE) return;
    const level = view.getInt32(at + LEVEL, true);
    const type = view.getInt32(at + TYPE, true);
    if (level === SOL_UDP && type === UDP_GRO) {
      into.receivedSegmentSizes[index] = view.getInt32(at + HEADER_SIZE, true);
    } else if (level === SOL_IP && type === IP_PKTINFO) {
      into.receivedSources[index] = view.getInt32(at + PACKET_INFO_SOURCE);
    } else if (level === SOL_IP && type === IP_TOS) {
      into.receivedEcns[index] = view.getUint8(at + HEADER_SIZE) & ECN_MASK;
    } else if (level === SOL_IPV6 && type === IPV6_PKTINFO) {
      into.receivedSources6[index] = at + HEADER_SIZE;
    } else if (level === SOL_IPV6 && type === IPV6_TCLASS) {
      // The first byte of the number.
      into.receivedEcns[index] = view.getUint8(at + HEADER_SIZE) & ECN_MASK;
    }
    at += (length + 7) & ~7;
  }
}

/**
 * Writes at `at` the IPv4 address that a datagram leaves from, host order, int32 or uint32; returns the bytes that this
 * takes.
 */
export function writeSource(view: DataView, at: number, source: number): number {
  writeHeader(view, at, PACKET_INFO_LENGTH, SOL_IP, IP_PKTINFO);
  view.setInt32(at + HEADER_SIZE, 0, true);
  view.setInt32(at + PACKET_INFO_SOURCE, source);
  view.setUint32(at + PACKET_INFO_DESTINATION, 0);
  return PACKET_INFO_SPACE;
}

/** The same of an IPv6 address, the 16 bytes at `from` of `source`. */
export function writeSource6(view: DataView, at: number, source: DataView, from: number): number {
  writeHeader(view, at, PACKET_INFO6_LENGTH, SOL_IPV6, IPV6_PKTINFO);
  for (let i = 0; i < 16; i += 4) view.setInt32(at + HEADER_SIZE + i, source.getInt32(from + i));
  view.setInt32(at + PACKET_INFO6_INTERFACE, 0);
  return PACKET_INFO6_SPACE;
}

/** Writes at `at` the ECN bits of a datagram's IPv4 header; returns the bytes that this takes. */
export function writeEcn(view: DataView, at: number, ecn: number): number {
  writeHeader(view, at, TYPE_OF_SERVICE_LENGTH, SOL_IP, IP_TOS);
  view.setInt32(at + HEADER_SIZE, ecn, true);
  return TYPE_OF_SERVICE_SPACE;
}

/** The same of an IPv6 header. */
export function writeEcn6(view: DataView, at: number, ecn: number): number {
  writeHeader(view, at, TYPE_OF_SERVICE_LENGTH, SOL_IPV6, IPV6_TCLASS);
  view.setInt32(at + HEADER_SIZE, ecn, true);
  return TYPE_OF_SERVICE_SPACE;
}

/** Writes at `at` after how many bytes the kernel begins a new datagram; returns the bytes that this takes. */
export function writeSegmentSize(view: DataView, at: number, size: number): number {
  writeHeader(view, at, SEGMENT_SIZE_LENGTH, SOL_UDP, UDP_SEGMENT);
  view.setUint16(at + HEADER_SIZE, size, true);
  return SEGMENT_SIZE_SPACE;
}

function writeHeader(
  view: DataView,
  at: number,
  length: number,
  level: number,
  type: number,
): void {
  view.setUint32(at, length, true);
  // What an earlier message with other parts had here would make the length too large: EINVAL for the datagram.
  view.setUint32(at + 4, 0);
  view.setInt32(at + LEVEL, level, true);
  view.setInt32(at + TYPE, type, true);
}
