/**
 * Opened messages: what follows for a peer from a transport message that its key has opened: that it is alive and
 * where, which session is in use, what program runs there; control messages go no further than this.
 */
import type { Paths } from "../transport/paths.ts";
import type { Memory } from "../wire/memory.ts";
import type { Arrivals } from "./arrivals.ts";
import { REJECT_AFTER_TIME, REKEY_AFTER_TIME_RECEIVING } from "./constants.ts";
import type { DeviceEventKind } from "./device_events.ts";
import type { HandshakeDriver } from "./handshake/handshake_driver.ts";
import type { IndexTable } from "./handshake/index_table.ts";
import type { Control } from "./liveness/control.ts";
import { isProbe } from "./path/path_mtu.ts";
import type { Peer } from "./peer.ts";
import { confirm } from "./session/key_slots.ts";
import { meter } from "./metering.ts";
import type { PeerSession } from "./session/peer_session.ts";
import { NEVER } from "./timers.ts";

export interface OpenedMessagesOptions {
  readonly memory: Memory;
  readonly paths: Paths;
  readonly indices: IndexTable;
  readonly arrivals: Arrivals;
  readonly handshakes: HandshakeDriver;
  readonly control: Control;
  /** Whether a peer's transport follows its packets as its address does. */
  readonly followsTransport: boolean;
  readonly report: (kind: DeviceEventKind, peer: Peer) => void;
}

export class OpenedMessages {
  readonly #view: DataView;
  readonly #paths: Paths;
  readonly #indices: IndexTable;
  readonly #arrivals: Arrivals;
  readonly #handshakes: HandshakeDriver;
  readonly #control: Control;
  readonly #followsTransport: boolean;
  readonly #report: (kind: DeviceEventKind, peer: Peer) => void;

  constructor(options: OpenedMessagesOptions) {
    this.#view = options.memory.view;
    this.#paths = options.paths;
    this.#indices = options.indices;
    this.#arrivals = options.arrivals;
    this.#handshakes = options.handshakes;
    this.#control = options.control;
    this.#followsTransport = options.followsTransport;
    this.#report = options.report;
  }

  /**
   * Takes a message of a session of this peer.
   *
   * @param length bytes of the message
   * @param packet where its packet is, `packetLength` bytes
   * @param path by which it came
   * @returns whether there is a packet for somebody else in it
   */
  take(
    peer: Peer,
    session: PeerSession,
    length: number,
    packet: number,
    packetLength: number,
    path: number,
    now: number,
  ): boolean {
    peer.received(length);
    meter(peer, this.#report);
    if (session === peer.previous) {
      // Data on its way is good; the rest would draw this end back.
      if (this.#isLeft(peer, session, path)) {
        return packetLength > 0 && this.#view.getUint8(packet) !== 0;
      }
      if (this.#isKeyShared(peer, path, now)) this.#report("key-shared", peer);
    }
    if (!this.#stays(peer, packet, packetLength, path)) {
      this.#arrivals.locate(peer, length, path, now);
    }
    this.#arrivals.markAlive(peer, now);
    this.#advance(peer, session, now);
    if (packetLength === 0) return false;
    if (
      this.#view.getUint8(packet) === 0 &&
      this.#control.receive(peer, session, packet, packetLength, path, now)
    ) return false;
    peer.timers.dataReceived(now);
    return true;
  }

  /**
   * A packet of a peer's has been taken that came by this path: has those after it only be noted in the session where
   * `take()` would find nothing new in them. What it asks, nothing changes without `Peer.endSteady()`.
   */
  beginSteady(peer: Peer, session: PeerSession, path: number): void {
    if (session !== peer.current || path !== peer.endpoint.path || !peer.proof.isProven) return;
    // What is metered is metered by message.
    if (peer.quota !== null) return;
    // It has led to an initiation, or sent what waited for the session: the next packet answers that.
    if (peer.unansweredSince !== NEVER) return;
    const asks = session.isInitiator && !peer.renewalAsked;
    const age = asks ? REKEY_AFTER_TIME_RECEIVING : REJECT_AFTER_TIME;
    peer.beginSteady(session, path, session.createdAt + age);
  }

  /**
   * Another thread has opened messages of a peer that bring nothing new, the last one at `at`.
   *
   * @param isData whether there was a packet in one of them
   */
  openedElsewhere(peer: Peer, bytes: number, at: number, isData: boolean, now: number): void {
    peer.received(bytes);
    meter(peer, this.#report);
    // What another thread has sent since is not answered by them.
    if (peer.unansweredSince === NEVER || at >= peer.unansweredSince) {
      this.#arrivals.markAlive(peer, at);
    }
    this.#renewStale(peer, now);
    // What has been sent since answers it.
    if (isData && at >= peer.lastSentAt) peer.timers.dataReceived(at);
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

  /**
   * Whether a client has left the one that sends under this session: it has looked for its server elsewhere since, and
   * begun the current session there. Another gateway with the same key may have been stopped, or cut off, for a while;
   * it does not know the current session, and is not where the server is.
   */
  #isLeft({ current, endpoint }: Peer, session: PeerSession, path: number): boolean {
    if (this.#followsTransport || current === null) return false;
    if (!current.isInitiator || !session.isInitiator) return false;
    const [now, before] = [current.sentTo, session.sentTo];
    if (now.address === before.address && now.port === before.port) return false;
    return !this.#paths.isSameEnd(path, endpoint.path);
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
    this.#renewStale(peer, now);
  }

  /** By the current key, whichever one a packet came under: a late packet under the previous one renews nothing. */
  #renewStale(peer: Peer, now: number): void {
    if (peer.renewalAsked || !peer.current?.isStaleForReceiving(now)) return;
    peer.renewalAsked = true;
    this.#handshakes.initiate(peer, now);
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
