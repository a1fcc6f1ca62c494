/**
 * Fake-TCP workers: the end of the thread that has fake TCP's connections, where packet workers have the keys: gives
 * what connections bring to the session's worker, and takes what workers have sealed for them.
 *
 * What a segment brought is named by the connection and the sequence number behind it: what a worker says of it later
 * acknowledges that, and no forged bytes behind it.
 */
import { copyBytes, copyWords, WORTH_A_PART } from "../threads/copy_bytes.ts";
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
  SEALED_COUNT,
  SEALED_ECN_SHIFT,
  SEALED_LENGTH_MASK,
  SEALED_LENGTHS,
  SEALED_PATH,
  SEALED_STRIDE,
  sealedBytes,
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
  /** By ring, how many datagrams of its current record have been taken. */
  readonly #taken: Int32Array;

  constructor(options: FakeTcpWorkersOptions) {
    this.#options = options;
    const { buffer, byteOffset, length } = options.memory.bytes;
    this.#words = new Int32Array(buffer, byteOffset, length >> 2);
    this.#taken = new Int32Array(options.fromWorkers.length);
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

  take(queue: SendQueue, now: number): number {
    const { fromWorkers } = this.#options;
    for (let i = 0; i < fromWorkers.length; i++) {
      const number = this.#next;
      this.#next = number + 1 === fromWorkers.length ? 0 : number + 1;
      const ring = fromWorkers[number];
      const kind = ring.next();
      if (kind === 0) continue;
      if (kind === FakeTcpRecord.sealed) return this.#send(ring, number, queue);
      this.#authentic(ring, now);
      ring.passed();
      return 0;
    }
    return 0;
  }

  /** Takes what the queue has room for; the rest stays in the ring. */
  #send(ring: RingReader, number: number, queue: SendQueue): number {
    const { view } = ring;
    const count = view.getInt32(ring.offset + SEALED_COUNT, true);
    const first = this.#taken[number];
    const end = Math.min(count, first + queue.free);
    const path = readPathRecord(view, ring.offset + SEALED_PATH, this.#options.paths);
    if (!this.#takeWhole(ring, first, end, queue, path)) {
      for (let i = first; i < end; i++) this.#takeOne(ring, i, queue, path);
    }
    this.#taken[number] = end;
    if (end === count) {
      this.#taken[number] = 0;
      ring.passed();
    }
    return end - first;
  }

  /** Takes datagrams that stand as far apart as in the queue at once; false where it is not worth it, or none do. */
  #takeWhole(
    ring: RingReader,
    first: number,
    end: number,
    queue: SendQueue,
    path: number,
  ): boolean {
    const { offset, payloads, view } = ring;
    const stride = view.getInt32(offset + SEALED_STRIDE, true);
    if (stride !== queue.slotSize || (end - first) * stride < WORTH_A_PART) return false;
    const words = offset + SEALED_LENGTHS;
    const last = view.getInt32(words + 4 * (end - 1), true) & SEALED_LENGTH_MASK;
    const at = offset + sealedBytes(view.getInt32(offset + SEALED_COUNT, true)) + first * stride;
    const bytes = (end - 1 - first) * stride + last;
    copyWords(payloads, at, this.#words, queue.reserve(), bytes);
    for (let i = first; i < end; i++) {
      const word = view.getInt32(words + 4 * i, true);
      queue.commit(word & SEALED_LENGTH_MASK, path);
      queue.setEcn(word >> SEALED_ECN_SHIFT);
    }
    return true;
  }

  #takeOne(
    { offset, payloads, view }: RingReader,
    i: number,
    queue: SendQueue,
    path: number,
  ): void {
    const { drops, maxDatagram } = this.#options;
    const word = view.getInt32(offset + SEALED_LENGTHS + 4 * i, true);
    const length = word & SEALED_LENGTH_MASK;
    if (length > maxDatagram) {
      drops.add(DropReason.sendQueueFull, length);
      return;
    }
    const at = offset + sealedBytes(view.getInt32(offset + SEALED_COUNT, true)) +
      i * view.getInt32(offset + SEALED_STRIDE, true);
    copyWords(payloads, at, this.#words, queue.reserve(), length);
    queue.commit(length, path);
    queue.setEcn(word >> SEALED_ECN_SHIFT);
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
