/**
 * ICMP header (RFC 792). Check `isWhole` once, then use the accessors; import as a namespace.
 *
 * ```text
 *  0 type 1   1 code 1   2 checksum 2   4 rest of header 4: identifier 2 and sequence number 2 of a query, next-hop
 *                                         MTU (at 6, RFC 1191) of type 3 code 4   8 payload
 * ```
 */

export const TYPE_OFFSET = 0;
export const CODE_OFFSET = 1;
export const CHECKSUM_OFFSET = 2;
export const IDENTIFIER_OFFSET = 4;
export const SEQUENCE_NUMBER_OFFSET = 6;
export const NEXT_HOP_MTU_OFFSET = 6;
export const HEADER_SIZE = 8;

export const TYPE_ECHO_REPLY = 0;
export const TYPE_DESTINATION_UNREACHABLE = 3;
export const TYPE_SOURCE_QUENCH = 4;
export const TYPE_REDIRECT = 5;
export const TYPE_ECHO = 8;
export const TYPE_TIME_EXCEEDED = 11;
const TYPE_PARAMETER_PROBLEM = 12;
/** The first and the last type of further queries, each with its reply behind it: timestamp, information, mask. */
const TYPE_TIMESTAMP = 13;
const TYPE_ADDRESS_MASK_REPLY = 18;

/** Whether there is a whole header in `available` bytes. Every type has eight bytes at least. */
export function isWhole(available: number): boolean {
  return available >= HEADER_SIZE;
}

export function type(view: DataView, offset: number): number {
  return view.getUint8(offset + TYPE_OFFSET);
}

export function code(view: DataView, offset: number): number {
  return view.getUint8(offset + CODE_OFFSET);
}

export function checksum(view: DataView, offset: number): number {
  return view.getUint16(offset + CHECKSUM_OFFSET);
}

/** Of a query and its reply: what tells one asker from another. */
export function identifier(view: DataView, offset: number): number {
  return view.getUint16(offset + IDENTIFIER_OFFSET);
}

export function sequenceNumber(view: DataView, offset: number): number {
  return view.getUint16(offset + SEQUENCE_NUMBER_OFFSET);
}

/** Whether `type` is an error, about which no further error may be sent (RFC 1122 section 3.2.2). */
export function isError(type: number): boolean {
  return type === TYPE_DESTINATION_UNREACHABLE || type === TYPE_SOURCE_QUENCH ||
    type === TYPE_REDIRECT || type === TYPE_TIME_EXCEEDED || type === TYPE_PARAMETER_PROBLEM;
}

/** Whether `type` is a query or its reply, which have an identifier. */
export function isQuery(type: number): boolean {
  return type === TYPE_ECHO || type === TYPE_ECHO_REPLY ||
    (type >= TYPE_TIMESTAMP && type <= TYPE_ADDRESS_MASK_REPLY);
}

/** Whether `type` is the reply to a query. */
export function isReply(type: number): boolean {
  return type === TYPE_ECHO_REPLY || (isQuery(type) && type !== TYPE_ECHO && (type & 1) === 0);
}
