/**
 * TCP header (RFC 9293 section 3.1). Check `isWhole` once, then use the accessors; import as a namespace.
 *
 * ```text
 *   0 source port 2         2 destination port 2
 *   4 sequence number 4     8 acknowledgment number 4
 *  12 data offset, 4 bits   13 flags   14 window 2
 *  16 checksum 2           18 urgent pointer 2
 *  20 options, then the payload at the data offset
 * ```
 */

export const SOURCE_PORT_OFFSET = 0;
export const DESTINATION_PORT_OFFSET = 2;
export const SEQUENCE_NUMBER_OFFSET = 4;
export const ACKNOWLEDGMENT_NUMBER_OFFSET = 8;
export const DATA_OFFSET_OFFSET = 12;
export const FLAGS_OFFSET = 13;
export const WINDOW_OFFSET = 14;
export const CHECKSUM_OFFSET = 16;
const URGENT_POINTER_OFFSET = 18;
/** Bytes of the header without options. */
export const MIN_HEADER_SIZE = 20;

export const FLAG_FIN = 0x01;
export const FLAG_SYN = 0x02;
export const FLAG_RST = 0x04;
export const FLAG_PSH = 0x08;
export const FLAG_ACK = 0x10;
export const FLAG_URG = 0x20;
export const FLAG_ECE = 0x40;
export const FLAG_CWR = 0x80;

// Options (RFC 9293 section 3.2; window scale: RFC 7323 section 2.2).
export const OPTION_END = 0;
export const OPTION_NO_OPERATION = 1;
export const OPTION_MSS = 2;
export const OPTION_MSS_SIZE = 4;
export const OPTION_WINDOW_SCALE = 3;
export const OPTION_WINDOW_SCALE_SIZE = 3;
const OPTION_AUTHENTICATION = 29;

/** Whether `available` bytes at `offset` hold a whole header, options included. */
export function isWhole(view: DataView, offset: number, available: number): boolean {
  if (available < MIN_HEADER_SIZE) return false;
  const size = headerSize(view, offset);
  return size >= MIN_HEADER_SIZE && size <= available;
}

export function sourcePort(view: DataView, offset: number): number {
  return view.getUint16(offset + SOURCE_PORT_OFFSET);
}

export function destinationPort(view: DataView, offset: number): number {
  return view.getUint16(offset + DESTINATION_PORT_OFFSET);
}

export function sequenceNumber(view: DataView, offset: number): number {
  return view.getUint32(offset + SEQUENCE_NUMBER_OFFSET);
}

export function acknowledgmentNumber(view: DataView, offset: number): number {
  return view.getUint32(offset + ACKNOWLEDGMENT_NUMBER_OFFSET);
}

/** The data offset in bytes: 20 to 60 for a header that is whole. */
export function headerSize(view: DataView, offset: number): number {
  return view.getUint8(offset + DATA_OFFSET_OFFSET) >>> 4 << 2;
}

/** The eight flags of `FLAG_*`. */
export function flags(view: DataView, offset: number): number {
  return view.getUint8(offset + FLAGS_OFFSET);
}

export function window(view: DataView, offset: number): number {
  return view.getUint16(offset + WINDOW_OFFSET);
}

export function checksum(view: DataView, offset: number): number {
  return view.getUint16(offset + CHECKSUM_OFFSET);
}

export function urgentPointer(view: DataView, offset: number): number {
  return view.getUint16(offset + URGENT_POINTER_OFFSET);
}

/**
 * Where the first option of a whole header begins that has a length (all but "end" and "no operation"); -1 where there
 * is none. Its kind is the byte there, its size the byte behind it, and all of it is within the header. A broken
 * option, and all behind it, counts as not there.
 */
export function firstOption(view: DataView, offset: number): number {
  return optionFrom(view, offset + MIN_HEADER_SIZE, offset + headerSize(view, offset));
}

/** Where the option behind the one at `option` begins; -1 where there is none. */
export function nextOption(view: DataView, offset: number, option: number): number {
  return optionFrom(view, option + view.getUint8(option + 1), offset + headerSize(view, offset));
}

/** Whether an option says that nobody may change the segment, its other options included (RFC 5925 section 5.1). */
export function isAuthenticated(view: DataView, offset: number): boolean {
  let option = firstOption(view, offset);
  while (option >= 0 && view.getUint8(option) !== OPTION_AUTHENTICATION) {
    option = nextOption(view, offset, option);
  }
  return option >= 0;
}

function optionFrom(view: DataView, from: number, end: number): number {
  for (let at = from; at < end; at++) {
    const kind = view.getUint8(at);
    if (kind === OPTION_END) return -1;
    if (kind === OPTION_NO_OPERATION) continue;
    const size = at + 1 < end ? view.getUint8(at + 1) : 0;
    return size < 2 || at + size > end ? -1 : at;
  }
  return -1;
}
