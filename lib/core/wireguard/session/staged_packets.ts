/**
 * The packets that wait for a session: copies, bounded for each peer and in all.
 *
 * Only packets that find no session are copied, so this is off the hot path. When a peer's queue is full its oldest
 * packet is dropped: the connections inside will have sent it again, and the newest is the one that still matters. When
 * all queues together are full, the longest loses its oldest: who writes to many peers that are away takes no room from
 * the others'.
 */
import { FairShares, type Place } from "../../limits/fair_shares.ts";
import { type DropCounters, DropReason } from "../../wire/drop_reason.ts";
import { MAX_STAGED_BYTES, MAX_STAGED_PACKETS } from "../constants.ts";

/** A packet that waits for its peer. */
interface Staged {
  readonly peer: StagedFor;
  readonly packet: Uint8Array;
}

/** A packet's place among those of all peers, which its peer keeps. */
export type StagedPlace = Place<StagedFor, Staged>;

/** A peer, as far as it is used here. */
export interface StagedFor {
  /** Copies of packets that wait for a session, oldest first. */
  readonly staged: StagedPlace[];
}

export class StagedPackets {
  readonly #drops: DropCounters;
  readonly #shares: FairShares<StagedFor, Staged>;

  /** @param longest bytes that a packet may have */
  constructor(drops: DropCounters, longest: number) {
    this.#drops = drops;
    this.#shares = new FairShares({
      capacity: Math.max(MAX_STAGED_PACKETS, Math.floor(MAX_STAGED_BYTES / longest)),
      share: MAX_STAGED_PACKETS,
      evict: ({ peer, packet }) => {
        // An owner loses its oldest, which is the first of its queue.
        peer.staged.shift();
        this.#drops.add(DropReason.noSession, packet.length);
      },
    });
  }

  /** Keeps a copy of `packet` until `peer` has a session. */
  add(peer: StagedFor, packet: Uint8Array<ArrayBuffer>): void {
    const place = this.#shares.add(peer, { peer, packet: packet.slice() });
    if (place === null) this.#drops.add(DropReason.noSession, packet.length);
    else peer.staged.push(place);
  }

  /** Takes all packets that wait for `peer`, oldest first. */
  take(peer: StagedFor): Uint8Array[] {
    return peer.staged.splice(0).map((place) => {
      this.#shares.remove(place);
      return place.item.packet;
    });
  }

  /** Gives up on the packets that wait for `peer`; each is counted. */
  drop(peer: StagedFor): void {
    for (const packet of this.take(peer)) this.#drops.add(DropReason.noSession, packet.length);
  }
}
