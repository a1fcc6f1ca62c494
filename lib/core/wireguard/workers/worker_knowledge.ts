/** Worker knowledge: what the device's thread has told a packet worker: peers, where they are, sessions and keys. */
import type { AeadProvider } from "../../noise/aead.ts";
import type { RingReader } from "../../threads/record_ring.ts";
import { SharedCounter, type Turn } from "../../threads/shared_counter.ts";
import { liftLimits, setLimits } from "../../limits/rate_limit.ts";
import { readPathRecord } from "../../transport/path_record.ts";
import { NO_PATH, type Paths } from "../../transport/paths.ts";
import { IPV6_SIZE, ipv6At } from "../../wire/host_address.ts";
import { formatCidr6 } from "../../wire/ipv6_prefix.ts";
import { KEY_SIZE } from "../../wire/messages.ts";
import { AllowedIps } from "../allowed_ips.ts";
import { AllowedIps6 } from "../allowed_ips6.ts";
import {
  ENDED_LOCAL,
  PEER,
  PLACED_ACCESS_ID,
  PLACED_IS_FIRST,
  PLACED_PREFIXES,
  PLACED_WORKER,
  PREFIX6_SIZE,
  PREFIX_SIZE,
  RecordKind,
  SESSION_COUNTER_HIGH,
  SESSION_CREATED,
  SESSION_LOCAL,
  SESSION_PLACE,
  SESSION_RECEIVING,
  SESSION_REMOTE,
  SESSION_SENDING,
  STATE_FLAGS,
  STATE_IS_OPEN,
  STATE_IS_SPENT,
  STATE_IS_WATCHED,
  STATE_MTU,
  STATE_PATH,
  STATE_RATE,
  STATE_SESSION,
  TAG_INDEX_BITS,
  WATCH_LENGTH,
} from "./records.ts";
import { WORKER_MASK } from "./sharing.ts";
import { NO_KEY, sharedLimits, WorkerPeer, WorkerSession } from "./worker_peer.ts";

/** Records taken in one turn: each session costs the making of two keys. */
const MAX_RECORDS = 64;

/** Takes datagrams that another thread got, as records have them. */
export interface ForwardedDatagrams {
  /** Puts one there, whose record is at `at`; false where there is no room before they are received. */
  put(record: DataView, at: number, length: number): boolean;
  /** Has those that are there received, in their order. */
  receive(now: number): void;
}

export interface WorkerKnowledgeOptions {
  readonly number: number;
  readonly aead: AeadProvider;
  readonly mtu: number;
  readonly paths: Paths;
  readonly turn: Turn;
  readonly counters: Int32Array;
  readonly limits: Int32Array;
  readonly fromDevice: RingReader;
  readonly forwarded: ForwardedDatagrams;
  /** Takes how many bytes of packets are watched from now on. */
  readonly onWatch: (length: number) => void;
  /** Gives up what is kept for a peer that is gone, or has gone for now. */
  readonly onReleased?: (peer: WorkerPeer) => void;
}

export class WorkerKnowledge {
  readonly allowedIps: AllowedIps<WorkerPeer> = new AllowedIps();
  readonly allowedIps6: AllowedIps6<WorkerPeer> = new AllowedIps6();
  readonly #options: WorkerKnowledgeOptions;
  readonly #peers: (WorkerPeer | null)[] = [];
  /** By index, as int32. */
  readonly #sessions = new Map<number, WorkerSession>();
  /** Copies of datagrams that were met in the ring while others were under way. */
  readonly #waiting: DataView[] = [];

  constructor(options: WorkerKnowledgeOptions) {
    this.#options = options;
  }

  peerAt(index: number): WorkerPeer | null {
    return this.#peers[index] ?? null;
  }

  /** All that there are. */
  get peers(): readonly WorkerPeer[] {
    return this.#peers.filter((peer) => peer !== null && peer !== undefined);
  }

  /** The session with this index, an int32; null for none. */
  session(index: number): WorkerSession | null {
    return this.#sessions.get(index) ?? null;
  }

  /**
   * The session with this index, an int32, which may have been told just now: the other end has the key as soon as the
   * device's thread has sent its message, and that before this one has been woken.
   */
  newSession(index: number): WorkerSession | null {
    while (!this.#sessions.has(index) && this.#read(false));
    return this.session(index);
  }

  /** Takes what the device's thread tells. Returns whether there may be more. */
  learn(now: number): boolean {
    const { forwarded } = this.#options;
    // Those that stand in the ring came behind these.
    for (const record of this.#waiting.splice(0)) {
      if (forwarded.put(record, 0, record.byteLength)) continue;
      forwarded.receive(now);
      forwarded.put(record, 0, record.byteLength);
    }
    const hasMore = this.#read(true);
    forwarded.receive(now);
    return hasMore;
  }

  /** Whether datagrams that have been read are yet to be taken, by `learn()`. */
  get hasDatagrams(): boolean {
    return this.#waiting.length > 0;
  }

  /** @param isBetween whether no datagram is under way, so that those of the ring may be put where they are received */
  #read(isBetween: boolean): boolean {
    const { forwarded, fromDevice: ring } = this.#options;
    for (let i = 0; i < MAX_RECORDS; i++) {
      const kind = ring.next();
      if (kind === 0) return false;
      if (kind !== RecordKind.datagram) this.#take(kind, ring);
      else if (!isBetween) this.#waiting.push(payloadOf(ring));
      else if (!forwarded.put(ring.view, ring.offset, ring.length)) return true;
      ring.done();
    }
    return true;
  }

  #take(kind: number, { view, bytes, offset, length }: RingReader): void {
    switch (kind) {
      case RecordKind.peerPlaced:
        this.#place(view, offset, length);
        break;
      case RecordKind.peerPlaced6:
        this.#place6(view, offset, length);
        break;
      case RecordKind.peerRemoved:
        this.#remove(view.getInt32(offset + PEER, true));
        break;
      case RecordKind.peerReleased: {
        const peer = this.peerAt(view.getInt32(offset + PEER, true));
        if (peer !== null) this.#options.onReleased?.(peer);
        break;
      }
      case RecordKind.peerState:
        this.#setState(view, offset);
        break;
      case RecordKind.session:
        this.#addSession(view, bytes, offset);
        break;
      case RecordKind.sessionEnded:
        this.#endSession(view.getInt32(offset + ENDED_LOCAL, true));
        break;
      case RecordKind.watch:
        this.#options.onWatch(view.getInt32(offset + WATCH_LENGTH, true));
        break;
    }
  }

  #place(view: DataView, offset: number, length: number): void {
    const tag = view.getInt32(offset + PEER, true);
    const index = tag & ((1 << TAG_INDEX_BITS) - 1);
    const peer = this.#peers[index] ??= new WorkerPeer(index, tag, this.#options.mtu);
    peer.worker = view.getInt32(offset + PLACED_WORKER, true);
    peer.accessId = view.getInt32(offset + PLACED_ACCESS_ID, true);
    if (view.getInt32(offset + PLACED_IS_FIRST, true) !== 0) this.allowedIps.removeByValue(peer);
    for (let at = PLACED_PREFIXES; at < length; at += PREFIX_SIZE) {
      const address = view.getUint32(offset + at, true);
      this.allowedIps.insert(address, view.getInt32(offset + at + 4, true), peer);
    }
  }

  #place6(view: DataView, offset: number, length: number): void {
    const tag = view.getInt32(offset + PEER, true);
    const peer = this.peerAt(tag & ((1 << TAG_INDEX_BITS) - 1));
    if (peer === null) return;
    if (view.getInt32(offset + PLACED_IS_FIRST, true) !== 0) this.allowedIps6.removeByValue(peer);
    for (let at = offset + PLACED_PREFIXES; at < offset + length; at += PREFIX6_SIZE) {
      const prefixLength = view.getInt32(at + IPV6_SIZE, true);
      this.allowedIps6.insert(formatCidr6({ address: ipv6At(view, at), prefixLength }), peer);
    }
  }

  #remove(index: number): void {
    const peer = this.peerAt(index);
    if (peer === null) return;
    peer.isRemoved = true;
    liftLimits(peer);
    peer.isOpen = false;
    peer.flow = null;
    this.#move(peer, NO_PATH);
    this.#options.onReleased?.(peer);
    this.allowedIps.removeByValue(peer);
    this.allowedIps6.removeByValue(peer);
    this.#peers[index] = null;
  }

  #setState(view: DataView, offset: number): void {
    const { limits, paths } = this.#options;
    const peer = this.peerAt(view.getInt32(offset + PEER, true));
    if (peer === null) return;
    const flags = view.getInt32(offset + STATE_FLAGS, true);
    const rate = view.getFloat64(offset + STATE_RATE, true);
    peer.session = this.session(view.getInt32(offset + STATE_SESSION, true));
    peer.isOpen = (flags & STATE_IS_OPEN) !== 0;
    peer.isSpent = (flags & STATE_IS_SPENT) !== 0;
    peer.isWatched = (flags & STATE_IS_WATCHED) !== 0;
    peer.mtu = view.getInt32(offset + STATE_MTU, true);
    this.#move(peer, readPathRecord(view, offset + STATE_PATH, paths));
    if (rate === (peer.fromLimit?.rate ?? 0)) return;
    if (rate === 0) liftLimits(peer);
    else setLimits(peer, sharedLimits(rate, limits, peer.index));
  }

  #move(peer: WorkerPeer, path: number): void {
    const { paths } = this.#options;
    paths.retain(path);
    paths.release(peer.path);
    peer.path = path;
  }

  #addSession(view: DataView, bytes: Uint8Array, offset: number): void {
    const { aead, counters, number, turn } = this.#options;
    const peer = this.peerAt(view.getInt32(offset + PEER, true));
    if (peer === null) return;
    const localIndex = view.getInt32(offset + SESSION_LOCAL, true);
    const keyAt = (at: number) => {
      const key = bytes.slice(offset + at, offset + at + KEY_SIZE);
      const made = aead.key(key);
      key.fill(0);
      return made;
    };
    const isOurs = (localIndex & WORKER_MASK) === number;
    const session = new WorkerSession(peer, {
      peerIndex: peer.index,
      sending: keyAt(SESSION_SENDING),
      receiving: isOurs ? keyAt(SESSION_RECEIVING) : NO_KEY,
      // Renewal is the device's.
      isInitiator: false,
      localIndex,
      remoteIndex: view.getUint32(offset + SESSION_REMOTE, true),
      createdAt: view.getFloat64(offset + SESSION_CREATED, true),
      counterHigh: view.getUint32(offset + SESSION_COUNTER_HIGH, true),
      shared: new SharedCounter(counters, view.getInt32(offset + SESSION_PLACE, true), turn),
    });
    this.#sessions.set(localIndex, session);
  }

  #endSession(localIndex: number): void {
    const session = this.session(localIndex);
    if (session === null) return;
    this.#sessions.delete(localIndex);
    if (session.peer.session === session) session.peer.session = null;
    session.destroy();
  }
}

function payloadOf({ bytes, offset, length }: RingReader): DataView {
  return new DataView(bytes.slice(offset, offset + length).buffer);
}
