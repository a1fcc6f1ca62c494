/** The state of UDP mappings: what one has talked to decides how long it is kept (RFC 4787 REQ-5a), and beside what. */
import { FIRST_REGISTERED_PORT } from "./admission.ts";
import { UDP_TIMEOUT, WELL_KNOWN_UDP_TIMEOUT } from "./constants.ts";
import type { NatSession, SessionList } from "./records.ts";

/** Of the session of a mapping: it has talked to another port than DNS's, or to one above the well-known. */
export const NOT_DNS = 1;
const NOT_WELL_KNOWN = 2;
/** All that it may have. */
export const UDP_SEEN: number = NOT_DNS | NOT_WELL_KNOWN;

/** What a mapping has talked to, by a remote port other than DNS's. */
export function seenBy(remotePort: number): number {
  return remotePort < FIRST_REGISTERED_PORT ? NOT_DNS : NOT_DNS | NOT_WELL_KNOWN;
}

/**
 * The list of its client's that a mapping belongs to as long as it is in use. Once it has talked to a port above, it is
 * kept as long as any: who talks on knows of no other.
 */
export function udpListOf({ mapping: { lists }, seen }: NatSession): SessionList {
  return (seen & NOT_WELL_KNOWN) === 0 ? lists.brief : lists.lasting;
}

/** ms for which a mapping is kept as long as it is in use. */
export function udpTimeoutOf({ seen }: NatSession): number {
  return (seen & NOT_WELL_KNOWN) === 0 ? WELL_KNOWN_UDP_TIMEOUT : UDP_TIMEOUT;
}
