/**
 * Worker device: what a packet worker has of the tunnel's device: the keys and the places of peers, as the device's
 * thread has told them. It opens and seals packets; whatever else a message or a packet leads to is that thread's.
 */
import type { RingReader, RingWriter } from "../../threads/record_ring.ts";
import type { Turn } from "../../threads/shared_counter.ts";
import type { Paths } from "../../transport/paths.ts";
import type { SendQueue } from "../../transport/send_queue.ts";
import type { AeadProvider } from "../../noise/aead.ts";
import { type DropCounters, DropReason } from "../../wire/drop_reason.ts";
import type { Memory } from "../../wire/memory.ts";
import {
  isTransportMessage,
  paddedSize,
  TRANSPORT_COUNTER_OFFSET,
  TRANSPORT_MIN_SIZE,
  TRANSPORT_RECEIVER_OFFSET,
} from "../../wire/messages.ts";
import type { AllowedIps } from "../allowed_ips.ts";
import type { ElsewhereOfWorker } from "../elsewhere.ts";
import type { AllowedIps6 } from "../allowed_ips6.ts";
import type { AnyPacketTap, Arrived, PacketDevice } from "../packet_peer.ts";
import { PacketDirection } from "../packet_tap.ts";
import { received, receivedOffset } from "../received.ts";
import { TransportMessages } from "../session/transport_messages.ts";
import { TAG_INDEX_BITS } from "./records.ts";
import { WORKER_MASK } from "./sharing.ts";
import { type ForwardedDatagrams, WorkerKnowledge } from "./worker_knowledge.ts";
import type { WorkerPeer } from "./worker_peer.ts";
import { WorkerReports } from "./worker_reports.ts";

export interface WorkerDeviceOptions {
  /** Its number, from 0 on: that of the indices under which it receives. */
  readonly number: number;
  /** How many there are. */
  readonly workers: number;
  readonly memory: Memory;
  readonly sendQueue: SendQueue;
  readonly aead: AeadProvider;
  readonly drops: DropCounters;
  readonly mtu: number;
  /** Of this thread. */
  readonly turn: Turn;
  /** Shared: words that counters are drawn from, and limits of peers. */
  readonly counters: Int32Array;
  readonly limits: Int32Array;
  readonly fromDevice: RingReader;
  readonly toDevice: RingWriter;
  /** Takes datagrams that another thread got, see `receive()`. */
  readonly forwarded: ForwardedDatagrams;
  /** What is other gateways', where this is one of several. */
  readonly elsewhere?: ElsewhereOfWorker | null;
  /** Gives up what is kept for a peer that is gone, or has gone for now. */
  readonly onReleased?: (peer: WorkerPeer) => void;
}

export class WorkerDevice implements PacketDevice {
  readonly allowedIps: AllowedIps<WorkerPeer>;
  readonly allowedIps6: AllowedIps6<WorkerPeer>;
  /** Null for nobody. */
  tap: AnyPacketTap | null = null;
  /** None: handshakes are the device's. */
  readonly admittedHandshakes = 0;
  readonly paths: Paths;
  readonly #number: number;
  readonly #workers: number;
  readonly #memory: Memory;
  readonly #sendQueue: SendQueue;
  readonly #drops: DropCounters;
  readonly #mtu: number;
  readonly #messages: TransportMessages;
  readonly #knowledge: WorkerKnowledge;
  readonly #reports: WorkerReports;
  readonly #turn: Turn;
  readonly #elsewhere: ElsewhereOfWorker | null;
  /** Of all that was prefetched: without a use of it, the compiler would leave the loads out. */
  #loaded = 0;
  /** Messages and bytes that came, and that went. */
  readonly #passed = new Float64Array(4);

  constructor(options: WorkerDeviceOptions) {
    const { paths } = options.sendQueue;
    this.paths = paths;
    this.#number = options.number;
    this.#workers = options.workers;
    this.#memory = options.memory;
    this.#sendQueue = options.sendQueue;
    this.#drops = options.drops;
    this.#mtu = options.mtu;
    this.#turn = options.turn;
    this.#elsewhere = options.elsewhere ?? null;
    this.#messages = new TransportMessages(options);
    this.#reports = new WorkerReports({ ...options, ring: options.toDevice, paths });
    this.#knowledge = new WorkerKnowledge({
      ...options,
      paths,
      onWatch: (length) => {
        this.#reports.watchLength = length;
        this.tap = length > 0 ? this.#reports : null;
      },
    });
    this.allowedIps = this.#knowledge.allowedIps;
    this.allowedIps6 = this.#knowledge.allowedIps6;
  }

  peerAt(index: number): WorkerPeer | null {
    return this.#knowledge.peerAt(index);
  }

  /** The peer with this tag (records.ts); null for one that is gone, or not known here yet. */
  peerTagged(tag: number): WorkerPeer | null {
    const peer = this.peerAt(tag & ((1 << TAG_INDEX_BITS) - 1));
    return peer !== null && peer.tag === tag ? peer : null;
  }

  get peers(): readonly WorkerPeer[] {
    return this.#knowledge.peers;
  }

  /** Takes what the device's thread tells. Returns whether there may be more. */
  learn(now: number): boolean {
    return this.#knowledge.learn(now);
  }

  // From the network.

  prefetch({ offsets, guesses }: Arrived, count: number): void {
    const { view } = this.#memory;
    let loaded = this.#loaded;
    for (let i = 0; i < count; i++) {
      const offset = offsets[i]!;
      const session = this.#knowledge.session(
        view.getInt32(offset + TRANSPORT_RECEIVER_OFFSET, true),
      );
      if (session === null) continue;
      const low = view.getUint32(offset + TRANSPORT_COUNTER_OFFSET, true);
      const { peer } = session;
      const { path } = peer;
      if (guesses !== undefined) guesses[i] = path;
      loaded ^= session.prefetch() ^ Number(session.canReceive(0)) ^ session.replay.prefetch(low) ^
        path ^ peer.source ^ (peer.flow?.load() ?? 0);
    }
    this.#loaded = loaded;
  }

  /** Takes one datagram, as `Device.receive()` does. */
  receive(offset: number, length: number, path: number, now: number): number {
    if (isTransportMessage(this.#memory.view, offset, length)) {
      return this.receiveTransport(offset, length, path, now);
    }
    this.#reports.datagram(offset, length, path);
    return 0;
  }

  /** The same of what says that it is a transport message. */
  receiveTransport(offset: number, length: number, path: number, now: number): number {
    const { view, bytes } = this.#memory;
    if (length < TRANSPORT_MIN_SIZE) return this.#drop(DropReason.badMessageLength, length);
    const index = view.getInt32(offset + TRANSPORT_RECEIVER_OFFSET, true);
    const worker = index & WORKER_MASK;
    if (worker !== this.#number) {
      // Anybody can make up an index: what is nobody's is nobody else's trouble.
      if (worker >= this.#workers) return this.#unknown(index, offset, length, path);
      this.#reports.datagram(offset, length, path);
      return 0;
    }
    const session = this.#knowledge.session(index) ?? this.#knowledge.newSession(index);
    if (session === null) return this.#unknown(index, offset, length, path);
    if (!session.canReceive(now)) return this.#drop(DropReason.expiredKey, length);
    const packetLength = this.#messages.open(session, offset, length);
    if (packetLength < 0) return this.#drop(-packetLength as DropReason, length);
    const packet = receivedOffset(offset);
    const { peer } = session;
    this.#passed[0] += 1;
    this.#passed[1] += length;
    const isControl = packetLength > 0 && bytes[packet] === 0;
    const isFirst = !session.isKnown;
    if (isControl || isFirst || peer.isWatched || path !== peer.path) {
      const isTold = this.#reports
        .opened(session, length, packet, packetLength, isControl, path);
      // It has moved, perhaps: what is for it goes to the device, behind this, until the device has said where it is.
      if (isTold && path !== peer.path) peer.isOpen = false;
      // The other end has this key, and may have lost the one before: what is for it need not wait for the device.
      if (isTold && isFirst) peer.session = session;
      if (isControl) return received(peer.index, 0);
      if (isTold) return received(peer.index, packetLength);
    }
    peer.noteReceived(length, packetLength > 0, now);
    this.#reports.isActive(peer, now);
    return received(peer.index, packetLength);
  }

  /** What is under an index that names nothing here: another gateway's, perhaps, to whom the device gives it. */
  #unknown(index: number, offset: number, length: number, path: number): number {
    const elsewhere = this.#elsewhere;
    if (elsewhere === null || !elsewhere.has(index)) {
      return this.#drop(DropReason.unknownIndex, length);
    }
    this.#reports.datagram(offset, length, path);
    return 0;
  }

  #drop(reason: DropReason, length: number): number {
    this.#drops.add(reason, length);
    return -reason;
  }

  // To the network.

  /** Seals a packet for `peer` into the send queue, or hands it over to wait. */
  send(peer: WorkerPeer, offset: number, length: number, now: number): void {
    if (length > this.#mtu) {
      this.#drops.add(DropReason.tooBig, length);
      return;
    }
    if (peer.isRemoved) {
      this.#drops.add(DropReason.noRoute, length);
      return;
    }
    const { session } = peer;
    if (!peer.isOpen || session === null || !session.canSend(now)) {
      this.#reports.unsent(peer, offset, length);
      return;
    }
    if (this.tap !== null && this.#sendQueue.free > 0) {
      this.tap.take(peer, PacketDirection.outbound, offset, length);
    }
    const padded = paddedSize(length, peer.mtu);
    const sealed = this.#messages.sealPacket(session, offset, length, padded, peer.path);
    if (sealed < 0) {
      this.#drops.add(-sealed as DropReason, padded);
      return;
    }
    this.#passed[2] += 1;
    this.#passed[3] += sealed;
    peer.noteSent(sealed, now);
    this.#reports.isActive(peer, now);
  }

  /** What comes from other gateways, the device's thread takes. */
  isElsewhere(): boolean {
    return false;
  }

  noteHanded(): void {}

  /** Which flows these are, the device's thread knows alone. */
  handAnswer(): boolean {
    return false;
  }

  noteLimited(peer: WorkerPeer, now: number): void {
    peer.rateLimited++;
    this.#reports.isActive(peer, now);
  }

  /** The host no longer has the local address of this digest (paths.ts), that datagrams were to leave from. */
  refuseSource(source: number): void {
    this.#reports.sourceRefused(source);
  }

  /** What has passed so far. */
  get figures(): {
    receivedMessages: number;
    receivedBytes: number;
    sentMessages: number;
    sentBytes: number;
  } {
    const [receivedMessages, receivedBytes, sentMessages, sentBytes] = this.#passed;
    return { receivedMessages, receivedBytes, sentMessages, sentBytes };
  }

  // Time.

  /** When `endTurn()` has something to do though nothing has happened, monotonic ms. */
  pollAt(): number {
    return this.#reports.pollAt();
  }

  /** Takes what has been read of other threads' datagrams meanwhile: before what they lead to is sent. */
  takeForwarded(now: number): void {
    if (this.#knowledge.hasDatagrams) this.#knowledge.learn(now);
  }

  /** Ends a turn of the loop: what is left of blocks of counters is never used. */
  endTurn(now: number): void {
    this.#reports.poll(now);
    this.#turn.end();
  }
}
