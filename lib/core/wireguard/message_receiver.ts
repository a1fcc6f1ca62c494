/**
 * Message receiver: transport messages as they arrive: the session they name, the opening, and what follows for the
 * peer; control messages go no further, packets are the result.
 */
import type { Paths } from "../transport/paths.ts";
import { DropReason } from "../wire/drop_reason.ts";
import type { Memory } from "../wire/memory.ts";
import { TRANSPORT_MIN_SIZE, TRANSPORT_RECEIVER_OFFSET } from "../wire/messages.ts";
import type { Arrivals } from "./arrivals.ts";
import type { DeviceEventKind } from "./device_events.ts";
import type { HandshakeDriver } from "./handshake/handshake_driver.ts";
import type { IndexTable } from "./handshake/index_table.ts";
import type { Control } from "./liveness/control.ts";
import { isProbe } from "./path/path_mtu.ts";
import type { Peer } from "./peer.ts";
import type { PeerTable } from "./peer_table.ts";
import { received, receivedOffset } from "./received.ts";
import { confirm } from "./session/key_slots.ts";
import type { PeerSession } from "./session/peer_session.ts";
import type { TransportMessages } from "./session/transport_messages.ts";

export interface MessageReceiverOptions {
  readonly memory: Memory;
  readonly paths: Paths;
  readonly peers: PeerTable;
  readonly indices: IndexTable;
  readonly messages: TransportMessages;
  readonly arrivals: Arrivals;
  readonly handshakes: HandshakeDriver;
  readonly control: Control;
  /** Whether a peer's transport follows its packets as its address does. */
  readonly followsTransport: boolean;
  readonly report: (kind: DeviceEventKind, peer: Peer) => void;
}

export class MessageReceiver {
  readonly #view: DataView;
  readonly #paths: Paths;
  readonly #peers: PeerTable;
  readonly #indices: IndexTable;
  readonly #messages: TransportMessages;
  readonly #arrivals: Arrivals;
  readonly #handshakes: HandshakeDriver;
  readonly #control: Control;
  readonly #followsTransport: boolean;
  readonly #report: (kind: DeviceEventKind, peer: Peer) => void;

  constructor(options: MessageReceiverOptions) {
    this.#view = options.memory.view;
    this.#paths = options.paths;
    this.#peers = options.peers;
    this.#indices = options.indices;
    this.#messages = options.messages;
    this.#arrivals = options.arrivals;
    this.#handshakes = options.handshakes;
    this.#control = options.control;
    this.#followsTransport = options.followsTransport;
    this.#report = options.report;
  }

  /** Takes a transport message that came by a path, see `Device.receive()`; the caller counts a drop. */
  receive(offset: number, length: number, path: number, now: number): number {
    if (length < TRANSPORT_MIN_SIZE) return -DropReason.badMessageLength;
    const session = this.#indices.session(
      this.#view.getInt32(offset + TRANSPORT_RECEIVER_OFFSET, true),
    );
    if (session === null) return -DropReason.unknownIndex;
    const packetLength = this.#messages.open(session, offset, length, now);
    if (packetLength < 0) return packetLength;
    const packet = receivedOffset(offset);
    const peer = this.#peers.byIndex(session.peerIndex)!;
    peer.receivedBytes += length;
    if (session === peer.previous && this.#isKeyShared(peer, path, now)) {
      this.#report("key-shared", peer);
    }
    if (!this.#stays(peer, packet, packetLength, path)) {
      this.#arrivals.locate(peer, length, path, now);
    }
    this.#arrivals.markAlive(peer, now);
    this.#advance(peer, session, now);
    if (packetLength === 0) return received(peer.index, 0);
    if (
      this.#view.getUint8(packet) === 0 &&
      this.#control.receive(peer, session, packet, packetLength, path, now)
    ) return received(peer.index, 0);
    peer.timers.dataReceived(now);
    return received(peer.index, packetLength);
  }

  /**
   * Whether a message that came by another transport leaves the peer where it is. A probe only asks whether its
   * transport works: the asking end moves when the answer has arrived.
   */
  #stays(peer: Peer, packet: number, packetLength: number, path: number): boolean {
    const { endpoint } = peer;
    if (path === endpoint.path || this.#paths.transport(path) === endpoint.transport) return false;
    return !this.#followsTransport || isProbe(this.#view, packet, packetLength);
  }

  #isKeyShared(peer: Peer, path: number, now: number): boolean {
    const { current, endpoint, sharedKey } = peer;
    if (current === null || this.#paths.isSameEnd(path, endpoint.path)) return false;
    return sharedKey.seenUnderOldSession(current, endpoint, now);
  }

  /** What a message leads to for the session it came in, and for the one after it. */
  #advance(peer: Peer, session: PeerSession, now: number): void {
    const handshakes = this.#handshakes;
    if (confirm(this.#indices, peer, session)) handshakes.completed(peer, now);
    if (!session.hasReceived) this.#firstReceived(peer, session, now);
    if (peer.proof.takeTurn(now)) handshakes.sendInitiation(peer, now);
    // The current key, whichever one the packet came under: a late packet under the previous one renews nothing.
    if (!peer.renewalAsked && peer.current?.isStaleForReceiving(now)) {
      peer.renewalAsked = true;
      handshakes.initiate(peer, now);
    }
  }

  /** The first packet of a session has come: its counter tells what program runs at the other end. */
  #firstReceived(peer: Peer, session: PeerSession, now: number): void {
    const isSentUnder = peer.sendsUnder(session);
    session.hasReceived = true;
    if (!isSentUnder) return;
    if (session.isTentative) {
      session.isTentative = false;
      // Nobody needs the responses to the initiations after it any more.
      this.#handshakes.drop(peer);
      this.#handshakes.completed(peer, now);
    }
    const { watch } = peer;
    if (watch === null) return;
    if (!session.isInitiator) {
      // From our response to the first packet under its key, which the initiator sends at once.
      watch.roundTrip.measured(now - session.createdAt);
    }
    if (watch.recognition.received(session.replay.greatestHigh)) this.#report("recognized", peer);
    peer.timers.watchBy(watch.nextAt(peer));
  }
}
