/**
 * Owns the packets that wait for a session: copies, bounded for each peer and in all.
 *
 * Only packets that find no session are copied, so this is off the hot path. When a peer's queue is full the oldest packet
 * gives way: the connections inside will have sent it again, and the newest is the one that still matters.
 */
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import { MAX_STAGED_BYTES, MAX_STAGED_PACKETS } from "./constants.ts";
import type { Peer } from "./peer.ts";

export class StagedPackets {
  readonly #drops: DropCounters;
  /** Bytes that wait for all peers together. */
  #bytes = 0;

  constructor(drops: DropCounters) {
    this.#drops = drops;
  }

  /** Keeps a copy of `packet` until `peer` has a session. */
  add(peer: Peer, packet: Uint8Array<ArrayBuffer>): void {
    const { staged } = peer;
    while (
      staged.length > 0 &&
      (staged.length >= MAX_STAGED_PACKETS || this.#bytes + packet.length > MAX_STAGED_BYTES)
    ) {
      this.#drop(staged.shift()!);
    }
    if (this.#bytes + packet.length > MAX_STAGED_BYTES) {
      this.#drops.add(DropReason.noSession, packet.length);
      return;
    }
    staged.push(packet.slice());
    this.#bytes += packet.length;
  }

  /** Takes all packets that wait for `peer`, oldest first. */
  take(peer: Peer): Uint8Array[] {
    const packets = peer.staged.splice(0);
    for (const packet of packets) this.#bytes -= packet.length;
    return packets;
  }

  /** Gives up on the packets that wait for `peer`; each is counted. */
  drop(peer: Peer): void {
    for (const packet of peer.staged.splice(0)) this.#drop(packet);
  }

  #drop(packet: Uint8Array): void {
    this.#bytes -= packet.length;
    this.#drops.add(DropReason.noSession, packet.length);
  }
}
