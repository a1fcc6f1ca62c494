/**
 * Handshake driver: when a handshake begins, and what its messages lead to: the session, the peer's place, the timers.
 * The messages themselves are handshakes.ts's.
 */
import { NO_PATH, type Paths } from "../../transport/paths.ts";
import { Transport } from "../../transport/transport.ts";
import { DropReason } from "../../wire/drop_reason.ts";
import {
  COOKIE_REPLY_SIZE,
  INITIATION_SIZE,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  RESPONSE_SIZE,
} from "../../wire/messages.ts";
import type { Arrivals } from "../arrivals.ts";
import type { DeviceEventKind } from "../device_events.ts";
import type { Peer } from "../peer.ts";
import type { PeerTable } from "../peer_table.ts";
import type { MessageSender } from "../message_sender.ts";
import { dropHandshake, dropSessions, dropSucceeding } from "../session/key_slots.ts";
import type { Successor, SuccessorOptions } from "../successor.ts";
import { NEVER } from "../timers.ts";
import { Handshakes, type HandshakesOptions } from "./handshakes.ts";
import type { IndexTable } from "./index_table.ts";

/** ms between initiations to a peer that is taken over. */
const TAKE_OVER_INTERVAL = 1_000;

/** Where a peer was seen by another gateway: by IPv4 and UDP, host order. */
export interface TakenPlace {
  readonly address: number;
  readonly port: number;
  /** The address of ours that the peer knows. */
  readonly source: number;
}

export interface HandshakeDriverOptions extends HandshakesOptions {
  readonly arrivals: Arrivals;
  readonly sender: MessageSender;
  /** Whether a peer's transport follows its packets as its address does. */
  readonly followsTransport: boolean;
  readonly report: (kind: DeviceEventKind, peer: Peer) => void;
}

export class HandshakeDriver {
  readonly #handshakes: Handshakes;
  readonly #paths: Paths;
  readonly #peers: PeerTable;
  readonly #indices: IndexTable;
  readonly #arrivals: Arrivals;
  readonly #sender: MessageSender;
  readonly #followsTransport: boolean;
  readonly #wallClock: () => number;
  readonly #report: (kind: DeviceEventKind, peer: Peer) => void;

  constructor(options: HandshakeDriverOptions) {
    this.#handshakes = new Handshakes(options);
    this.#paths = options.sendQueue.paths;
    this.#peers = options.peers;
    this.#indices = options.indices;
    this.#arrivals = options.arrivals;
    this.#sender = options.sender;
    this.#followsTransport = options.followsTransport;
    this.#wallClock = options.wallClock;
    this.#report = options.report;
  }

  /** Whether peers that have no session get one; those that have one renew it all the same. */
  set admitsNew(admits: boolean) {
    this.#handshakes.admitsNew = admits;
  }

  /** Messages that were worth a Diffie-Hellman, since the start; an int32 that may wrap around. */
  get admitted(): number {
    return this.#handshakes.gate.admitted;
  }

  // Our own.

  /**
   * Asks for a handshake with `peer`: sends an initiation unless one was sent less than REKEY_TIMEOUT ago, or the
   * endpoint is not known. A request starts the count of attempts again, as the paper has it (section 6.4).
   *
   * @param interval ms between initiations from now on, counted from one under way as well; as before if left out
   */
  initiate(peer: Peer, now: number, interval?: number): void {
    const { timers } = peer;
    timers.handshakeAttempts = 0;
    if (interval !== undefined) {
      timers.handshakeInterval = interval;
      // A keepalive may have begun one: lost, it would else be repeated after REKEY_TIMEOUT only.
      timers.hurryHandshake(peer.initiationSentAt + interval);
    }
    if (now - peer.initiationSentAt >= timers.handshakeInterval) this.sendInitiation(peer, now);
  }

  /** Sends an initiation, unless the endpoint is not known; it is repeated until it has an answer. */
  sendInitiation(peer: Peer, now: number): void {
    const { timers } = peer;
    if (peer.endpoint.path === NO_PATH || peer.isRemoved) return;
    peer.endSteady();
    if (!this.#handshakes.admitsNew && peer.current === null) return;
    // Should the queue be full, or the endpoint have had its bytes, the timer below tries again.
    if (peer.proof.spendOnQuestion(INITIATION_SIZE) && this.#handshakes.sendInitiation(peer, now)) {
      peer.proof.asked(now);
      timers.authenticatedSent(now);
      if (peer.askedSince === NEVER) {
        peer.askedSince = now;
        if (peer.unansweredSince === NEVER) peer.unansweredSince = now;
        timers.watchBy(peer.watch?.nextAt(peer) ?? NEVER);
      }
    }
    timers.handshakeInitiated(now, peer.proof.repeatAfter);
  }

  /**
   * Begins a handshake with a peer that was another gateway's until now, where that has seen it, and repeats it each
   * second: the peer itself has nothing to ask for before it misses us.
   */
  takeOver(peer: Peer, { address, port, source }: TakenPlace, now: number): void {
    peer.endpoint.moveTo(this.#paths.intern(address, port, source, Transport.udp));
    peer.proof.chosen();
    peer.timers.handshakeInterval = TAKE_OVER_INTERVAL;
    peer.timers.handshakeAttempts = 0;
    this.sendInitiation(peer, now);
  }

  // What comes in.

  /**
   * Takes a message of another type than 4.
   *
   * @param path by which it came
   * @returns the index of the peer that it proved to be from, 0 for none, or minus the drop reason
   */
  receive(type: number, offset: number, length: number, path: number, now: number): number {
    switch (type) {
      case MESSAGE_INITIATION: {
        if (length !== INITIATION_SIZE) return -DropReason.badMessageLength;
        const result = this.#handshakes.receiveInitiation(offset, path, now);
        if (result > 0) this.#initiationReceived(this.#peers.byIndex(result)!, length, path, now);
        return result;
      }
      case MESSAGE_RESPONSE: {
        if (length !== RESPONSE_SIZE) return -DropReason.badMessageLength;
        const result = this.#handshakes.receiveResponse(offset, now);
        if (result > 0) this.#responseReceived(this.#peers.byIndex(result)!, length, path, now);
        return result;
      }
      case MESSAGE_COOKIE_REPLY:
        if (length !== COOKIE_REPLY_SIZE) return -DropReason.badMessageLength;
        return 0 - this.#handshakes.receiveCookieReply(offset, now);
      default:
        return -DropReason.unknownMessage;
    }
  }

  #initiationReceived(peer: Peer, length: number, path: number, now: number): void {
    peer.endSteady();
    if (this.#handshakes.isOfSuccessor) {
      // Where it is, the first packet under its key shows: until then the other key has the sessions.
      peer.received(length);
      peer.timers.sessionDerived(now);
      return;
    }
    this.#received(peer, length, path, now);
    // An initiation shows that the peer sends, and not that it receives: no session stands until data under its key
    // comes.
    peer.timers.authenticatedReceived(now);
    peer.timers.authenticatedSent(now);
    peer.lastSentAt = now;
    peer.proof.spendOnQuestion(RESPONSE_SIZE);
    peer.proof.answered(now);
    if (!peer.proof.isProven) peer.timers.postponeHandshake(now + peer.proof.repeatAfter);
  }

  #responseReceived(peer: Peer, length: number, path: number, now: number): void {
    // A client on a long path has left this transport for another before the response came.
    if (!this.#followsTransport && this.#paths.transport(path) !== peer.endpoint.transport) {
      this.#report("transport-works", peer);
    }
    this.#received(peer, length, path, now);
    peer.watch?.recognition.sessionBegan(true, now);
    this.#arrivals.markAlive(peer, now);
    // A responder that has answered a later initiation as well has dropped this session: what is sent would be lost.
    if (!peer.current!.isTentative) this.completed(peer, now);
    // The responder may not use the new key before a packet under it has come.
    if (peer.current?.isUnused) this.#sender.sendKeepalive(peer, now);
  }

  #received(peer: Peer, length: number, path: number, now: number): void {
    peer.received(length);
    if (this.#paths.transport(path) === peer.endpoint.transport || this.#followsTransport) {
      this.#arrivals.locate(peer, length, path, now);
    }
    peer.timers.sessionDerived(now);
  }

  /** Both ends have the current session of `peer` now. */
  completed(peer: Peer, now: number): void {
    const { current, successor } = peer;
    if (current !== null && current === successor?.session) this.#succeed(peer, successor);
    const { address, port } = peer.endpoint;
    const { sentTo } = peer.current!;
    // The handshake may have been with another endpoint than the one that its last message seems to come from.
    if (sentTo.address === address && sentTo.port === port) {
      peer.proof.prove(peer.endpoint, this.#handshakes.gate.proven);
    }
    peer.timers.handshakeCompleted();
    peer.lastHandshakeUnixTime = this.#wallClock();
    peer.watch?.recognition.sessionBegan(peer.current!.isInitiator, now);
    peer.timers.watchBy(peer.watch?.nextAt(peer) ?? NEVER);
    this.#report("handshake-completed", peer);
    this.#sender.sendStaged(peer, now);
  }

  /** The first packet under a key to come makes it the peer's. */
  #succeed(peer: Peer, successor: Successor): void {
    this.drop(peer);
    this.#peers.succeed(peer, successor);
    peer.watch?.forget();
    this.#report("key-replaced", peer);
  }

  /** Lets a peer have another key to come, or none. */
  setSuccessor(peer: Peer, options: SuccessorOptions | null): void {
    dropSucceeding(this.#indices, this.#peers.setSuccessor(peer, options));
  }

  // The end of them.

  /** Ends the handshakes of ours that are under way. */
  drop(peer: Peer): void {
    dropHandshake(this.#indices, peer);
  }

  /** Zeroes the keys of `peer`, sessions' and a handshake's. */
  zeroKeys(peer: Peer): void {
    dropHandshake(this.#indices, peer);
    dropSessions(this.#indices, peer);
    peer.proof.forget(this.#handshakes.gate.proven);
  }
}
