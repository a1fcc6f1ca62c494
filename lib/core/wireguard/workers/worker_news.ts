/**
 * Worker news: what packet workers tell the device's thread, and what it does of that: messages that it has to know of,
 * what has passed, packets that cannot be sent yet, handshake messages that went astray.
 */
import { readPathRecord } from "../../transport/path_record.ts";
import type { Paths } from "../../transport/paths.ts";
import { copyBytes } from "../../threads/copy_bytes.ts";
import type { RingReader } from "../../threads/record_ring.ts";
import { type DropCounters, DropReason } from "../../wire/drop_reason.ts";
import type { Memory } from "../../wire/memory.ts";
import type { IndexTable } from "../handshake/index_table.ts";
import type { MessageSender } from "../message_sender.ts";
import type { OpenedMessages } from "../opened_messages.ts";
import type { PacketDirection } from "../packet_tap.ts";
import type { Peer } from "../peer.ts";
import type { PeerTable } from "../peer_table.ts";
import {
  ACTIVITY_FLAGS,
  ACTIVITY_RATE_LIMITED,
  ACTIVITY_RECEIVED_AT,
  ACTIVITY_RECEIVED_BYTES,
  ACTIVITY_RECEIVED_DATA,
  ACTIVITY_SENT_AT,
  ACTIVITY_SENT_BYTES,
  ACTIVITY_SENT_DATA,
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
  PEER,
  RecordKind,
  REFUSED_SOURCE,
  UNSENT_BYTES,
  WATCHED_BYTES,
  WATCHED_DIRECTION,
  WATCHED_LENGTH,
  WATCHED_MISSED,
} from "./records.ts";
import type { Sharing } from "./sharing.ts";

/** Records taken in one turn from one worker. */
const MAX_RECORDS = 256;

export interface WorkerNewsOptions {
  readonly sharing: Sharing;
  readonly memory: Memory;
  /** A region of the memory that a packet is put into, and its bytes. */
  readonly scratch: { readonly offset: number; readonly length: number };
  readonly paths: Paths;
  readonly peers: PeerTable;
  readonly indices: IndexTable;
  readonly opened: OpenedMessages;
  readonly sender: MessageSender;
  readonly drops: DropCounters;
  /** Takes a datagram that came by a path. */
  readonly receive: (offset: number, length: number, path: number, now: number) => void;
  /** Stops using a local address. */
  readonly forgetSource: (source: number) => void;
}

export class WorkerNews {
  readonly #options: WorkerNewsOptions;

  constructor(options: WorkerNewsOptions) {
    this.#options = options;
  }

  /** Takes what a worker tells. Returns whether there may be more. */
  take(ring: RingReader, now: number): boolean {
    for (let i = 0; i < MAX_RECORDS; i++) {
      const kind = ring.next();
      if (kind === 0) return false;
      this.#takeRecord(kind, ring, now);
      ring.done();
    }
    return true;
  }

  #takeRecord(kind: number, ring: RingReader, now: number): void {
    switch (kind) {
      case RecordKind.opened:
        this.#opened(ring, now);
        break;
      case RecordKind.activity:
        this.#activity(ring, now);
        break;
      case RecordKind.unsent:
        this.#unsent(ring, now);
        break;
      case RecordKind.datagram:
        this.#datagram(ring, now);
        break;
      case RecordKind.drops:
        this.#drops(ring);
        break;
      case RecordKind.watched:
        this.#watched(ring);
        break;
      case RecordKind.sourceRefused:
        this.#options.forgetSource(ring.view.getInt32(ring.offset + REFUSED_SOURCE, true));
        break;
    }
  }

  #opened(ring: RingReader, now: number): void {
    const { drops, indices, opened, paths, scratch, sharing } = this.#options;
    const { offset, view } = ring;
    const peer = this.#peerOf(view, offset + OPENED_TAG);
    if (peer === null) return;
    sharing.peerAsked(peer);
    const session = indices.session(view.getInt32(offset + OPENED_LOCAL, true));
    const path = readPathRecord(view, offset + OPENED_PATH, paths);
    // It may have ended meanwhile.
    if (session === null || !this.#copy(ring, OPENED_BYTES)) return;
    // The window is the worker's; of this one, only how far it has come is of interest.
    session.replay.commit(0, view.getUint32(offset + OPENED_COUNTER_HIGH, true));
    const length = view.getInt32(offset + OPENED_LENGTH, true);
    const packetLength = view.getInt32(offset + OPENED_PACKET_LENGTH, true);
    const isPacket = opened.take(peer, session, length, scratch.offset, packetLength, path, now);
    // The worker has handed on what is a packet.
    if (isPacket && ring.length - OPENED_BYTES === packetLength) {
      drops.add(DropReason.badVersion, packetLength);
    }
  }

  #activity({ view, offset }: RingReader, now: number): void {
    const { opened, sender } = this.#options;
    const peer = this.#peerOf(view, offset + PEER);
    if (peer === null) return;
    const flags = view.getInt32(offset + ACTIVITY_FLAGS, true);
    const receivedAt = view.getFloat64(offset + ACTIVITY_RECEIVED_AT, true);
    const sentAt = view.getFloat64(offset + ACTIVITY_SENT_AT, true);
    peer.rateLimited += view.getInt32(offset + ACTIVITY_RATE_LIMITED, true);
    const unwatched = view.getInt32(offset + ACTIVITY_UNWATCHED, true);
    if (unwatched > 0) sender.tap?.missed(peer, unwatched);
    if (receivedAt >= 0) {
      const bytes = view.getFloat64(offset + ACTIVITY_RECEIVED_BYTES, true);
      const isData = (flags & ACTIVITY_RECEIVED_DATA) !== 0;
      opened.openedElsewhere(peer, bytes, receivedAt, isData && receivedAt >= sentAt, now);
    }
    if (sentAt >= 0) {
      const bytes = view.getFloat64(offset + ACTIVITY_SENT_BYTES, true);
      sender.sentElsewhere(peer, bytes, sentAt, (flags & ACTIVITY_SENT_DATA) !== 0, now);
    }
  }

  #unsent(ring: RingReader, now: number): void {
    const { sender, scratch } = this.#options;
    const peer = this.#peerOf(ring.view, ring.offset + PEER);
    if (peer === null || !this.#copy(ring, UNSENT_BYTES)) return;
    sender.send(peer, scratch.offset, ring.length - UNSENT_BYTES, now);
  }

  #datagram(ring: RingReader, now: number): void {
    const { paths, receive, scratch } = this.#options;
    const path = readPathRecord(ring.view, ring.offset + DATAGRAM_PATH, paths);
    if (!this.#copy(ring, DATAGRAM_BYTES)) return;
    receive(scratch.offset, ring.length - DATAGRAM_BYTES, path, now);
  }

  #drops({ view, offset, length }: RingReader): void {
    const { drops } = this.#options;
    for (let i = 0; i < length / 8; i++) {
      drops.addMany(i as DropReason, view.getFloat64(offset + DROPS_COUNTS + 8 * i, true));
    }
  }

  #watched(ring: RingReader): void {
    const { memory, sender: { tap }, scratch } = this.#options;
    const peer = this.#peerOf(ring.view, ring.offset + PEER);
    if (peer === null || tap === null || !this.#copy(ring, WATCHED_BYTES)) return;
    const missed = ring.view.getInt32(ring.offset + WATCHED_MISSED, true);
    if (missed > 0) tap.missed(peer, missed);
    const direction = ring.view.getInt32(ring.offset + WATCHED_DIRECTION, true);
    const length = ring.view.getInt32(ring.offset + WATCHED_LENGTH, true);
    // One who watches from now on may keep more than the worker knew of: nothing of what lay there before.
    const copied = ring.length - WATCHED_BYTES;
    const end = Math.min(length, scratch.length);
    if (copied < end) memory.bytes.fill(0, scratch.offset + copied, scratch.offset + end);
    tap.take(peer, direction as PacketDirection, scratch.offset, length);
  }

  /** Who has the tag that stands at `at`; null for one that is gone, though another has its index by now. */
  #peerOf(view: DataView, at: number): Peer | null {
    const { peers, sharing } = this.#options;
    return peers.byIndex(sharing.indexOf(view.getInt32(at, true)));
  }

  /** Copies a record, but for its first bytes, into the packet memory; false where it does not fit. */
  #copy(ring: RingReader, from: number): boolean {
    const { memory, scratch } = this.#options;
    const length = ring.length - from;
    if (length > scratch.length) return false;
    copyBytes(ring.view, ring.offset + from, memory.view, scratch.offset, length);
    return true;
  }
}
