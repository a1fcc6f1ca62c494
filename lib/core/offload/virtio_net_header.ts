/**
 * Virtio-net header, which stands before each packet of a TUN with IFF_VNET_HDR (include/uapi/linux/virtio_net.h), in
 * host order:
 *
 * ```text
 *   0 flags 1      1 gso_type 1     2 hdr_len 2
 *   4 gso_size 2   6 csum_start 2   8 csum_offset 2
 * ```
 */
import { CHECKSUM_OFFSET as TCP_CHECKSUM_OFFSET } from "../wire/tcp.ts";
import {
  CHECKSUM_OFFSET as UDP_CHECKSUM_OFFSET,
  HEADER_SIZE as UDP_HEADER_SIZE,
} from "../wire/udp.ts";

export const VNET_HEADER_SIZE = 10;

export const FLAGS_OFFSET = 0;
export const GSO_TYPE_OFFSET = 1;
const HEADER_LENGTH_OFFSET = 2;
export const GSO_SIZE_OFFSET = 4;
export const CHECKSUM_START_OFFSET = 6;
export const CHECKSUM_OFFSET_OFFSET = 8;

/** The checksum field holds the sum of the pseudo-header only: the sender of the packet completes it. */
export const FLAG_NEEDS_CHECKSUM = 1;
/** The checksum was found right. */
export const FLAG_DATA_VALID = 2;

export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_TCPV6 = 4;
/** UDP datagrams of one size, the last perhaps shorter; since Linux 6.2. */
export const GSO_UDP_L4 = 5;
/** Set beside the type when the TCP connection uses ECN. */
export const GSO_ECN = 0x80;

/**
 * Describes a merged TCP packet whose checksum the kernel completes.
 *
 * @param segmentStart bytes before the TCP header: of the IP header, and of a link-layer header if there is one
 * @param headerSize the same with the TCP header
 * @param segmentSize payload bytes of each packet but the last
 * @param type `GSO_TCPV4` or `GSO_TCPV6`
 */
export function writeTcpHeader(
  view: DataView,
  offset: number,
  segmentStart: number,
  headerSize: number,
  segmentSize: number,
  type: number = GSO_TCPV4,
): void {
  writeSegments(view, offset, type, headerSize, segmentSize);
  writeChecksum(view, offset, segmentStart, TCP_CHECKSUM_OFFSET);
}

/** The same of merged UDP datagrams; `datagramStart` and `segmentSize` as there. */
export function writeUdpHeader(
  view: DataView,
  offset: number,
  datagramStart: number,
  segmentSize: number,
): void {
  writeSegments(view, offset, GSO_UDP_L4, datagramStart + UDP_HEADER_SIZE, segmentSize);
  writeChecksum(view, offset, datagramStart, UDP_CHECKSUM_OFFSET);
}

/** Describes one TCP segment, `segmentStart` bytes into the frame, whose checksum the kernel completes. */
export function writePartialHeader(view: DataView, offset: number, segmentStart: number): void {
  writeSegments(view, offset, GSO_NONE, 0, 0);
  writeChecksum(view, offset, segmentStart, TCP_CHECKSUM_OFFSET);
}

/** Writes how the kernel is to divide the frame; zeros where it is one segment. */
function writeSegments(
  view: DataView,
  offset: number,
  type: number,
  headerSize: number,
  segmentSize: number,
): void {
  view.setUint8(offset + GSO_TYPE_OFFSET, type);
  view.setUint16(offset + HEADER_LENGTH_OFFSET, headerSize, true);
  view.setUint16(offset + GSO_SIZE_OFFSET, segmentSize, true);
}

/** Writes which checksum the kernel is to complete: it covers all from `start`, and stands `checksumOffset` behind. */
function writeChecksum(
  view: DataView,
  offset: number,
  start: number,
  checksumOffset: number,
): void {
  view.setUint8(offset + FLAGS_OFFSET, FLAG_NEEDS_CHECKSUM);
  view.setUint16(offset + CHECKSUM_START_OFFSET, start, true);
  view.setUint16(offset + CHECKSUM_OFFSET_OFFSET, checksumOffset, true);
}

/** Describes a packet that is whole. */
export function writePlainHeader(view: DataView, offset: number): void {
  for (let at = offset; at < offset + VNET_HEADER_SIZE; at += 2) view.setUint16(at, 0);
}
