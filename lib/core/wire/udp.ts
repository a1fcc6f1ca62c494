/**
 * UDP header (RFC 768). Check `isWhole` once, then use the accessors; import as a namespace.
 *
 * ```text
 *  0 source port 2   2 destination port 2   4 length 2   6 checksum 2   8 payload
 * ```
 */

export const SOURCE_PORT_OFFSET = 0;
export const DESTINATION_PORT_OFFSET = 2;
export const LENGTH_OFFSET = 4;
export const CHECKSUM_OFFSET = 6;
export const HEADER_SIZE = 8;

/** Whether `available` bytes at `offset` hold a whole header whose own length can be right. */
export function isWhole(view: DataView, offset: number, available: number): boolean {
  return available >= HEADER_SIZE && length(view, offset) >= HEADER_SIZE;
}

export function sourcePort(view: DataView, offset: number): number {
  return view.getUint16(offset + SOURCE_PORT_OFFSET);
}

export function destinationPort(view: DataView, offset: number): number {
  return view.getUint16(offset + DESTINATION_PORT_OFFSET);
}

/** Bytes of header and payload. Of a first fragment: of the whole datagram, which is longer than the fragment. */
export function length(view: DataView, offset: number): number {
  return view.getUint16(offset + LENGTH_OFFSET);
}

/** 0 where the sender made none. */
export function checksum(view: DataView, offset: number): number {
  return view.getUint16(offset + CHECKSUM_OFFSET);
}
