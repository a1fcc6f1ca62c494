/**
 * Segment writer: sends a connection's segments; each is written into, or into the room before, what the queue then
 * names.
 */
import type { Memory } from "../../wire/memory.ts";
import { FLAG_ACK, FLAG_PSH, FLAG_RST, FLAG_SYN } from "../../wire/tcp.ts";
import { type FourTuple, headersSizeOf } from "./four_tuple.ts";
import { writeHeaders, writeSyn } from "./segment.ts";
import type { SegmentQueue } from "./segment_queue.ts";
import type { Session } from "./session.ts";

/** Where the queue is full, control segments are not sent: as if they were lost, which fake TCP gets over. */
export class SegmentWriter {
  readonly #memory: Memory;
  readonly #queue: SegmentQueue;
  /** Of the path, in bytes. */
  mtu: number;

  constructor(memory: Memory, queue: SegmentQueue, mtu: number) {
    this.#memory = memory;
    this.#queue = queue;
    this.mtu = mtu;
  }

  /** The longest datagram in bytes that the path takes by a connection; the MSS of SYN and SYN/ACK. */
  maxPayloadOf(tuple: Pick<FourTuple, "addresses">): number {
    return this.mtu - headersSizeOf(tuple);
  }

  /** Sends the SYN of a client: the same each time, as another ISN breaks the handshake for firewalls. */
  syn(session: Session, now: number): void {
    this.#sendSyn(session, FLAG_SYN, session.iss, 0, true);
    session.sentAt = now;
  }

  /** Answers a SYN. */
  synAck(tuple: FourTuple, iss: number, irs: number, isScaled: boolean): void {
    this.#sendSyn(tuple, FLAG_SYN | FLAG_ACK, iss, (irs + 1) | 0, isScaled);
  }

  /**
   * Sends the datagram at `offset`, in the room before which its headers are written.
   *
   * @returns false when the queue is full
   */
  datagram(session: Session, offset: number, length: number, now: number): boolean {
    if (this.#queue.free === 0) return false;
    const headersSize = headersSizeOf(session);
    const at = offset - headersSize;
    writeHeaders(
      this.#memory.view,
      at,
      session,
      FLAG_PSH | FLAG_ACK,
      session.sndNxt,
      session.rcvMax,
      length,
    );
    this.#queue.append(at, headersSize + length);
    session.sent(length, now);
    return true;
  }

  /** Sends a datagram from elsewhere, which is copied. */
  copy(session: Session, datagram: Uint8Array, now: number): boolean {
    const at = this.#queue.reserve();
    if (at < 0) return false;
    const offset = at + headersSizeOf(session);
    this.#memory.bytes.set(datagram, offset);
    return this.datagram(session, offset, datagram.length, now);
  }

  /** Sends a pure ACK. */
  acknowledge(session: Session, now: number): void {
    this.#send(session, FLAG_ACK, session.sndNxt, session.rcvMax);
    session.acknowledgmentSent(now);
  }

  /** Asks the other end what it has: by an old number, which it answers. */
  probe(session: Session, now: number): void {
    this.#send(session, FLAG_ACK, (session.sndNxt - 1) | 0, session.rcvMax);
    session.acknowledgmentSent(now);
  }

  /** Ends a connection: one RST|ACK. */
  reset(session: Session): void {
    this.#send(session, FLAG_RST | FLAG_ACK, session.sndNxt, session.rcvMax);
  }

  /** Tells the sender of a segment that there is no such connection. */
  refuse(tuple: FourTuple, ack: number): void {
    this.#send(tuple, FLAG_RST, ack, 0);
  }

  #send(tuple: FourTuple, flags: number, seq: number, ack: number): void {
    const at = this.#queue.reserve();
    if (at < 0) return;
    writeHeaders(this.#memory.view, at, tuple, flags, seq, ack, 0);
    this.#queue.append(at, headersSizeOf(tuple));
  }

  #sendSyn(tuple: FourTuple, flags: number, seq: number, ack: number, isScaled: boolean): void {
    const at = this.#queue.reserve();
    if (at < 0) return;
    const maxSegmentSize = this.maxPayloadOf(tuple);
    const length = writeSyn(this.#memory.view, at, {
      tuple,
      flags,
      seq,
      ack,
      maxSegmentSize,
      isScaled,
    });
    this.#queue.append(at, length);
  }
}
