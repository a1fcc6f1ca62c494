/**
 * Fake-TCP workers: the end of the thread that has fake TCP's connections, where packet workers have the keys: gives
 * what connections bring to the session's worker, and takes what workers have sealed for them.
 *
 * What a segment brought is named by the connection and the sequence number behind it: what a worker says of it later
 * acknowledges that, and no forged bytes behind it.
 */
import { copyBytes, copyWords } from "../threads/copy_bytes.ts";
import type { RingReader, RingWriter } from "../threads/record_ring.ts";
import type { FakeTcp } from "../transport/fake_tcp/fake_tcp.ts";
import type { Session } from "../transport/fake_tcp/session.ts";
import {
  AUTHENTIC_END,
  AUTHENTIC_LENGTH,
  AUTHENTIC_SESSION,
  AUTHENTIC_TAG,
  FakeTcpRecord,
  RECEIVED_BYTES,
  RECEIVED_ECN,
  RECEIVED_END,
  RECEIVED_PATH,
  RECEIVED_SEGMENT_SIZE,
  RECEIVED_SESSION,
  SEALED_BYTES,
  SEALED_ECN,
  SEALED_PATH,
} from "../transport/fake_tcp/thread_records.ts";
import { readPathRecord, writePathRecord } from "../transport/path_record.ts";
import { NO_PATH, type Paths } from "../transport/paths.ts";
import type { SendQueue } from "../transport/send_queue.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import type { Memory } from "../wire/memory.ts";
import {
  MESSAGE_TRANSPORT,
  messageType,
  TRANSPORT_MIN_SIZE,
  TRANSPORT_RECEIVER_OFFSET,
} from "../wire/messages.ts";
import { WORKER_MASK } from "../wireguard/workers/sharing.ts";
import type { ReceivedMessages, SealedSource } from "./ports.ts";

/** Rings by worker. */
export interface FakeTcpRings {
  readonly toWorkers: readonly RingWriter[];
  readonly fromWorkers: readonly RingReader[];
}

export interface FakeTcpWorkersOptions extends FakeTcpRings {
  readonly memory: Memory;
  readonly paths: Paths;
  readonly connections: FakeTcp;
  readonly drops: DropCounters;
  /** Whether a session of the device has this index, an int32. */
  readonly hasSession: (index: number) => boolean;
  /** The peer with this tag; null for one that is gone. */
  readonly peerOf: (tag: number) => object | null;
  /** Bytes of the longest datagram that the send queue takes. */
  readonly maxDatagram: number;
}

export class FakeTcpWorkers implements SealedSource {
  readonly #options: FakeTcpWorkersOptions;
  readonly #words: Int32Array;
  /** The ring whose turn it is. */
  #next = 0;

  constructor(options: FakeTcpWorkersOptions) {
    this.#options = options;
    const { buffer, byteOffset, length } = options.memory.bytes;
    this.#words = new Int32Array(buffer, byteOffset, length >> 2);
  }

  // To workers.

  /**
   * Gives a message that a connection has brought to the worker which its first datagram is for, as the kernel does
   * with UDP's: what is behind that one, the worker gives back where it is another's.
   *
   * @returns false where it is no worker's
   */
  give(session: Session, messages: ReceivedMessages, index: number): boolean {
    const { drops, hasSession, memory: { view }, paths, toWorkers } = this.#options;
    const offset = messages.offsets[index];
    const length = messages.lengths[index];
    const path = messages.pathIds[index];
    // Shorter ones, merged or not, are nobody's.
    if (length < TRANSPORT_MIN_SIZE || path === NO_PATH) return false;
    if (messageType(view, offset) !== MESSAGE_TRANSPORT) return false;
    const receiver = view.getInt32(offset + TRANSPORT_RECEIVER_OFFSET, true);
    if (!hasSession(receiver)) return false;
    const ring = toWorkers[receiver & WORKER_MASK];
    const at = ring.begin(FakeTcpRecord.received, RECEIVED_BYTES + length);
    if (at < 0) {
      // As where a socket's buffer is full.
      drops.add(DropReason.sendQueueFull, length);
      return true;
    }
    writePathRecord(ring.bytes, at + RECEIVED_PATH, paths, path);
    ring.view.setInt32(at + RECEIVED_SESSION, session.number, true);
    ring.view.setInt32(at + RECEIVED_END, session.unprovenEnd, true);
    ring.view.setInt32(at + RECEIVED_SEGMENT_SIZE, messages.segmentSizes[index], true);
    ring.view.setInt32(at + RECEIVED_ECN, messages.ecns[index], true);
    this.#copyTo(ring, at + RECEIVED_BYTES, offset, length);
    ring.commit();
    return true;
  }

  #copyTo(ring: RingWriter, at: number, offset: number, length: number): void {
    // Nearly all stand on a multiple of 4, as IP headers do.
    if ((offset & 3) === 0) copyWords(this.#words, offset, ring.payloads, at, length);
    else copyBytes(this.#options.memory.view, offset, ring.view, at, length);
  }

  // From workers.

  get hasMore(): boolean {
    const { fromWorkers } = this.#options;
    for (let i = 0; i < fromWorkers.length; i++) if (fromWorkers[i].next() !== 0) return true;
    return false;
  }

  take(queue: SendQueue, now: number): void {
    const { fromWorkers } = this.#options;
    for (let i = 0; i < fromWorkers.length; i++) {
      const ring = fromWorkers[this.#next];
      this.#next = this.#next + 1 === fromWorkers.length ? 0 : this.#next + 1;
      const kind = ring.next();
      if (kind === 0) continue;
      if (kind === FakeTcpRecord.sealed) this.#send(ring, queue);
      else this.#authentic(ring, now);
      ring.passed();
      return;
    }
  }

  #send(ring: RingReader, queue: SendQueue): void {
    const { drops, maxDatagram, paths } = this.#options;
    const length = ring.length - SEALED_BYTES;
    const slot = queue.reserve();
    if (length > maxDatagram || slot < 0) {
      drops.add(DropReason.sendQueueFull, length);
      return;
    }
    copyWords(ring.payloads, ring.offset + SEALED_BYTES, this.#words, slot, length);
    queue.commit(length, readPathRecord(ring.view, ring.offset + SEALED_PATH, paths));
    queue.setEcn(ring.view.getInt32(ring.offset + SEALED_ECN, true));
  }

  #authentic({ offset, view }: RingReader, now: number): void {
    const { connections, peerOf } = this.#options;
    const peer = peerOf(view.getInt32(offset + AUTHENTIC_TAG, true));
    if (peer === null) return;
    connections.authenticatedUpTo(
      view.getInt32(offset + AUTHENTIC_SESSION, true),
      view.getInt32(offset + AUTHENTIC_END, true),
      view.getInt32(offset + AUTHENTIC_LENGTH, true),
      peer,
      now,
    );
  }
}
