/** Worker reports: what a packet worker tells the device's thread, at once or summed up. */
import { copyBytes } from "../../threads/copy_bytes.ts";
import type { RingWriter } from "../../threads/record_ring.ts";
import type { Turn } from "../../threads/shared_counter.ts";
import { writePathRecord } from "../../transport/path_record.ts";
import type { Paths } from "../../transport/paths.ts";
import { type DropCounters, DropReason } from "../../wire/drop_reason.ts";
import type { Memory } from "../../wire/memory.ts";
import type { AnyPacketTap } from "../packet_peer.ts";
import type { PacketDirection } from "../packet_tap.ts";
import type { WorkerPeer, WorkerSession } from "./worker_peer.ts";
import {
  ACTIVITY_FLAGS,
  ACTIVITY_RATE_LIMITED,
  ACTIVITY_RECEIVED_AT,
  ACTIVITY_RECEIVED_BYTES,
  ACTIVITY_RECEIVED_DATA,
  ACTIVITY_SENT_AT,
  ACTIVITY_SENT_BYTES,
  ACTIVITY_SENT_DATA,
  ACTIVITY_SIZE,
  ACTIVITY_UNWATCHED,
  DATAGRAM_BYTES,
  DATAGRAM_PATH,
  DROPS_COUNTS,
  OPENED_BYTES,
  OPENED_COUNTER_HIGH,
  OPENED_LENGTH,
  OPENED_LOCAL,
  OPENED_PACKET_LENGTH,
  OPENED_PATH,
  OPENED_TAG,
  openedShare,
  PACKETS_SHARE,
  PEER,
  RecordKind,
  REFUSED_SIZE,
  REFUSED_SOURCE,
  STRANGERS_SHARE,
  UNSENT_BYTES,
  WATCHED_BYTES,
  WATCHED_DIRECTION,
  WATCHED_LENGTH,
  WATCHED_MISSED,
} from "./records.ts";

/** ms between two sums of what has passed: far less than any timer of a peer's takes. */
const SUM_INTERVAL = 100;
/** What one peer may have told by itself in a turn: it may fill the ring for others else. */
const MAX_TOLD = 16;
/** Packets of one peer that are handed over in a turn to wait for a session. */
const MAX_UNSENT = 64;

export interface WorkerReportsOptions {
  readonly memory: Memory;
  readonly ring: RingWriter;
  readonly paths: Paths;
  readonly drops: DropCounters;
  readonly turn: Turn;
}

export class WorkerReports implements AnyPacketTap {
  /** Bytes of a packet that are watched. */
  watchLength = 0;
  readonly #memory: Memory;
  readonly #ring: RingWriter;
  readonly #paths: Paths;
  readonly #drops: DropCounters;
  readonly #turn: Turn;
  /** Peers with something to be summed up; as many as count. */
  readonly #active: WorkerPeer[] = [];
  #activeCount = 0;
  readonly #toldDrops: Float64Array;
  #toldTotal = 0;
  #sumAt = Infinity;

  constructor(options: WorkerReportsOptions) {
    this.#memory = options.memory;
    this.#ring = options.ring;
    this.#paths = options.paths;
    this.#drops = options.drops;
    this.#turn = options.turn;
    this.#toldDrops = new Float64Array(options.drops.counts.length);
  }

  // At once.

  /**
   * Tells of a message that was opened; its packet only where that is a message of ours, for the device.
   *
   * @param length bytes of the message
   * @returns false where the peer has had enough told, or there is no room
   */
  opened(
    session: WorkerSession,
    length: number,
    packet: number,
    packetLength: number,
    isControl: boolean,
    path: number,
  ): boolean {
    const { peer } = session;
    if (!this.#mayTell(peer, MAX_TOLD)) return false;
    const ring = this.#ring;
    // Of a packet, the device only looks at the first byte.
    const copied = isControl ? packetLength : Math.min(packetLength, 1);
    const share = openedShare(!session.isKnown, isControl);
    const at = ring.begin(RecordKind.opened, OPENED_BYTES + copied, share);
    if (at < 0) return false;
    const { view } = ring;
    view.setInt32(at + OPENED_LOCAL, session.localIndex, true);
    view.setInt32(at + OPENED_LENGTH, length, true);
    view.setInt32(at + OPENED_PACKET_LENGTH, packetLength, true);
    view.setUint32(at + OPENED_COUNTER_HIGH, session.replay.greatestHigh, true);
    view.setInt32(at + OPENED_TAG, peer.tag, true);
    writePathRecord(ring.bytes, at + OPENED_PATH, this.#paths, path);
    this.#copy(at + OPENED_BYTES, packet, copied);
    ring.commit();
    session.isKnown = true;
    return true;
  }

  /** Hands over a datagram that is for another thread; what there is no room for is lost, as it may be on its way. */
  datagram(offset: number, length: number, path: number): void {
    const ring = this.#ring;
    const at = ring.begin(RecordKind.datagram, DATAGRAM_BYTES + length, STRANGERS_SHARE);
    if (at < 0) {
      this.#drops.add(DropReason.sendQueueFull, length);
      return;
    }
    writePathRecord(ring.bytes, at + DATAGRAM_PATH, this.#paths, path);
    this.#copy(at + DATAGRAM_BYTES, offset, length);
    ring.commit();
  }

  /** Hands over a packet that has to wait for a session, or for the proof of an endpoint. */
  unsent(peer: WorkerPeer, offset: number, length: number): void {
    const ring = this.#ring;
    const at = this.#mayTell(peer, MAX_UNSENT)
      ? ring.begin(RecordKind.unsent, UNSENT_BYTES + length, PACKETS_SHARE)
      : -1;
    if (at < 0) {
      this.#drops.add(DropReason.noSession, length);
      return;
    }
    ring.view.setInt32(at + PEER, peer.tag, true);
    this.#copy(at + UNSENT_BYTES, offset, length);
    ring.commit();
  }

  /** Tells of a local address that the host no longer has, by its digest (paths.ts). */
  sourceRefused(source: number): void {
    const at = this.#ring.begin(RecordKind.sourceRefused, REFUSED_SIZE);
    if (at < 0) return;
    this.#ring.view.setInt32(at + REFUSED_SOURCE, source, true);
    this.#ring.commit();
  }

  /** Shows a packet to who watches them; what there is no room for is counted, and told with the next one, or sum. */
  take(peer: WorkerPeer, direction: PacketDirection, offset: number, length: number): void {
    const ring = this.#ring;
    const copied = Math.min(length, this.watchLength);
    const at = ring.begin(RecordKind.watched, WATCHED_BYTES + copied, PACKETS_SHARE);
    if (at < 0) {
      peer.unwatched++;
      return;
    }
    ring.view.setInt32(at + PEER, peer.tag, true);
    ring.view.setInt32(at + WATCHED_DIRECTION, direction, true);
    ring.view.setInt32(at + WATCHED_LENGTH, length, true);
    ring.view.setInt32(at + WATCHED_MISSED, peer.unwatched, true);
    peer.unwatched = 0;
    this.#copy(at + WATCHED_BYTES, offset, copied);
    ring.commit();
  }

  #mayTell(peer: WorkerPeer, limit: number): boolean {
    if (peer.toldIn !== this.#turn.number) {
      peer.toldIn = this.#turn.number;
      peer.toldCount = 0;
    }
    return peer.toldCount++ < limit;
  }

  #copy(to: number, from: number, length: number): void {
    copyBytes(this.#memory.view, from, this.#ring.view, to, length);
  }

  // Summed up.

  /** Something has passed that is to be summed up. */
  isActive(peer: WorkerPeer, now: number): void {
    if (peer.isActive) return;
    peer.isActive = true;
    this.#active[this.#activeCount++] = peer;
    if (this.#sumAt === Infinity) this.#sumAt = now + SUM_INTERVAL;
  }

  /** When `poll()` has something to do, monotonic ms. */
  pollAt(): number {
    return this.#sumAt;
  }

  poll(now: number): void {
    if (this.#sumAt === Infinity && this.#drops.total !== this.#toldTotal) {
      this.#sumAt = now + SUM_INTERVAL;
    }
    if (now < this.#sumAt) return;
    this.#sumAt = Infinity;
    let kept = 0;
    for (let i = 0; i < this.#activeCount; i++) {
      const peer = this.#active[i];
      if (!this.#sumUp(peer)) this.#active[kept++] = peer;
    }
    this.#activeCount = kept;
    if (!this.#tellDrops() || kept > 0) this.#sumAt = now + SUM_INTERVAL;
  }

  /** False where there is no room: the sum grows until there is. */
  #sumUp(peer: WorkerPeer): boolean {
    const ring = this.#ring;
    const at = ring.begin(RecordKind.activity, ACTIVITY_SIZE);
    if (at < 0) return false;
    const { view } = ring;
    const flags = (peer.hasReceivedData ? ACTIVITY_RECEIVED_DATA : 0) |
      (peer.hasSentData ? ACTIVITY_SENT_DATA : 0);
    view.setInt32(at + PEER, peer.tag, true);
    view.setInt32(at + ACTIVITY_FLAGS, flags, true);
    view.setFloat64(at + ACTIVITY_RECEIVED_BYTES, peer.receivedBytes, true);
    view.setFloat64(at + ACTIVITY_SENT_BYTES, peer.sentBytes, true);
    view.setFloat64(at + ACTIVITY_RECEIVED_AT, peer.receivedAt, true);
    view.setFloat64(at + ACTIVITY_SENT_AT, peer.sentAt, true);
    view.setInt32(at + ACTIVITY_RATE_LIMITED, peer.rateLimited, true);
    view.setInt32(at + ACTIVITY_UNWATCHED, peer.unwatched, true);
    ring.commit();
    peer.forgetActivity();
    return true;
  }

  #tellDrops(): boolean {
    const { counts, total } = this.#drops;
    if (total === this.#toldTotal) return true;
    const ring = this.#ring;
    const at = ring.begin(RecordKind.drops, 8 * counts.length);
    if (at < 0) return false;
    for (let i = 0; i < counts.length; i++) {
      ring.view.setFloat64(at + DROPS_COUNTS + 8 * i, counts[i] - this.#toldDrops[i], true);
    }
    ring.commit();
    this.#toldDrops.set(counts);
    this.#toldTotal = total;
    return true;
  }
}
