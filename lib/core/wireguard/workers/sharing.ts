/**
 * Sharing: what a device asks and tells where other threads open and seal the packets of its sessions. The device keeps
 * the peers, the handshakes and the timers.
 */
import type { Ipv4Prefix } from "../../wire/ipv4_text.ts";
import type { Ipv6PrefixText } from "../../wire/ipv6_prefix.ts";
import type { TransportKeys } from "../../noise/handshake.ts";
import type { SharedCounter } from "../../threads/shared_counter.ts";
import type { Peer } from "../peer.ts";
import type { PeerSession } from "../session/peer_session.ts";

/** Bits of an index that name the worker which receives what comes under it: the lowest four. */
export const WORKER_MASK = 15;

export interface Sharing {
  /** The number of the worker that receives what comes from this peer, from 0 on. */
  workerOf(peer: Peer): number;
  /** Whether no other session can be made for now, as workers have yet to hear of the end of too many. */
  readonly isFull: boolean;
  /** What a new session draws its counters from. */
  counter(): SharedCounter;
  /** A session is there, whose keys are wiped after this. */
  sessionMade(session: PeerSession, keys: TransportKeys): void;
  /** A session is gone. */
  sessionEnded(session: PeerSession): void;
  /**
   * A peer has these allowed IPs now, and no other peer has one of them any more; of IPv6, null where the tunnel
   * carries none.
   */
  peerPlaced(
    peer: Peer,
    allowedIps: readonly Ipv4Prefix[],
    allowedIps6: readonly Ipv6PrefixText[] | null,
  ): void;
  peerRemoved(peer: Peer): void;
  /** The index of the peer that has this tag (records.ts); 0 for one that has been removed. */
  indexOf(tag: number): number;
  /** A worker has told of this peer, and waits to be told how things are. */
  peerAsked(peer: Peer): void;
  /** Hands a transport message to the worker that its index names, as it is none of the device's; false for none. */
  forward(index: number, offset: number, length: number, path: number): boolean;
}
