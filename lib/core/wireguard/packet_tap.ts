/** Packet tap: what an observer of the packets inside the tunnel is told of each. */
import type { Peer } from "./peer.ts";

/** Direction of a packet, as this end sees it; the numbers are those of pcapng's `epb_flags`. */
export const PacketDirection = { inbound: 1, outbound: 2 } as const;
export type PacketDirection = (typeof PacketDirection)[keyof typeof PacketDirection];

/** Watches packets as they pass; it neither changes nor keeps them. */
export interface PacketTap {
  /**
   * Called with each packet from a peer that has passed the checks, whatever becomes of it then, and with each packet
   * to a peer right before it is sealed: a super-packet of the host's is many by then. On the hot path.
   *
   * @param offset of an IP packet in the packet memory, valid during the call only
   * @param length bytes, without padding
   */
  take(peer: Peer, direction: PacketDirection, offset: number, length: number): void;
  /** Called with how many packets of a peer have passed that another thread had no room to show. */
  missed(peer: Peer, count: number): void;
}
