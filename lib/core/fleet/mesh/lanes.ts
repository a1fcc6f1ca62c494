/**
 * Lanes: what gateways of a fleet send each other waits for the one that receives it in several queues, which the
 * kernel tells apart by the datagram's length modulo 16. What a client sends fills a lane of clients at most: never the
 * one of what gateways say themselves, without which one counts as gone, and hardly those of other clients.
 *
 * Nothing authenticates the length: who forges it can put a datagram into another lane, where it fails as it would in
 * its own. Messages of our own are padded as WireGuard has it: those of a version without lanes go by the first.
 */

/** As many as a length modulo 16 can name. */
export const LANES = 16;
/** What gateways say themselves. */
export const OWN_LANE = 0;
const FIRST_OF_CLIENTS = 1;

/** The lane of packets from the client with this index, or for it where they are of no client. */
export function laneOfClient(index: number): number {
  return FIRST_OF_CLIENTS + index % (LANES - FIRST_OF_CLIENTS);
}

/**
 * The lane of clients' datagrams that came to the wrong gateway from this party (`Paths.partyKey()`): who has sent one,
 * that gateway cannot know, so that all of one address count for one.
 */
export function laneOfParty(party: number): number {
  return laneOfClient((party ^ party >>> 16) & 0x7fff_ffff);
}

/** Bytes of a message of `length` bytes, padded so that it goes by a lane. */
export function sizeInLane(length: number, lane: number): number {
  return length + ((lane - length) & (LANES - 1));
}
