/**
 * Open connections of the fake-TCP carrier: takes their segments, sends what has waited for them, and does what is due.
 */
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import * as tcp from "../wire/tcp.ts";
import {
  CHALLENGE_INTERVAL,
  HINT_TIME,
  KEEPALIVE_TIME,
  REPLACE_AFTER_SILENCE,
  SILENT_TIMEOUT,
  UNPROVEN_TIMEOUT,
  WINDOW,
} from "./constants.ts";
import type { CarrierEvent, LossReason } from "./events.ts";
import type { SegmentWriter } from "./segment_writer.ts";
import type { Server } from "./server.ts";
import type { Session } from "./session.ts";

/** The earliest time at which any connection may have something due; shared by all of a carrier. */
export interface Deadline {
  at: number;
}

export interface EstablishedOptions {
  readonly view: DataView;
  readonly drops: DropCounters;
  readonly writer: SegmentWriter;
  /** Answers SYNs. */
  readonly server: Server;
  readonly deadline: Deadline;
  readonly report: (event: CarrierEvent) => void;
}

export class Established {
  readonly #view: DataView;
  readonly #drops: DropCounters;
  readonly #writer: SegmentWriter;
  readonly #server: Server;
  readonly #deadline: Deadline;
  readonly #report: (event: CarrierEvent) => void;

  constructor({ view, drops, writer, server, deadline, report }: EstablishedOptions) {
    this.#view = view;
    this.#drops = drops;
    this.#writer = writer;
    this.#server = server;
    this.#deadline = deadline;
    this.#report = report;
  }

  /** Sends what has waited. */
  sendWaiting(session: Session, now: number): void {
    const { waiting } = session;
    session.waiting = [];
    session.windowAwaitedUntil = -Infinity;
    for (const datagram of waiting) {
      const { length } = datagram;
      if (length > session.maxPayload) this.#drops.add(DropReason.tooBig, length);
      else if (!session.allows(length)) this.#drops.add(DropReason.carrierWindowFull, length);
      else if (!this.#writer.copy(session, datagram, now)) {
        this.#drops.add(DropReason.sendQueueFull, length);
      }
    }
    this.#arm(session.stallAt);
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
      this.#hint(session, now);
      return false;
    }
    if ((flags & tcp.FLAG_ACK) === 0) {
      this.#drops.add(DropReason.carrierBadSegment, payloadLength);
      return false;
    }
    if (!session.accepts(seq, payloadLength) || !session.acceptsAcknowledgment(ack)) {
      this.#drops.add(DropReason.carrierOutOfWindow, payloadLength);
      this.#challenge(session, now);
      return false;
    }
    session.receivedAt = now;
    session.hasChallenger = false;
    session.acknowledged(ack, tcp.window(view, segment), now);
    this.#arm(session.stallAt);
    if (session.waiting.length > 0 && session.peerWindow > 0) this.sendWaiting(session, now);
    if ((flags & tcp.FLAG_FIN) !== 0) this.#hint(session, now);
    if (payloadLength > 0) session.received(seq, payloadLength, now);
    else if (seq === ((session.rcvMax - 1) | 0)) this.#challenge(session, now);
    if (session.owesAcknowledgment) this.#writer.acknowledge(session, now);
    else this.#arm(session.ackAt);
    return payloadLength > 0;
  }

  /** Takes a SYN, or SYN/ACK, of an open connection. */
  #receiveSyn(session: Session, segment: number, now: number): void {
    const view = this.#view;
    const flags = tcp.flags(view, segment);
    const seq = tcp.sequenceNumber(view, segment) | 0;
    const isAnswer = (flags & tcp.FLAG_ACK) !== 0;
    if (session.isClient) {
      // Our ACK was lost, or the SYN/ACK came twice.
      if (isAnswer && seq === session.irs) this.#writer.acknowledge(session, now);
      else this.#challenge(session, now);
      return;
    }
    if (isAnswer) {
      this.#challenge(session, now);
      return;
    }
    const isKnown = seq === session.irs;
    if (isKnown || now - session.receivedAt >= REPLACE_AFTER_SILENCE) {
      // Answered, but not believed before it goes on: the address of a SYN may be forged.
      if (!isKnown) {
        session.challengerIsn = seq;
        session.hasChallenger = true;
      }
      this.#server.answer(session, view, segment);
    } else this.#challenge(session, now);
  }

  /** Somebody says that the connection is over. */
  #hint(session: Session, now: number): void {
    if (session.hintAt !== Infinity) return;
    session.hintAt = now + HINT_TIME;
    this.#arm(session.hintAt);
  }

  /** Answers what cannot be with how things stand (RFC 5961 section 7 asks for a limit). */
  #challenge(session: Session, now: number): void {
    if (now - session.challengedAt < CHALLENGE_INTERVAL) return;
    session.challengedAt = now;
    this.#writer.acknowledge(session, now);
  }

  /** Does what is due; returns why the connection is over, or null. */
  poll(session: Session, now: number): LossReason | null {
    if (now >= session.hintAt) return "reset";
    if (now >= silentAt(session)) return "silent";
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
      silentAt(session),
      session.ackAt,
      session.stallAt,
      awaited,
      keepaliveAt(session),
    );
  }

  #arm(at: number): void {
    if (at < this.#deadline.at) this.#deadline.at = at;
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
