/**
 * ICMPv6 header (RFC 4443 section 2.1). Check `isWhole` once, then use the accessors; import as a namespace.
 *
 * ```text
 *  0 type 1   1 code 1   2 checksum 2   4 by type: the MTU of "packet too big"; zero in other errors   8 payload
 * ```
 */

export const TYPE_OFFSET = 0;
export const CODE_OFFSET = 1;
export const CHECKSUM_OFFSET = 2;
export const MTU_OFFSET = 4;
/** Of an echo. */
const IDENTIFIER_OFFSET = 4;
export const HEADER_SIZE = 8;

export const TYPE_DESTINATION_UNREACHABLE = 1;
export const TYPE_PACKET_TOO_BIG = 2;
export const TYPE_TIME_EXCEEDED = 3;
export const TYPE_ECHO = 128;
export const TYPE_ECHO_REPLY = 129;
/** Codes of `TYPE_DESTINATION_UNREACHABLE`. */
export const CODE_NO_ROUTE = 0;
export const CODE_PROHIBITED = 1;

/** Errors are the types below this one. */
const FIRST_INFORMATION = 128;
/**
 * From 130 to 143: multicast listeners (RFC 2710), router and neighbour discovery with redirect (RFC 4861), renumbering
 * (RFC 2894), node information (RFC 4620), inverse discovery (RFC 3122), listener reports (RFC 3810).
 */
const LISTENER_QUERY = 130;
const REDIRECT = 137;
const LISTENER_REPORT = 143;
/** Multicast router discovery (RFC 4286). */
const ROUTER_DISCOVERY = 151;
const ROUTER_DISCOVERY_END = 153;

/** Whether there is a whole header in `available` bytes; errors and echoes have eight at least. */
export function isWhole(available: number): boolean {
  return available >= HEADER_SIZE;
}

export function type(view: DataView, offset: number): number {
  return view.getUint8(offset + TYPE_OFFSET);
}

/** Of an echo request and its reply: what tells one asker from another. */
export function identifier(view: DataView, offset: number): number {
  return view.getUint16(offset + IDENTIFIER_OFFSET);
}

/** Whether `type` is an error, or a redirect, about which no error may be sent (RFC 4443 section 2.4 (e)). */
export function isError(type: number): boolean {
  return type < FIRST_INFORMATION || type === REDIRECT;
}

/**
 * Whether a message is for the hosts of one link among each other, which a tunnel is not: who lets one in lets a peer
 * say what its router is.
 */
export function isOfOneLink(type: number): boolean {
  return type >= LISTENER_QUERY && type <= LISTENER_REPORT ||
    type >= ROUTER_DISCOVERY && type <= ROUTER_DISCOVERY_END;
}
