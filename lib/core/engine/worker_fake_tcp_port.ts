/**
 * Worker fake-TCP port: fake TCP as a packet worker has it: the connections are another thread's, which gives what they
 * bring, takes what is to leave by them, and is told what was authentic.
 */
import { copyWords, WORTH_A_PART } from "../threads/copy_bytes.ts";
import type { RingReader, RingWriter } from "../threads/record_ring.ts";
import {
  AUTHENTIC_END,
  AUTHENTIC_LENGTH,
  AUTHENTIC_SESSION,
  AUTHENTIC_SIZE,
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
  SEALED_LENGTHS,
  SEALED_MOST,
  SEALED_MOST_BYTES,
  SEALED_PATH,
  SEALED_SHARE,
  SEALED_STRIDE,
  sealedBytes,
} from "../transport/fake_tcp/thread_records.ts";
import { readPathRecord, writePathRecord } from "../transport/path_record.ts";
import type { Paths } from "../transport/paths.ts";
import { Transport } from "../transport/transport.ts";
import type { Memory } from "../wire/memory.ts";
import type { PacketPeer } from "../wireguard/packet_peer.ts";
import type { DatagramPort, Datagrams, ReceivedMessages } from "./ports.ts";

/** Messages that one receive brings, and bytes of each: several datagrams may be merged into one. */
const BATCH = 16;
const MESSAGE_SIZE = 65_536;

export interface WorkerFakeTcpPortOptions {
  readonly memory: Memory;
  /** Where messages are put: `WorkerFakeTcpPort.size` bytes, on a multiple of 64. */
  readonly offset: number;
  readonly paths: Paths;
  readonly fromDevice: RingReader;
  readonly toDevice: RingWriter;
  /** By which the device's thread knows the peer with this index. */
  readonly tagOf: (peerIndex: number) => number;
}

export class WorkerFakeTcpPort implements DatagramPort {
  readonly transport: Transport = Transport.fakeTcp;
  readonly batch = BATCH;
  readonly messages: ReceivedMessages;
  /** Whether there was no room for what is to be sent: the thread tries again a moment later. */
  isRoomAwaited = false;
  readonly #options: WorkerFakeTcpPortOptions;
  readonly #words: Int32Array;
  /** By message. */
  readonly #sessions = new Int32Array(BATCH);
  readonly #ends = new Int32Array(BATCH);

  // What was authentic, and has not been told: of one connection; 0 for none.
  #session = 0;
  #tag = 0;
  #end = 0;
  #length = 0;

  // Of the datagrams measured last: whether they are copied with what lies between them, and how far apart they begin.
  #isWhole = false;
  #stride = 0;

  static readonly size: number = BATCH * MESSAGE_SIZE;

  constructor(options: WorkerFakeTcpPortOptions) {
    this.#options = options;
    const { buffer, byteOffset, length } = options.memory.bytes;
    this.#words = new Int32Array(buffer, byteOffset, length >> 2);
    this.messages = {
      offsets: Int32Array.from({ length: BATCH }, (_, i) => options.offset + i * MESSAGE_SIZE),
      lengths: new Int32Array(BATCH),
      segmentSizes: new Int32Array(BATCH),
      pathIds: new Int32Array(BATCH),
      ecns: new Uint8Array(BATCH),
    };
  }

  // From the network.

  get hasMore(): boolean {
    return this.#options.fromDevice.next() !== 0;
  }

  receive(): number {
    const { fromDevice: ring, paths } = this.#options;
    const { ecns, lengths, offsets, pathIds, segmentSizes } = this.messages;
    let count = 0;
    for (; count < BATCH && ring.next() !== 0; count++) {
      const { offset, view } = ring;
      const length = ring.length - RECEIVED_BYTES;
      copyWords(ring.payloads, offset + RECEIVED_BYTES, this.#words, offsets[count], length);
      lengths[count] = length;
      segmentSizes[count] = view.getInt32(offset + RECEIVED_SEGMENT_SIZE, true);
      ecns[count] = view.getInt32(offset + RECEIVED_ECN, true);
      pathIds[count] = readPathRecord(view, offset + RECEIVED_PATH, paths);
      this.#sessions[count] = view.getInt32(offset + RECEIVED_SESSION, true);
      this.#ends[count] = view.getInt32(offset + RECEIVED_END, true);
      ring.passed();
    }
    return count;
  }

  take(): boolean {
    return true;
  }

  authenticated(index: number, peer: PacketPeer): void {
    const session = this.#sessions[index];
    const tag = this.#options.tagOf(peer.index);
    if (session !== this.#session || tag !== this.#tag) {
      this.tell();
      this.#session = session;
      this.#tag = tag;
      this.#length = 0;
    }
    const end = this.#ends[index];
    if (this.#length === 0 || ((end - this.#end) | 0) > 0) this.#end = end;
    this.#length += this.messages.lengths[index];
  }

  /** Tells what was authentic. What there is no room for is acknowledged with the next of that connection. */
  tell(): void {
    if (this.#session === 0) return;
    const { toDevice: ring } = this.#options;
    const at = ring.begin(FakeTcpRecord.authentic, AUTHENTIC_SIZE);
    if (at < 0) return;
    ring.view.setInt32(at + AUTHENTIC_TAG, this.#tag, true);
    ring.view.setInt32(at + AUTHENTIC_SESSION, this.#session, true);
    ring.view.setInt32(at + AUTHENTIC_END, this.#end, true);
    ring.view.setInt32(at + AUTHENTIC_LENGTH, this.#length, true);
    ring.commit();
    this.#session = 0;
  }

  // To the network.

  send(datagrams: Datagrams, from: number, to: number): number {
    let next = from;
    while (next < to) {
      const count = this.#measure(datagrams, next, to);
      if (!this.#put(datagrams, next, count)) return next;
      next += count;
    }
    return to;
  }

  /** How many datagrams from `first` on leave by the same path, and are not too many for a record. */
  #measure({ lengths, offsets, pathIds }: Datagrams, first: number, to: number): number {
    const end = Math.min(to, first + SEALED_MOST);
    const distance = end - first > 1 ? offsets[first + 1] - offsets[first] : 0;
    let longest = lengths[first];
    let bytes = longest;
    let isEven = true;
    let next = first + 1;
    for (; next < end && pathIds[next] === pathIds[first]; next++) {
      const length = lengths[next];
      const most = Math.max(longest, length);
      if ((next + 1 - first) * packedStride(most) > SEALED_MOST_BYTES) break;
      if (offsets[next] - offsets[next - 1] !== distance) isEven = false;
      longest = most;
      bytes += length;
    }
    const count = next - first;
    const span = count * distance;
    // What lies between them is copied with them, which costs less where that is little.
    this.#isWhole = isEven && distance >= longest && bytes >= WORTH_A_PART && span < 2 * bytes &&
      span <= SEALED_MOST_BYTES;
    this.#stride = this.#isWhole ? distance : packedStride(longest);
    return count;
  }

  #put(datagrams: Datagrams, first: number, count: number): boolean {
    const { ecns, lengths, offsets, pathIds, paths } = datagrams;
    const { toDevice: ring } = this.#options;
    const stride = this.#stride;
    const last = first + count - 1;
    const bytes = (count - 1) * stride + lengths[last];
    const start = sealedBytes(count);
    const at = ring.begin(FakeTcpRecord.sealed, start + bytes, SEALED_SHARE);
    if (at < 0) return false;
    writePathRecord(ring.bytes, at + SEALED_PATH, paths, pathIds[first]);
    ring.view.setInt32(at + SEALED_COUNT, count, true);
    ring.view.setInt32(at + SEALED_STRIDE, stride, true);
    for (let i = first, word = at + SEALED_LENGTHS; i <= last; i++, word += 4) {
      ring.view.setInt32(word, lengths[i] | ecns[i] << SEALED_ECN_SHIFT, true);
    }
    if (this.#isWhole) copyWords(this.#words, offsets[first], ring.payloads, at + start, bytes);
    else {
      for (let i = first, to = at + start; i <= last; i++, to += stride) {
        copyWords(this.#words, offsets[i], ring.payloads, to, lengths[i]);
      }
    }
    ring.commit();
    return true;
  }

  /** Probes are the other thread's. */
  probe(): boolean {
    return false;
  }

  flush(): boolean {
    return true;
  }

  awaitRoom(isAwaited: boolean): void {
    this.isRoomAwaited = isAwaited;
  }
}

/** How far apart datagrams of up to so many bytes begin where they stand close together. */
function packedStride(longest: number): number {
  return (longest + 7) & -8;
}
