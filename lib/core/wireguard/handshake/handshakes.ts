/**
 * The device's handshakes: initiations sent and answered, responses and cookies taken. Which messages are worked on at
 * all is handshake_gate.ts's to say.
 *
 * Functions stand in the order in which messages meet them: what we send first, what comes in, what that leads to.
 * These are a few messages in two minutes for each peer, so plain objects and arrays are in order here.
 */
import type { AeadProvider } from "../../noise/aead.ts";
import type { CookieGenerator, RandomBytes } from "../../noise/cookie.ts";
import { Initiator, Responder, type TransportKeys } from "../../noise/handshake.ts";
import type { KeyPair, X25519Provider } from "../../noise/key_pair.ts";
import { compareTai64n, encodeTai64n } from "../../noise/tai64n.ts";
import { DropReason } from "../../wire/drop_reason.ts";
import type { Memory } from "../../wire/memory.ts";
import {
  COOKIE_REPLY_RECEIVER_OFFSET,
  COOKIE_REPLY_SIZE,
  INITIATION_EPHEMERAL_OFFSET,
  INITIATION_MAC1_OFFSET,
  INITIATION_SENDER_OFFSET,
  INITIATION_SIZE,
  KEY_SIZE,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MESSAGE_TYPE_OFFSET,
  RESPONSE_EPHEMERAL_OFFSET,
  RESPONSE_MAC1_OFFSET,
  RESPONSE_RECEIVER_OFFSET,
  RESPONSE_SENDER_OFFSET,
  RESPONSE_SIZE,
} from "../../wire/messages.ts";
import { MIN_INITIATION_INTERVAL } from "../constants.ts";
import { HandshakeGate, randomUint32 } from "./handshake_gate.ts";
import type { IndexTable } from "./index_table.ts";
import { PeerSession } from "../session/peer_session.ts";
import type { Peer } from "../peer.ts";
import type { PeerTable } from "../peer_table.ts";
import { Successor } from "../successor.ts";
import { MARK_HIGH } from "../liveness/recognition.ts";
import { type Sharing, WORKER_MASK } from "../workers/sharing.ts";
import type { SendQueue } from "../../transport/send_queue.ts";
import {
  addHandshake,
  handshakeOf,
  installInitiated,
  installResponded,
  installSucceeding,
  takeHandshake,
} from "../session/key_slots.ts";

/** ms besides two round trips that the response to the newest of several initiations may take. */
const RESPONSE_MARGIN = 500;

/** ms by which a timestamp is later than the one before it at the least: they are told apart in steps of 17 ms. */
const TIMESTAMP_STEP = 20;

const IDENTIFIER = new TextEncoder().encode("WireGuard v1 zx2c4 Jason@zx2c4.com");
const NO_PAYLOAD = new Uint8Array(0);

export interface HandshakesOptions {
  readonly memory: Memory;
  readonly sendQueue: SendQueue;
  readonly identity: KeyPair;
  readonly x25519: X25519Provider;
  readonly aead: AeadProvider;
  readonly random: RandomBytes;
  /** Unix ms, for the timestamp in initiations. */
  readonly wallClock: () => number;
  readonly indices: IndexTable;
  /** Whether counters begin where those of ours do (recognition.ts). */
  readonly isMarked: boolean;
  readonly peers: PeerTable;
  /** Null where this thread alone has the packets. */
  readonly sharing: Sharing | null;
}

export class Handshakes {
  readonly gate: HandshakeGate;
  /** Whether peers that have no session may begin one. */
  admitsNew = true;
  /** Whether the last initiation that was answered came from a key that is to be its peer's. */
  isOfSuccessor = false;
  readonly #options: HandshakesOptions;

  constructor(options: HandshakesOptions) {
    this.#options = options;
    this.gate = new HandshakeGate(options);
  }

  /** Sends a first message to `peer`; false when the send queue is full or the peer's key is of low order. */
  sendInitiation(peer: Peer, now: number): boolean {
    const { aead, identity, indices, sendQueue, wallClock } = this.#options;
    const slot = sendQueue.reserve();
    if (slot < 0 || peer.staticSecret === null) return false;
    const state = new Initiator({
      aead,
      prologue: IDENTIFIER,
      localStatic: identity,
      remoteStatic: peer.publicKey,
      staticStatic: peer.staticSecret,
      ephemeral: this.#freshPair(),
    });
    // A clock that is set back must not make our initiations replays to the peer until it has caught up.
    const time = Math.max(wallClock(), peer.initiationUnixTime + TIMESTAMP_STEP);
    const timestamp = encodeTai64n(time);
    const fields = state.writeMessage1(timestamp);
    if (fields === null) {
      state.destroy();
      return false;
    }
    peer.initiationUnixTime = time;
    const localIndex = this.#allocateIndex(peer);
    const { path } = peer.endpoint;
    const sentTo = sendQueue.paths.socketAddress(path);
    addHandshake(indices, peer, { state, localIndex, sentTo, sentAt: now, timestamp });

    const message = this.#options.memory.bytes.subarray(slot, slot + INITIATION_SIZE);
    const view = this.#options.memory.view;
    view.setUint32(slot + MESSAGE_TYPE_OFFSET, MESSAGE_INITIATION, true);
    view.setUint32(slot + INITIATION_SENDER_OFFSET, localIndex, true);
    message.set(fields, INITIATION_EPHEMERAL_OFFSET);
    this.#sendWithMacs(peer, message, { cookies: peer.cookies, path, now });
    peer.initiationSentAt = now;
    return true;
  }

  /**
   * Takes a handshake initiation that begins at `offset` and has the right size, and answers it.
   *
   * @returns the index of the peer that it proved to be from, or minus the drop reason
   */
  receiveInitiation(offset: number, path: number, now: number): number {
    const { aead, identity, memory, peers, sharing } = this.#options;
    if (sharing?.isFull) return -DropReason.handshakeFlood;
    const senderIndex = memory.view.getUint32(offset + INITIATION_SENDER_OFFSET, true);
    const refused = this.gate.admitInitiation(
      { offset, length: INITIATION_SIZE, senderIndex },
      path,
      now,
    );
    if (refused !== DropReason.none) return -refused;

    const message = memory.bytes.subarray(offset, offset + INITIATION_SIZE);
    const responder = new Responder({ aead, prologue: IDENTIFIER, localStatic: identity });
    const fields = message.subarray(INITIATION_EPHEMERAL_OFFSET, INITIATION_MAC1_OFFSET);
    const remoteStatic = responder.readStatic(fields);
    if (remoteStatic === null) return -DropReason.badHandshake;
    const party = peers.party(remoteStatic);
    if (party === undefined || party.staticSecret === null) {
      responder.destroy();
      return -DropReason.unknownPeer;
    }
    const timestamp = responder.readPayload(party.staticSecret);
    if (timestamp === null) return -DropReason.badHandshake;
    const peer = party instanceof Successor ? peers.byIndex(party.peerIndex)! : party;
    const reason = compareTai64n(timestamp, party.latestTimestamp) <= 0
      ? DropReason.staleTimestamp
      : now - party.initiationReceivedAt < MIN_INITIATION_INTERVAL
      ? DropReason.handshakeTooSoon
      : this.admitsNew || peer.current !== null
      ? DropReason.none
      : DropReason.notAdmitted;
    if (reason !== DropReason.none) {
      responder.destroy();
      return -reason;
    }
    this.gate.wasGenuine();
    party.latestTimestamp = timestamp;
    party.initiationReceivedAt = now;
    this.isOfSuccessor = party !== peer;
    return this.#respond(responder, { party, peer, timestamp, senderIndex, path, now });
  }

  /**
   * Takes a handshake response that begins at `offset` and has the right size.
   *
   * @returns the index of the peer that it proved to be from, or minus the drop reason
   */
  receiveResponse(offset: number, now: number): number {
    const { indices, memory, sharing } = this.#options;
    if (sharing?.isFull) return -DropReason.handshakeFlood;
    const receiverIndex = memory.view.getUint32(offset + RESPONSE_RECEIVER_OFFSET, true);
    const peer = this.#options.peers.byIndex(indices.peerIndex(receiverIndex));
    const pending = peer === null ? null : handshakeOf(peer, receiverIndex);
    if (peer === null || pending === null) {
      return -DropReason.unknownIndex;
    }
    const senderIndex = memory.view.getUint32(offset + RESPONSE_SENDER_OFFSET, true);
    const refused = this.gate.admitResponse(
      { offset, length: RESPONSE_SIZE, senderIndex },
      peer.answers,
      now,
    );
    if (refused !== DropReason.none) return -refused;

    const message = memory.bytes.subarray(offset, offset + RESPONSE_SIZE);
    const { state, sentTo, sentAt, timestamp } = pending;
    const fields = message.subarray(RESPONSE_EPHEMERAL_OFFSET, RESPONSE_MAC1_OFFSET);
    // A forged response leaves the handshake as it was: the true one may still come.
    const payload = state.readMessage2(fields, peer.presharedKey);
    const keys = payload === null ? null : state.split();
    if (keys === null) return -DropReason.badHandshake;
    this.gate.wasGenuine();
    takeHandshake(indices, peer, pending);
    peer.watch?.roundTrip.measured(now - sentAt);
    const made = this.#makeSession(peer, keys, {
      isInitiator: true,
      localIndex: receiverIndex,
      remoteIndex: senderIndex,
      createdAt: now,
      sentTo,
      timestamp,
    });
    installInitiated(indices, peer, made);
    if (peer.handshake !== null) {
      made.isTentative = true;
      const roundTrip = now - sentAt;
      peer.timers.awaitNewestResponse(peer.handshake.sentAt + 2 * roundTrip + RESPONSE_MARGIN);
    }
    return peer.index;
  }

  /** Takes a cookie reply that begins at `offset` and has the right size: the next initiation carries the cookie. */
  receiveCookieReply(offset: number, now: number): DropReason {
    const { indices, memory } = this.#options;
    const index = memory.view.getUint32(offset + COOKIE_REPLY_RECEIVER_OFFSET, true);
    const peer = this.#options.peers.byIndex(indices.peerIndex(index));
    if (peer === null) return DropReason.unknownIndex;
    if (!peer.cookies.awaitsReply) return DropReason.badCookie;
    const refused = this.gate.admitCookieReply(peer.answers, now);
    if (refused !== DropReason.none) return refused;
    const reply = memory.bytes.subarray(offset, offset + COOKIE_REPLY_SIZE);
    return peer.cookies.consumeReply(reply, now) ? DropReason.none : DropReason.badCookie;
  }

  /** Sends the second message and keeps the session that it makes. */
  #respond(
    responder: Responder,
    { party, peer, timestamp, senderIndex, path, now }: {
      party: Peer | Successor;
      peer: Peer;
      timestamp: Uint8Array;
      senderIndex: number;
      path: number;
      now: number;
    },
  ): number {
    const { indices, memory, sendQueue } = this.#options;
    const slot = sendQueue.reserve();
    if (slot < 0) {
      responder.destroy();
      return -DropReason.sendQueueFull;
    }
    const fields = responder.writeMessage2({
      ephemeral: this.#freshPair(),
      presharedKey: party.presharedKey,
      payload: NO_PAYLOAD,
    });
    const keys = fields === null ? null : responder.split();
    if (fields === null || keys === null) {
      responder.destroy();
      return -DropReason.badHandshake;
    }
    const localIndex = this.#allocateIndex(peer);
    const message = memory.bytes.subarray(slot, slot + RESPONSE_SIZE);
    memory.view.setUint32(slot + MESSAGE_TYPE_OFFSET, MESSAGE_RESPONSE, true);
    memory.view.setUint32(slot + RESPONSE_SENDER_OFFSET, localIndex, true);
    memory.view.setUint32(slot + RESPONSE_RECEIVER_OFFSET, senderIndex, true);
    message.set(fields, RESPONSE_EPHEMERAL_OFFSET);
    // To where the initiation came from, which is the peer's endpoint from now on.
    this.#sendWithMacs(peer, message, { cookies: party.cookies, path, now });
    const session = this.#makeSession(peer, keys, {
      isInitiator: false,
      localIndex,
      remoteIndex: senderIndex,
      createdAt: now,
      sentTo: sendQueue.paths.socketAddress(path),
      timestamp,
    });
    if (party instanceof Successor) installSucceeding(indices, party, session);
    else installResponded(indices, peer, session);
    return peer.index;
  }

  /** A pair for one handshake, whose end destroys it. */
  #freshPair(): KeyPair {
    const { random, x25519 } = this.#options;
    const secret = random(KEY_SIZE);
    const pair = x25519.keyPair(secret);
    secret.fill(0);
    return pair;
  }

  #makeSession(
    peer: Peer,
    keys: TransportKeys,
    session: Pick<
      PeerSession,
      "isInitiator" | "localIndex" | "remoteIndex" | "createdAt" | "sentTo" | "timestamp"
    >,
  ): PeerSession {
    const { aead, isMarked, sharing } = this.#options;
    const sending = aead.key(keys.sending);
    const receiving = aead.key(keys.receiving);
    const made = new PeerSession({
      peerIndex: peer.index,
      sending,
      receiving,
      counterHigh: isMarked ? MARK_HIGH : 0,
      shared: sharing?.counter() ?? null,
      ...session,
    });
    sharing?.sessionMade(made, keys);
    keys.sending.fill(0);
    keys.receiving.fill(0);
    return made;
  }

  #sendWithMacs(
    peer: Peer,
    message: Uint8Array,
    { cookies, path, now }: { cookies: CookieGenerator; path: number; now: number },
  ): void {
    cookies.addMacs(message, now);
    this.#options.sendQueue.commit(message.length, path);
    peer.sentBytes += message.length;
  }

  #allocateIndex(peer: Peer): number {
    const { indices, random, sharing } = this.#options;
    const worker = sharing?.workerOf(peer) ?? null;
    return indices.allocate(peer.index, () => {
      const index = randomUint32(random);
      return worker === null ? index : (index - (index & WORKER_MASK)) + worker;
    });
  }
}
