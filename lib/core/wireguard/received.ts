/**
 * Results of `Device.receive()`: whose datagram it was and how long its packet is, in one small integer.
 *
 * Below 0 it is minus the drop reason, which has been counted; 0 is a datagram that was taken and proves no peer, as a
 * cookie reply does. Above 0 there is the index of the peer that the datagram proved to be from, and the bytes of its
 * packet, padding included: none for a handshake, a keepalive, or a message of our own.
 */
import { TRANSPORT_PACKET_OFFSET } from "../wire/messages.ts";

const LENGTH_BITS = 16;
const LENGTH_MASK = (1 << LENGTH_BITS) - 1;
/** Packets that the cipher reads or writes begin on a multiple of this, so that nothing is allocated for a pointer. */
export const POINTER_ALIGN = 4;

/** The result for a datagram of this peer with a packet of `length` bytes. */
export function received(peerIndex: number, length: number): number {
  return peerIndex << LENGTH_BITS | length;
}

/** The index of the peer in a result above 0. */
export function receivedPeer(result: number): number {
  return result >> LENGTH_BITS;
}

/** The bytes of the packet in a result above 0. */
export function receivedLength(result: number): number {
  return result & LENGTH_MASK;
}

/** Where the packet of a transport message at `offset` begins once the message is opened. */
export function receivedOffset(offset: number): number {
  return (offset + TRANSPORT_PACKET_OFFSET) & ~(POINTER_ALIGN - 1);
}
