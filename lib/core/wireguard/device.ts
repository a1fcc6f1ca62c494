/**
 * WireGuard device: the face of this folder. It tells messages apart, hands them to the half that they are for, and
 * does what timers lead to.
 *
 * It does no I/O and reads no clock. Datagrams and packets come in as offsets into the packet memory together with the
 * time; what it wants sent is left in the send queue, what it wants known in `events`. `poll(now)` does what is due,
 * `pollAt()` says when that is. Times are monotonic ms.
 */
import type { Paths } from "../transport/paths.ts";
import { Transport } from "../transport/transport.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import type { Memory } from "../wire/memory.ts";
import {
  MESSAGE_TRANSPORT,
  messageType,
  TRANSPORT_MIN_SIZE,
  TRANSPORT_RECEIVER_OFFSET,
  TYPE_SIZE,
} from "../wire/messages.ts";
import type { AllowedIps } from "./allowed_ips.ts";
import type { AllowedIps6 } from "./allowed_ips6.ts";
import { Arrivals } from "./arrivals.ts";
import { type DeviceEvent, DeviceEvents } from "./device_events.ts";
import type { DeviceOptions } from "./device_options.ts";
import type { Elsewhere } from "./elsewhere.ts";
import { type PeerActions, runTimers } from "./due_timers.ts";
import { randomUint32 } from "./handshake/handshake_gate.ts";
import { HandshakeDriver, type TakenPlace } from "./handshake/handshake_driver.ts";
import { IndexTable } from "./handshake/index_table.ts";
import { Control } from "./liveness/control.ts";
import { writeGoodbye } from "./liveness/goodbye.ts";
import type { Arrived } from "./packet_peer.ts";
import type { PacketTap } from "./packet_tap.ts";
import type { Peer, PeerOptions } from "./peer.ts";
import { peerActions } from "./peer_actions.ts";
import { PeerTable } from "./peer_table.ts";
import { addOrReplace, type PeerUpdateParts, updatePeer } from "./peer_update.ts";
import { received } from "./received.ts";
import { MessageReceiver } from "./message_receiver.ts";
import { MessageSender } from "./message_sender.ts";
import { OpenedMessages } from "./opened_messages.ts";
import { StagedPackets } from "./session/staged_packets.ts";
import { TransportMessages } from "./session/transport_messages.ts";
import type { Sharing } from "./workers/sharing.ts";
import { WorkerNews } from "./workers/worker_news.ts";

export class Device {
  readonly allowedIps: AllowedIps<Peer>;
  readonly allowedIps6: AllowedIps6<Peer>;
  /** Those of its send queue: what datagrams come and leave by. */
  readonly paths: Paths;
  /** What happened since the caller last emptied it, see `DeviceEvents`. */
  readonly events: DeviceEvent[];

  /**
   * An address of ours (IPv4, int32) that peers are answered from for as long as the host has it, whatever its routes
   * say: they know this end by it; 0 for none.
   */
  lastingSource = 0;

  readonly #view: DataView;
  readonly #memory: Memory;
  readonly #drops: DropCounters;
  readonly #peers: PeerTable;
  readonly #staged: StagedPackets;
  readonly #sender: MessageSender;
  readonly #handshakes: HandshakeDriver;
  readonly #receiver: MessageReceiver;
  readonly #actions: PeerActions;
  readonly #runTimers = (peer: Peer, now: number) => runTimers(peer, this.#actions, now);
  readonly #update: PeerUpdateParts;
  readonly #sharing: Sharing | null;
  readonly #elsewhere: Elsewhere | null;
  readonly #indices: IndexTable;
  /** What packet workers tell; null where there are none. */
  readonly workerNews: WorkerNews | null;

  constructor(options: DeviceOptions) {
    const { memory, drops, mtu, followsTransport = true, watch = null, software = "" } = options;
    const events = new DeviceEvents();
    const report = events.add.bind(events);
    const sharing = this.#sharing = options.shared?.sharing ?? null;
    this.#elsewhere = options.elsewhere ?? null;
    const indices = this.#indices = new IndexTable(
      sharing && ((session) => sharing.sessionEnded(session)),
      this.#elsewhere,
    );
    const { paths } = options.sendQueue;
    paths.seedWith(randomUint32(options.random));
    const peers = new PeerTable({ ...options, paths, watch, followsTransport, sharing });
    const staged = new StagedPackets(drops, mtu);
    const messages = new TransportMessages(options);
    const sender = new MessageSender({
      ...options,
      staged,
      messages,
      initiate: (peer, now) => handshakes.initiate(peer, now),
      report,
    });
    const arrivals = new Arrivals({
      paths,
      report,
      sendStaged: (peer, now) => sender.sendStaged(peer, now),
    });
    const handshakes: HandshakeDriver = new HandshakeDriver({
      ...options,
      isMarked: watch !== null,
      sharing,
      followsTransport,
      indices,
      peers,
      arrivals,
      sender,
      report,
    });
    const control = new Control({
      ...options,
      paths,
      watch,
      software,
      instance: watch === null ? 0 : randomUint32(options.random),
      send: (peer, write, now, path) => sender.sendControl(peer, write, now, path),
      release: (peer) => this.#actions.release(peer),
      report,
    });
    this.events = events.list;
    this.paths = paths;
    this.allowedIps = peers.allowedIps;
    this.allowedIps6 = peers.allowedIps6;
    this.#memory = memory;
    this.#view = memory.view;
    this.#drops = drops;
    this.#peers = peers;
    this.#staged = staged;
    this.#sender = sender;
    this.#handshakes = handshakes;
    const opened = new OpenedMessages({
      memory,
      paths,
      indices,
      arrivals,
      handshakes,
      control,
      followsTransport,
      report,
    });
    this.#update = { peers, handshakes, release: (peer) => this.#actions.release(peer) };
    this.#receiver = new MessageReceiver({ memory, paths, peers, indices, messages, opened });
    this.workerNews = options.shared === undefined ? null : new WorkerNews({
      ...options,
      ...options.shared,
      paths,
      peers,
      indices,
      opened,
      sender,
      receive: (offset, length, path, now) => this.receive(offset, length, path, now),
      forgetSource: (source) => this.forgetSource(source),
    });
    this.#actions = peerActions({
      staged,
      sender,
      handshakes,
      control,
      isLastingSource: (source) => source === this.lastingSource,
      report,
    });
  }

  // Peers.

  get peers(): Iterable<Peer> {
    return this.#peers;
  }

  /** The peer with this 32-byte public key, or that had it before its next one. */
  peer(publicKey: Uint8Array): Peer | undefined {
    return this.#peers.byKey(publicKey) ?? this.#peers.byFormerKey(publicKey);
  }

  /** The peer with this index, as results have it; null for none. */
  peerAt(index: number): Peer | null {
    return this.#peers.byIndex(index);
  }

  /** Adds a peer, see peer_update.ts. @throws {RangeError} when there are too many, or one has its public key */
  addPeer(options: PeerOptions, now: number): Peer {
    return addOrReplace(options, now, this.#update);
  }

  /** Gives a peer other settings than it was made with, see peer_update.ts. */
  updatePeer(peer: Peer, options: PeerOptions, now: number): void {
    updatePeer(peer, options, now, this.#update);
  }

  /** Forgets a peer and zeroes its keys. */
  removePeer(peer: Peer): void {
    this.#staged.drop(peer);
    this.#handshakes.zeroKeys(peer);
    this.#peers.remove(peer);
  }

  /** Handshake messages that were worth a Diffie-Hellman, since the start; an int32 that may wrap around. */
  get admittedHandshakes(): number {
    return this.#handshakes.admitted;
  }

  /** Whether peers that have no session get one; those that have one renew it all the same. */
  set admitsNew(admits: boolean) {
    this.#handshakes.admitsNew = admits;
  }

  /** Watches the packets; null for nobody. */
  get tap(): PacketTap | null {
    return this.#sender.tap;
  }

  set tap(tap: PacketTap | null) {
    this.#sender.tap = tap;
  }

  // From the network.

  prefetch(datagrams: Arrived, count: number): void {
    this.#receiver.prefetch(datagrams, count);
  }

  /**
   * Takes one datagram. A transport message is decrypted where it lies; up to three bytes before it may be overwritten.
   *
   * @param path by which it came, of `paths`
   * @returns as in received.ts: whose it was and the bytes of its packet, which begins at `receivedOffset(offset)`
   */
  receive(offset: number, length: number, path: number, now: number): number {
    const type = length < TYPE_SIZE ? 0 : messageType(this.#view, offset);
    if (type === MESSAGE_TRANSPORT) return this.receiveTransport(offset, length, path, now);
    const result = this.#handshakes.receive(type, offset, length, path, now);
    if (result < 0) return this.#refuse(-result as DropReason, type, offset, length, path);
    return result === 0 ? 0 : received(result, 0);
  }

  /** The same of what says that it is a transport message. */
  receiveTransport(offset: number, length: number, path: number, now: number): number {
    if (this.#sharing !== null) return this.#forward(this.#sharing, offset, length, path);
    const result = this.#receiver.receive(offset, length, path, now);
    if (result >= 0) return result;
    return this.#refuse(-result as DropReason, MESSAGE_TRANSPORT, offset, length, path);
  }

  #refuse(reason: DropReason, type: number, offset: number, length: number, path: number): number {
    const isUnknown = reason === DropReason.unknownIndex;
    if (isUnknown && this.#elsewhere?.take(type, offset, length, path)) return 0;
    this.#drops.add(reason, length);
    return -reason;
  }

  #forward(sharing: Sharing, offset: number, length: number, path: number): number {
    if (length >= TRANSPORT_MIN_SIZE) {
      const index = this.#view.getInt32(offset + TRANSPORT_RECEIVER_OFFSET, true);
      // None but a session's: a worker would give back what is another gateway's, and so on.
      if (this.hasSession(index) && sharing.forward(index, offset, length, path)) return 0;
    }
    return this.#refuse(DropReason.unknownIndex, MESSAGE_TRANSPORT, offset, length, path);
  }

  /** Whether a session has this index, an int32. */
  hasSession(index: number): boolean {
    return this.#indices.session(index) !== null;
  }

  // To the network.

  /**
   * Seals a packet for `peer` into the send queue. Without a session it waits (a copy) while a handshake is begun.
   * Up to 15 bytes behind the packet are overwritten with padding.
   *
   * @param padded bytes with padding; left out, as WireGuard has it
   */
  send(peer: Peer, offset: number, length: number, now: number, padded?: number): void {
    this.#sender.send(peer, offset, length, now, padded);
  }

  /** Whether a peer has its session with another gateway, and none here: `send()` would hand the packet over. */
  isElsewhere(peer: Peer, now: number): boolean {
    const { current } = peer;
    if (current !== null && current.canSend(now)) return false;
    return this.#elsewhere !== null && this.#elsewhere.hasPeer(peer);
  }

  /** Takes note of what another gateway has handed over for a peer, see `OtherGateways`. */
  noteHanded(peer: Peer, packet: number, gateway: number, now: number): void {
    this.#elsewhere?.noteHanded(peer, packet, gateway, now);
  }

  /** Takes a peer's answer to that back to the gateway; false where it is none. */
  handAnswer(peer: Peer, offset: number, length: number, now: number): boolean {
    return this.#elsewhere !== null && this.#elsewhere.handAnswer(peer, offset, length, now);
  }

  /** Counts a packet from or to `peer` that was dropped because of its limit. */
  noteLimited(peer: Peer): void {
    peer.rateLimited++;
  }

  /** Sends an empty packet, which tells the peer and the NATs on the path that we are here. */
  sendKeepalive(peer: Peer, now: number): void {
    this.#sender.sendKeepalive(peer, now);
  }

  /**
   * Sends a probe of the path to `peer`, see `PathMtuSearch`. Stock peers count an error for what is no packet inside;
   * they get a message of that length which is not sealed, and which they drop without a word: only routers can answer
   * it. As long as it is not known what runs there, nothing is sent.
   *
   * @param length bytes, at most the MTU
   * @param transport by which to send it, to the peer's address and port
   * @returns whether it was sent
   */
  sendProbe(
    peer: Peer,
    length: number,
    now: number,
    transport: Transport = peer.endpoint.transport,
  ): boolean {
    return this.#sender.sendProbe(peer, length, now, transport);
  }

  /** Reaches a peer by this transport from now on; a handshake, which may follow at once, shows whether it does. */
  setTransport(peer: Peer, transport: Transport): void {
    if (peer.endpoint.transport === transport) return;
    peer.endpoint.setTransport(transport);
    // What was sent by the other transport puts off nothing.
    peer.initiationSentAt = -Infinity;
  }

  /** Tells all peers of ours with a session that this end closes; any other would count it as an error. */
  sayGoodbye(now: number): void {
    for (const peer of this.#peers) {
      const { watch } = peer;
      // Before the first packet of a session, another program may have taken the place of ours.
      if (watch !== null && !(watch.isOurs && watch.recognition.hasReceived)) continue;
      this.#sender.sendControl(peer, (at) => writeGoodbye(this.#memory, at), now);
    }
  }

  /**
   * Asks for a handshake with `peer`: sends an initiation unless one was sent less than REKEY_TIMEOUT ago, or the
   * endpoint is not known.
   *
   * @param interval ms between initiations from now on; as before if left out
   */
  initiate(peer: Peer, now: number, interval?: number): void {
    this.#handshakes.initiate(peer, now, interval);
  }

  /** Begins a handshake with every peer that there is a session with, whatever the last initiation's age. */
  renew(now: number): void {
    for (const peer of this.#peers) {
      peer.endpoint.forgetSource();
      if (peer.current === null) continue;
      peer.timers.handshakeAttempts = 0;
      this.#handshakes.sendInitiation(peer, now);
    }
  }

  /** Begins a handshake with a peer that was another gateway's until now, see `HandshakeDriver.takeOver()`. */
  takeOver(peer: Peer, place: TakenPlace, now: number): void {
    this.#handshakes.takeOver(peer, place, now);
  }

  /** Ends the sessions with a peer that is another gateway's by now: what was sent under them would draw it back. */
  disown(peer: Peer): void {
    if (peer.current === null && peer.next === null && peer.handshake === null) return;
    this.#actions.release(peer);
  }

  /** Stops using a local address that the host no longer has, given as `Paths.sourceDigest()`. */
  forgetSource(source: number): void {
    for (const peer of this.#peers) {
      if (peer.endpoint.sourceDigest === (source | 0)) peer.endpoint.forgetSource();
    }
  }

  // Time.

  /** When `poll()` has something to do at the earliest; `Infinity` for never. */
  pollAt(): number {
    return this.#peers.deadline.at;
  }

  /** Does what is due. Costs one comparison where nothing is. */
  poll(now: number): void {
    this.#peers.runDue(now, this.#runTimers);
  }
}
