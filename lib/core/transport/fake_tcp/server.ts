/**
 * Fake-TCP server: its half of the handshake (README.md, "Server"), and the answer to segments of no connection.
 *
 * Between the SYN and what answers the SYN/ACK, nothing is kept: `SynCookies` has the reasons.
 */
import { hash } from "../../wire/hash.ts";
import * as tcp from "../../wire/tcp.ts";
import { RESETS_OF_ADDRESS, RESETS_OF_CONNECTION, WINDOW_SHIFT } from "./constants.ts";
import { type FourTuple, partyOf } from "./four_tuple.ts";
import { readSynOptions } from "./segment.ts";
import type { SegmentWriter } from "./segment_writer.ts";
import { Session } from "./session.ts";
import { SynCookies } from "./syn_cookies.ts";

export interface ServerOptions {
  readonly writer: SegmentWriter;
  /** 16 random bytes. */
  readonly secret: Uint8Array;
}

export class Server {
  readonly #writer: SegmentWriter;
  readonly #cookies: SynCookies;

  constructor({ writer, secret }: ServerOptions) {
    this.#writer = writer;
    this.#cookies = new SynCookies(secret);
  }

  /** Answers a SYN: an identical one in the same way. Its ack field, which SYN proxies fill, means nothing. */
  answer(tuple: FourTuple, view: DataView, segment: number): void {
    const { maxSegmentSize, windowShift } = readSynOptions(view, segment);
    const maxPayload = this.#writer.maxPayloadOf(tuple);
    const size = Math.min(maxSegmentSize ?? maxPayload, maxPayload);
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
    const maxPayload = Math.min(SynCookies.size(tuple, iss), this.#writer.maxPayloadOf(tuple));
    const session = new Session(tuple, iss, { isClient: false, maxPayload });
    const isScaled = SynCookies.isScaled(iss);
    session.establish((tcp.sequenceNumber(view, segment) - 1) | 0, isScaled);
    if (isScaled) session.peerShift = WINDOW_SHIFT;
    return session;
  }
}

/** Sources, and connections, are counted in so many groups; powers of two. */
const ADDRESS_GROUPS = 1 << 10;
const CONNECTION_GROUPS = 1 << 12;

/**
 * Answers segments of no connection with RST, not too often: their senders may be forged.
 *
 * Each address has its own share of a second, and so does each connection from it: a flood from one address, or the
 * segments of one busy client behind a NAT, leave the others theirs. Groups stand for what they count, as forged
 * addresses must not take memory; they are other ones each second, so that none shares a flooder's for long.
 */
export class Refuser {
  readonly #writer: SegmentWriter;
  readonly #random: () => number;
  readonly #ofAddress = new Uint8Array(ADDRESS_GROUPS);
  readonly #ofConnection = new Uint8Array(CONNECTION_GROUPS);
  #second = -Infinity;
  #seed = 0;

  /** @param random draws an unsigned 32-bit number that nobody can guess */
  constructor(writer: SegmentWriter, random: () => number) {
    this.#writer = writer;
    this.#random = random;
  }

  /** RST with seq = its ack (RFC 9293 section 3.10.7.1); none to RST, nor to what acknowledges nothing. */
  refuse(tuple: FourTuple, view: DataView, segment: number, now: number): void {
    const flags = tcp.flags(view, segment);
    if ((flags & tcp.FLAG_RST) !== 0 || (flags & tcp.FLAG_ACK) === 0) return;
    if (!this.#allows(tuple, now)) return;
    this.#writer.refuse(tuple, tcp.acknowledgmentNumber(view, segment) | 0);
  }

  #allows(tuple: FourTuple, now: number): boolean {
    const { addresses, remotePort, localPort } = tuple;
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#seed = this.#random() | 0;
      this.#ofAddress.fill(0);
      this.#ofConnection.fill(0);
    }
    const party = partyOf(tuple, this.#seed);
    const address = party & (ADDRESS_GROUPS - 1);
    const place = hash(party, addresses[addresses.length / 2 - 1], this.#seed);
    const connection = hash(place, remotePort << 16 | localPort, this.#seed) &
      (CONNECTION_GROUPS - 1);
    if (this.#ofConnection[connection] >= RESETS_OF_CONNECTION) return false;
    if (this.#ofAddress[address] >= RESETS_OF_ADDRESS) return false;
    this.#ofConnection[connection]++;
    this.#ofAddress[address]++;
    return true;
  }
}
