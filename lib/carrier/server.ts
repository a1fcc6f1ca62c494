/**
 * Owns the server's half of the handshake (spec/fake_tcp.md, "Server"), and the answer to segments of no connection.
 *
 * Between the SYN and what answers the SYN/ACK, nothing is kept: `SynCookies` has the reasons.
 */
import * as tcp from "../wire/tcp.ts";
import { RESETS_PER_SECOND, WINDOW_SHIFT } from "./constants.ts";
import { readSynOptions } from "./segment.ts";
import type { SegmentWriter } from "./segment_writer.ts";
import { type FourTuple, Session } from "./session.ts";
import { SynCookies } from "./syn_cookies.ts";

export interface ServerOptions {
  readonly writer: SegmentWriter;
  /** 16 random bytes. */
  readonly secret: Uint8Array;
  /** The longest datagram in bytes that the path takes. */
  readonly maxPayload: number;
}

export class Server {
  readonly #writer: SegmentWriter;
  readonly #cookies: SynCookies;
  readonly #maxPayload: number;

  constructor({ writer, secret, maxPayload }: ServerOptions) {
    this.#writer = writer;
    this.#cookies = new SynCookies(secret);
    this.#maxPayload = maxPayload;
  }

  /** Answers a SYN: an identical one in the same way. Its ack field, which SYN proxies fill, means nothing. */
  answer(tuple: FourTuple, view: DataView, segment: number): void {
    const { maxSegmentSize, windowShift } = readSynOptions(view, segment);
    const size = Math.min(maxSegmentSize ?? this.#maxPayload, this.#maxPayload);
    // Our clients ask for this shift. Where another is asked for, somebody on the way has a part in it.
    const isScaled = windowShift === WINDOW_SHIFT;
    const irs = tcp.sequenceNumber(view, segment) | 0;
    this.#writer.synAck(tuple, this.#cookies.make(tuple, size, isScaled), irs, isScaled);
  }

  /** The connection that a segment opens by acknowledging our SYN/ACK, with or without data; null where it does not. */
  open(tuple: FourTuple, view: DataView, segment: number): Session | null {
    if ((tcp.flags(view, segment) & tcp.FLAG_ACK) === 0) return null;
    const iss = (tcp.acknowledgmentNumber(view, segment) - 1) | 0;
    if (!this.#cookies.check(tuple, iss)) return null;
    const maxPayload = Math.min(SynCookies.size(iss), this.#maxPayload);
    const session = new Session(tuple, iss, { isClient: false, maxPayload });
    const isScaled = SynCookies.isScaled(iss);
    session.establish((tcp.sequenceNumber(view, segment) - 1) | 0, isScaled);
    if (isScaled) session.peerShift = WINDOW_SHIFT;
    return session;
  }
}

/** Answers segments of no connection with RST, not too often: their senders may be forged. */
export class Refuser {
  readonly #writer: SegmentWriter;
  #second = -Infinity;
  #count = 0;

  constructor(writer: SegmentWriter) {
    this.#writer = writer;
  }

  /** RST with seq = its ack (RFC 9293 section 3.10.7.1); none to RST, nor to what acknowledges nothing. */
  refuse(tuple: FourTuple, view: DataView, segment: number, now: number): void {
    const flags = tcp.flags(view, segment);
    if ((flags & tcp.FLAG_RST) !== 0 || (flags & tcp.FLAG_ACK) === 0) return;
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#count = 0;
    }
    if (this.#count >= RESETS_PER_SECOND) return;
    this.#count++;
    this.#writer.refuse(tuple, tcp.acknowledgmentNumber(view, segment) | 0);
  }
}
