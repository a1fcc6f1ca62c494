/**
 * Worker board: what the device's thread tells its packet workers: who the peers are, where, and under which keys.
 *
 * Sessions and allowed IPs are told as they come and go. Where a peer is and what it is sent under is compared, after
 * each turn, with what the workers know: there are many ways in which that changes, and none is forgotten so.
 */
import type { TransportKeys } from "../../noise/handshake.ts";
import { copyBytes } from "../../threads/copy_bytes.ts";
import { CounterPlaces } from "../../threads/counter_places.ts";
import type { Outbox } from "../../threads/outbox.ts";
import { SharedCounter, type Turn } from "../../threads/shared_counter.ts";
import { PATH_RECORD_SIZE, writePathRecord } from "../../transport/path_record.ts";
import { NO_PATH, type Paths } from "../../transport/paths.ts";
import { type HostAddress, IPV6_SIZE, ipv6Bytes } from "../../wire/host_address.ts";
import type { Ipv4Prefix } from "../../wire/ipv4_text.ts";
import { addressOf6, type Ipv6PrefixText, splitCidr6 } from "../../wire/ipv6_prefix.ts";
import type { Memory } from "../../wire/memory.ts";
import type { Peer } from "../peer.ts";
import type { PeerSession } from "../session/peer_session.ts";
import {
  DATAGRAM_BYTES,
  DATAGRAM_PATH,
  ENDED_LOCAL,
  ENDED_SIZE,
  MAX_PREFIXES,
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
  SESSION_SIZE,
  STATE_FLAGS,
  STATE_IS_OPEN,
  STATE_IS_SPENT,
  STATE_IS_WATCHED,
  STATE_MTU,
  STATE_PATH,
  STATE_RATE,
  STATE_SESSION,
  STATE_SIZE,
  STRANGERS_SHARE,
  TAG_INDEX_BITS,
  WATCH_LENGTH,
  WATCH_SIZE,
} from "./records.ts";
import { type Sharing, WORKER_MASK } from "./sharing.ts";
import { sharedLimits } from "./worker_peer.ts";

export interface WorkerBoardOptions {
  readonly memory: Memory;
  readonly paths: Paths;
  /** To each worker. */
  readonly outboxes: readonly Outbox[];
  /** Shared: words that counters are drawn from, and limits of peers. */
  readonly counters: Int32Array;
  readonly limits: Int32Array;
  /** Of the device's thread. */
  readonly turn: Turn;
  /** Which worker, from 0 on, has the packets for this inner address. */
  readonly workerOfAddress: (address: HostAddress) => number;
}

/** What the workers know of a peer: all that the record of its state is made from. */
interface Known {
  /** Of its endpoint. */
  readonly moves: number;
  readonly isProven: boolean;
  readonly session: PeerSession | null;
  readonly mtu: number;
  readonly rate: number;
  readonly isSpent: boolean;
}

export class WorkerBoard implements Sharing {
  readonly #options: WorkerBoardOptions;
  readonly #places: CounterPlaces;
  /** The place of the session that is being made, and of those that are there. */
  #place = 0;
  readonly #placeOf = new Map<PeerSession, number>();
  /** By the index of the peer. */
  readonly #known: (Known | undefined)[] = [];
  /** By the index of the peer; 0 for none. */
  readonly #tags: number[] = [];
  #placedPeers = 0;
  /** Indices of peers that are to be told of though nothing may be new. */
  readonly #asked = new Set<number>();
  readonly #state = new Uint8Array(STATE_SIZE);
  readonly #stateView = new DataView(this.#state.buffer);
  /** By the index of the peer: the worker that it keeps, as its flows are there; none before it is asked for. */
  readonly #workers: (number | undefined)[] = [];

  constructor(options: WorkerBoardOptions) {
    this.#options = options;
    this.#places = new CounterPlaces(options.counters, options.outboxes);
  }

  /** Whether something waits for room. */
  get isWaiting(): boolean {
    return this.#options.outboxes.some((outbox) => outbox.isWaiting);
  }

  // Sessions.

  /** One that has no address yet keeps the first worker from its first session on. */
  workerOf({ index }: Peer): number {
    return this.#workers[index] ??= 0;
  }

  get isFull(): boolean {
    return this.#places.isFull;
  }

  counter(): SharedCounter {
    const { counters, turn } = this.#options;
    this.#place = this.#places.take();
    return new SharedCounter(counters, this.#place, turn);
  }

  sessionMade(session: PeerSession, keys: TransportKeys): void {
    const record = new Uint8Array(SESSION_SIZE);
    const view = new DataView(record.buffer);
    view.setInt32(PEER, session.peerIndex, true);
    view.setUint32(SESSION_LOCAL, session.localIndex, true);
    view.setUint32(SESSION_REMOTE, session.remoteIndex, true);
    view.setUint32(SESSION_COUNTER_HIGH, session.counterHigh, true);
    view.setInt32(SESSION_PLACE, this.#place, true);
    view.setFloat64(SESSION_CREATED, session.createdAt, true);
    record.set(keys.sending, SESSION_SENDING);
    this.#placeOf.set(session, this.#place);
    this.#options.outboxes.forEach((outbox, worker) => {
      const isReceiver = (session.localIndex & WORKER_MASK) === worker;
      record.subarray(SESSION_RECEIVING).fill(0);
      if (isReceiver) record.set(keys.receiving, SESSION_RECEIVING);
      outbox.post(RecordKind.session, record);
    });
    record.fill(0);
  }

  sessionEnded(session: PeerSession): void {
    const place = this.#placeOf.get(session);
    if (place === undefined) return;
    this.#placeOf.delete(session);
    const record = new Uint8Array(ENDED_SIZE);
    new DataView(record.buffer).setUint32(ENDED_LOCAL, session.localIndex, true);
    this.#post(RecordKind.sessionEnded, record);
    this.#places.release(place);
  }

  forward(index: number, offset: number, length: number, path: number): boolean {
    const { memory, outboxes, paths } = this.#options;
    const outbox = outboxes[index & WORKER_MASK];
    if (outbox === undefined) return false;
    const at = outbox.begin(RecordKind.datagram, DATAGRAM_BYTES + length, STRANGERS_SHARE);
    if (at < 0) return false;
    const { ring } = outbox;
    writePathRecord(ring.bytes, at + DATAGRAM_PATH, paths, path);
    copyBytes(memory.view, offset, ring.view, at + DATAGRAM_BYTES, length);
    ring.commit();
    return true;
  }

  // Peers.

  peerPlaced(
    peer: Peer,
    allowedIps: readonly Ipv4Prefix[],
    allowedIps6: readonly Ipv6PrefixText[] | null,
  ): void {
    const { index } = peer;
    const first = allowedIps[0]?.address ?? allowedIps6?.map(addressOf6)[0];
    if (first !== undefined) this.#workers[index] ??= this.#options.workerOfAddress(first);
    this.#tags[index] ||= ++this.#placedPeers << TAG_INDEX_BITS | index;
    this.#postPrefixes(peer, RecordKind.peerPlaced, PREFIX_SIZE, allowedIps, (prefix, view, at) => {
      view.setUint32(at, prefix.address, true);
      view.setInt32(at + 4, prefix.prefixLength, true);
    });
    if (allowedIps6 === null) return;
    this.#postPrefixes(
      peer,
      RecordKind.peerPlaced6,
      PREFIX6_SIZE,
      allowedIps6,
      (prefix, view, at) => {
        const { address, prefixLength } = splitCidr6(prefix);
        new Uint8Array(view.buffer).set(ipv6Bytes(address), at);
        view.setInt32(at + IPV6_SIZE, prefixLength, true);
      },
    );
  }

  /** Tells of all prefixes of a family, of which there may be none. */
  #postPrefixes<Prefix>(
    { index, accessId }: Peer,
    kind: number,
    prefixSize: number,
    prefixes: readonly Prefix[],
    write: (prefix: Prefix, view: DataView<ArrayBuffer>, at: number) => void,
  ): void {
    let from = 0;
    do {
      const part = prefixes.slice(from, from + MAX_PREFIXES);
      const record = new Uint8Array(PLACED_PREFIXES + part.length * prefixSize);
      const view = new DataView(record.buffer);
      view.setInt32(PEER, this.#tags[index], true);
      view.setInt32(PLACED_IS_FIRST, from === 0 ? 1 : 0, true);
      view.setInt32(PLACED_WORKER, this.#workers[index] ?? 0, true);
      view.setInt32(PLACED_ACCESS_ID, accessId, true);
      part.forEach((prefix, i) => write(prefix, view, PLACED_PREFIXES + i * prefixSize));
      this.#post(kind, record);
      from += MAX_PREFIXES;
    } while (from < prefixes.length);
  }

  peerRemoved({ index }: Peer): void {
    const record = new Uint8Array(4);
    new DataView(record.buffer).setInt32(PEER, index, true);
    this.#known[index] = this.#workers[index] = undefined;
    this.#tags[index] = 0;
    this.#post(RecordKind.peerRemoved, record);
  }

  /** A peer has gone for now. */
  peerReleased({ index }: Peer): void {
    const record = new Uint8Array(4);
    new DataView(record.buffer).setInt32(PEER, index, true);
    this.#post(RecordKind.peerReleased, record);
  }

  indexOf(tag: number): number {
    const index = tag & ((1 << TAG_INDEX_BITS) - 1);
    return this.#tags[index] === tag ? index : 0;
  }

  peerAsked({ index }: Peer): void {
    this.#asked.add(index);
  }

  /**
   * Tells what is new of these peers: all there are, after each turn. A stranger's datagram is worth a turn, so all
   * that this does for each of thousands of peers is a few comparisons.
   */
  publish(peers: Iterable<Peer>, now: number): void {
    for (const outbox of this.#options.outboxes) outbox.flush();
    for (const peer of peers) this.#publishPeer(peer, now);
    this.#asked.clear();
  }

  #publishPeer(peer: Peer, now: number): void {
    const { index, current: session, endpoint: { moves }, fromLimit, isSpent, mtu } = peer;
    const { isProven } = peer.proof;
    const rate = fromLimit === null ? 0 : fromLimit.rate;
    const known = this.#known[index];
    if (
      known !== undefined && known.moves === moves && known.isProven === isProven &&
      known.session === session && known.mtu === mtu && known.rate === rate &&
      known.isSpent === isSpent &&
      !this.#asked.has(index)
    ) return;
    if (rate !== (known?.rate ?? 0) && rate > 0) {
      const limits = sharedLimits(rate, this.#options.limits, index);
      limits.from.fill(now);
      limits.to.fill(now);
    }
    this.#known[index] = { moves, isProven, session, mtu, rate, isSpent };
    this.#describe(peer, rate);
    this.#post(RecordKind.peerState, this.#state);
  }

  /** Writes the record of a peer's state. */
  #describe(peer: Peer, rate: number): void {
    const { paths } = this.#options;
    const { endpoint, proof, current } = peer;
    const view = this.#stateView;
    const isOpen = proof.isProven && endpoint.path !== NO_PATH && current !== null;
    const flags = (isOpen ? STATE_IS_OPEN : 0) | (proof.isProven ? 0 : STATE_IS_WATCHED) |
      (peer.isSpent ? STATE_IS_SPENT : 0);
    view.setInt32(PEER, peer.index, true);
    view.setInt32(STATE_FLAGS, flags, true);
    view.setUint32(STATE_SESSION, current?.localIndex ?? 0, true);
    view.setInt32(STATE_MTU, peer.mtu, true);
    view.setFloat64(STATE_RATE, rate, true);
    if (endpoint.path === NO_PATH) this.#state.fill(0, STATE_PATH, STATE_PATH + PATH_RECORD_SIZE);
    else writePathRecord(this.#state, STATE_PATH, paths, endpoint.path);
  }

  // Packets.

  /** Has this many bytes of each packet shown; 0 for none. */
  watch(length: number): void {
    const record = new Uint8Array(WATCH_SIZE);
    new DataView(record.buffer).setInt32(WATCH_LENGTH, length, true);
    this.#post(RecordKind.watch, record);
  }

  #post(kind: number, record: Uint8Array): void {
    for (const outbox of this.#options.outboxes) outbox.post(kind, record);
  }
}
