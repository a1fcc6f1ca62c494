/**
 * Open connections of fake TCP: takes their segments, sends what has waited for them, and does what is due.
 */
import { type DropCounters, DropReason } from "../../wire/drop_reason.ts";
import * as tcp from "../../wire/tcp.ts";
import {
  CHALLENGE_INTERVAL,
  HINT_TIME,
  KEEPALIVE_TIME,
  MAX_UNPROVEN_JUMP,
  REPLACE_AFTER_SILENCE,
  SILENCE_ANSWER_TIME,
  SILENT_TIMEOUT,
  UNPROVEN_TIMEOUT,
  WINDOW,
} from "./constants.ts";
import type { DueQueue } from "../../limits/due_queue.ts";
import type { FakeTcpEvent, LossReason } from "./events.ts";
import type { SegmentWriter } from "./segment_writer.ts";
import type { Server } from "./server.ts";
import type { Session } from "./session.ts";

export interface EstablishedOptions {
  readonly view: DataView;
  readonly drops: DropCounters;
  readonly writer: SegmentWriter;
  /** Answers SYNs. */
  readonly server: Server;
  readonly due: DueQueue<Session>;
  readonly report: (event: FakeTcpEvent) => void;
  /** Whether datagrams are authenticated inside, see `FakeTcpOptions`. */
  readonly authenticates: boolean;
}

export class Established {
  readonly #view: DataView;
  readonly #drops: DropCounters;
  readonly #writer: SegmentWriter;
  readonly #server: Server;
  readonly #due: DueQueue<Session>;
  readonly #report: (event: FakeTcpEvent) => void;
  readonly #authenticates: boolean;

  constructor(options: EstablishedOptions) {
    this.#view = options.view;
    this.#drops = options.drops;
    this.#writer = options.writer;
    this.#server = options.server;
    this.#due = options.due;
    this.#report = options.report;
    this.#authenticates = options.authenticates;
  }

  /** Sends what has waited. */
  sendWaiting(session: Session, now: number): void {
    const { waiting } = session;
    session.waiting = [];
    session.windowAwaitedUntil = -Infinity;
    for (const datagram of waiting) {
      const { length } = datagram;
      if (length > session.maxPayload) this.#drops.add(DropReason.tooBig, length);
      else if (!session.allows(length)) this.#drops.add(DropReason.fakeTcpWindowFull, length);
      else if (!this.#writer.copy(session, datagram, now)) {
        this.#drops.add(DropReason.sendQueueFull, length);
      }
    }
    this.#due.arm(session, session.stallAt);
  }

  /** Whether a segment of an open connection has datagrams to take. */
  receive(
    session: Session,
    segment: number,
    payloadLength: number,
    now: number,
  ): boolean {
    const view = this.#view;
    const flags = tcp.flags(view, segment);
    const seq = tcp.sequenceNumber(view, segment) | 0;
    const ack = tcp.acknowledgmentNumber(view, segment) | 0;
    if ((flags & tcp.FLAG_SYN) !== 0) {
      this.#receiveSyn(session, segment, now);
      return false;
    }
    if ((flags & tcp.FLAG_RST) !== 0) {
      this.#receiveEnd(session, seq, now);
      return false;
    }
    if ((flags & tcp.FLAG_ACK) === 0) {
      this.#drops.add(DropReason.fakeTcpBadSegment, payloadLength);
      return false;
    }
    if (!session.accepts(seq, payloadLength) || !session.acceptsAcknowledgment(ack)) {
      this.#drops.add(DropReason.fakeTcpOutOfWindow, payloadLength);
      this.#suspect(session, now);
      this.#challenge(session, now);
      return false;
    }
    const isPlausible = session.isPlausible(ack);
    if (isPlausible) session.seen(now);
    if (session.isBehind(seq, payloadLength)) this.#suspect(session, now);
    else if (isPlausible) session.agrees();
    // A window that a forger has shut would hold up all that is to be sent.
    const near = (seq - session.rcvMax) | 0;
    const isNear = near <= MAX_UNPROVEN_JUMP && near >= -WINDOW;
    session.acknowledged(ack, isNear ? tcp.window(view, segment) : -1, now);
    if (session.stallAt < session.dueAt) this.#due.arm(session, session.stallAt);
    if (session.waiting.length > 0 && session.peerWindow > 0) this.sendWaiting(session, now);
    if ((flags & tcp.FLAG_FIN) !== 0) this.#receiveEnd(session, seq, now);
    if (payloadLength > 0) this.#take(session, seq, payloadLength, isPlausible, now);
    else if (((seq - session.rcvMax) | 0) < 0) this.#challenge(session, now);
    if (session.mustAcknowledge) this.#acknowledgeAtOnce(session, payloadLength > 0, now);
    return payloadLength > 0;
  }

  /** Sends an acknowledgment that is due; what came with payload waits for that to be authenticated, a moment later. */
  #acknowledgeAtOnce(session: Session, hasPayload: boolean, now: number): void {
    if (hasPayload && this.#authenticates) {
      session.ackAt = now;
      this.#due.arm(session, now);
    } else this.#writer.acknowledge(session, now);
  }

  /** Takes payload: it counts when it has been authenticated, or at once where nothing is. */
  #take(
    session: Session,
    seq: number,
    length: number,
    isPlausible: boolean,
    now: number,
  ): void {
    if (this.#authenticates) {
      session.received(seq, length);
      return;
    }
    if (!isPlausible || !session.believed(seq, length, now)) return;
    session.hintAt = Infinity;
    this.#acknowledge(session, now);
  }

  /** Takes note that the payload received last was authentic: whatever RST said, the other end is there. */
  authenticated(session: Session, now: number): void {
    session.proven(now);
    session.hintAt = Infinity;
    this.#acknowledge(session, now);
  }

  /** The same of `length` bytes of payload, the last before `end`, which came before others may have. */
  authenticatedUpTo(session: Session, end: number, length: number, now: number): void {
    session.provenUpTo(end, length, now);
    session.hintAt = Infinity;
    this.#acknowledge(session, now);
  }

  /** Acknowledges what has come, now or later. */
  #acknowledge(session: Session, now: number): void {
    if (session.owesAcknowledgment) this.#writer.acknowledge(session, now);
    else if (session.ackAt < session.dueAt) this.#due.arm(session, session.ackAt);
  }

  /** Takes a SYN, or SYN/ACK, of an open connection. */
  #receiveSyn(session: Session, segment: number, now: number): void {
    const view = this.#view;
    const flags = tcp.flags(view, segment);
    const seq = tcp.sequenceNumber(view, segment) | 0;
    const isAnswer = (flags & tcp.FLAG_ACK) !== 0;
    if (session.isClient) {
      // Our ACK was lost, or the SYN/ACK came twice.
      // Anything else is a forger's. Both get the same answer, not too often.
      this.#challenge(session, now);
      return;
    }
    if (isAnswer) {
      this.#challenge(session, now);
      return;
    }
    if (seq === session.irs) this.#server.answer(session, view, segment);
    else if (now - session.receivedAt < REPLACE_AFTER_SILENCE) this.#challenge(session, now);
    else if (this.#isGone(session, now)) {
      // Answered, but not believed before it goes on: the address of a SYN may be forged.
      session.challengerIsn = seq;
      session.hasChallenger = true;
      this.#server.answer(session, view, segment);
    }
  }

  /**
   * Whether a silent client does not answer either; asks it where it was not. A SYN/ACK at once would move a firewall's
   * idea of a connection that is just idle to the numbers of the SYN, which a forger needs no number right for.
   */
  #isGone(session: Session, now: number): boolean {
    if (session.askedAt > session.receivedAt) return now - session.askedAt >= SILENCE_ANSWER_TIME;
    session.askedAt = now;
    this.#writer.probe(session, now);
    return false;
  }

  /**
   * Takes RST or FIN. Only with the exact number it is a hint that the connection is over (RFC 5961 section 3.2), as a
   * forger would have to guess all 32 bits. Another end that means it answers the challenge with a RST that has it.
   */
  #receiveEnd(session: Session, seq: number, now: number): void {
    if (seq !== session.rcvMax) {
      this.#challenge(session, now);
      return;
    }
    if (session.hintAt !== Infinity) return;
    session.hintAt = now + HINT_TIME;
    this.#due.arm(session, session.hintAt);
  }

  /** Answers what cannot be with how things stand (RFC 5961 section 7 asks for a limit). */
  #challenge(session: Session, now: number): void {
    if (now - session.challengedAt < CHALLENGE_INTERVAL) return;
    session.challengedAt = now;
    this.#writer.acknowledge(session, now);
  }

  #suspect(session: Session, now: number): void {
    session.suspect(now);
    this.#due.arm(session, session.probeAt);
  }

  /** Does what is due; returns why the connection is over, or null. */
  poll(session: Session, now: number): LossReason | null {
    if (now >= session.hintAt) return "reset";
    if (now >= silentAt(session)) return "silent";
    if (now >= session.probeAt) {
      if (session.judgeDrift(now)) {
        // Without ACK: firewalls drop what acknowledges bytes that they never saw.
        this.#writer.refuse(session, session.sndNxt);
        return "drifted";
      }
      if (session.probeAt !== Infinity) this.#writer.probe(session, now);
    }
    if (now >= session.ackAt) this.#writer.acknowledge(session, now);
    if (now >= session.stallAt) session.goBack();
    if (session.waiting.length > 0 && now >= session.windowAwaitedUntil) {
      session.peerWindow = WINDOW;
      this.sendWaiting(session, now);
    }
    if (now >= keepaliveAt(session)) {
      session.keepaliveAskedAt = now;
      this.#report({ kind: "keepalive", session });
    }
    return null;
  }

  /** When `poll()` has something to do. */
  dueAt(session: Session): number {
    const awaited = session.waiting.length > 0 ? session.windowAwaitedUntil : Infinity;
    return Math.min(
      session.hintAt,
      session.probeAt,
      silentAt(session),
      session.ackAt,
      session.stallAt,
      awaited,
      keepaliveAt(session),
    );
  }
}

function silentAt(session: Session): number {
  return session.isProven
    ? session.receivedAt + SILENT_TIMEOUT
    : session.establishedAt + UNPROVEN_TIMEOUT;
}

/** Nothing is asked for while nobody has proven to be there. */
function keepaliveAt(session: Session): number {
  if (!session.isProven) return Infinity;
  return Math.max(session.sentAt, session.keepaliveAskedAt) + KEEPALIVE_TIME;
}
