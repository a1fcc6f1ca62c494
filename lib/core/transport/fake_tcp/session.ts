/**
 * Fake-TCP session: one connection's arithmetic (README.md, "Arithmetic"): what it sends next, has received, and may
 * send. It is the same for both ends.
 *
 * Sequence numbers are int32, and compared by the sign of their difference (RFC 9293 section 3.4); that holds as long
 * as nothing is 2^31 apart, and the largest window is half of that. What they begin with means nothing: firewalls
 * rewrite them.
 */
import type { Place } from "../../limits/fair_shares.ts";
import {
  ACK_AFTER_BYTES,
  ACK_AFTER_BYTES_SCALED,
  ACK_DELAY,
  DRIFT_SIGNS,
  MAX_ACK_LAG,
  MAX_STALL_TIME,
  MAX_UNPROVEN_JUMP,
  PROBE_INTERVAL,
  STALL_TIME,
  WINDOW,
  WINDOW_SHIFT,
} from "./constants.ts";
import type { FourTuple } from "./four_tuple.ts";

export const SessionState = {
  /** SYN sent. */
  opening: 0,
  established: 1,
  /** Over: nothing is sent or received any more. */
  closed: 2,
} as const;

export type SessionState = (typeof SessionState)[keyof typeof SessionState];

export class Session implements FourTuple {
  readonly addresses: Int32Array;
  readonly localPort: number;
  readonly remotePort: number;
  /** Whether this end sent the SYN. */
  readonly isClient: boolean;
  /** Its number in the table, an int32 that no other one there has; 0 before it is there. */
  number = 0;
  state: SessionState = SessionState.opening;
  /** The longest datagram in bytes. */
  maxPayload: number;

  // RFC 9293's names (section 3.3.1): initial sequence numbers, sent and received.
  readonly iss: number;
  irs = 0;
  /** What the next datagram begins with; goes back when acknowledgments stall. */
  sndNxt: number;
  /** The highest that was ever sent; and the highest that was acknowledged. */
  sndMax: number;
  sndUna: number;
  /** The highest that is known to be the other end's, which is what is acknowledged. Never goes back. */
  rcvMax = 0;
  /** Where the last segment ends, and its bytes (0: it was taken), which count once they are known to be authentic. */
  #unprovenEnd = 0;
  #unprovenLength = 0;
  /** Bytes by which segments that nothing authenticates may still be ahead, all together. */
  #jumpCredit = MAX_UNPROVEN_JUMP;
  /** Whether windows are scaled. */
  isScaled = false;
  /** By how much the other end's window field is shifted, SYN and SYN/ACK aside; and its window in bytes. */
  peerShift = 0;
  peerWindow: number = WINDOW;
  /** Payload bytes received since the last acknowledgment left. */
  unacknowledged = 0;
  /** Whether an acknowledgment is due at once, however little came. */
  mustAcknowledge = false;

  // When what is due; ms.
  /** SYNs sent, and the time of the first. */
  synCount = 0;
  synSentAt = Infinity;
  ackAt = Infinity;
  stallAt = Infinity;
  /** When RST or FIN is believed. */
  hintAt = Infinity;
  /** Until when datagrams wait for a window. */
  windowAwaitedUntil = -Infinity;
  establishedAt = Infinity;
  sentAt = -Infinity;
  /** When a segment came that a blind forger would hardly have hit; and when something authenticated did. */
  receivedAt = -Infinity;
  provenAt = -Infinity;
  /** When to ask the other end whether the two have drifted apart; `Infinity` where nothing speaks for it. */
  probeAt = Infinity;
  /** Questions that something spoke for it after; questions asked; and whether something did since the last. */
  #signsOfDrift = 0;
  #probes = 0;
  #hasSign = false;
  challengedAt = -Infinity;
  /** When the other end, which was silent, was asked whether it is there. */
  askedAt = -Infinity;
  keepaliveAskedAt = -Infinity;
  /** Whether authenticated data has come. */
  isProven = false;
  /**
   * The ISN of a SYN that was answered though this connection exists, which is silent: the client that goes on with it
   * replaces it.
   */
  challengerIsn = 0;
  hasChallenger = false;
  /** Datagrams that wait. */
  waiting: Uint8Array[] = [];
  /** Its places in the shares of addresses and of clients; null where it has none. */
  unprovenPlace: Place<number, Session> | null = null;
  provenPlace: Place<object, Session> | null = null;
  /** The next in its bucket of the table. */
  next: Session | null = null;
  /** When it is looked at, and its index, in the queue of what is due; `Infinity` and -1 where it is not in it. */
  dueAt = Infinity;
  dueIndex = -1;

  #stallTime = STALL_TIME;

  /** @param iss initial sequence number, int32 */
  constructor(tuple: FourTuple, iss: number, kind: { isClient: boolean; maxPayload: number }) {
    this.addresses = tuple.addresses;
    this.localPort = tuple.localPort;
    this.remotePort = tuple.remotePort;
    this.isClient = kind.isClient;
    this.maxPayload = kind.maxPayload;
    this.iss = iss;
    // SYN takes one number.
    this.sndNxt = this.sndMax = this.sndUna = (iss + 1) | 0;
  }

  /** Begins to receive behind the other end's SYN. */
  establish(irs: number, isScaled: boolean): void {
    this.state = SessionState.established;
    this.irs = irs;
    this.rcvMax = (irs + 1) | 0;
    this.isScaled = isScaled;
  }

  // Sending.

  /**
   * Whether the other end's window, or a firewall's idea of it, allows for `length` more bytes. One datagram may always
   * be on its way: without it, nobody would learn that a window which has closed is open (RFC 9293 section 3.8.6.1).
   */
  allows(length: number): boolean {
    const flight = (this.sndNxt - this.sndUna) | 0;
    return flight === 0 || flight + length <= this.peerWindow;
  }

  /** Takes note that `length` bytes were sent from `sndNxt` on, with an acknowledgment. */
  sent(length: number, now: number): void {
    if (this.sndNxt === this.sndUna) this.stallAt = now + this.#stallTime;
    this.sndNxt = (this.sndNxt + length) | 0;
    if (((this.sndNxt - this.sndMax) | 0) > 0) this.sndMax = this.sndNxt;
    this.acknowledgmentSent(now);
  }

  /** Takes note that a segment has left, which says how much was received. */
  acknowledgmentSent(now: number): void {
    this.unacknowledged = 0;
    this.mustAcknowledge = false;
    this.ackAt = Infinity;
    this.sentAt = now;
  }

  /**
   * Goes back to what was acknowledged: to a firewall, the next datagrams are a retransmission time-out's. Should that
   * not help either, it is done again, each time after twice as long (RFC 6298 section 5.5): a path that comes back
   * after the windows have filled would be stuck for good otherwise.
   */
  goBack(): void {
    this.sndNxt = this.sndUna;
    this.stallAt = Infinity;
    this.#stallTime = Math.min(2 * this.#stallTime, MAX_STALL_TIME);
  }

  // Receiving.

  /** Whether a segment may come now: it reaches behind our window's lower edge and begins before its upper one. */
  accepts(seq: number, length: number): boolean {
    const window = this.#window;
    const distance = (seq - this.rcvMax) | 0;
    return distance <= window && distance + length >= -window;
  }

  /** Whether `ack` acknowledges nothing that was not sent, nor is too old (RFC 5961 section 5.2). */
  acceptsAcknowledgment(ack: number): boolean {
    return ((ack - this.sndMax) | 0) <= 0 && ((ack - this.sndUna) | 0) >= -this.#window;
  }

  /**
   * Takes an acknowledgment that can be right, with the window field it came with; -1 where that is not to be believed.
   */
  acknowledged(ack: number, windowField: number, now: number): void {
    const progress = (ack - this.sndUna) | 0;
    if (progress < 0) return;
    if (windowField >= 0) this.peerWindow = windowField << this.peerShift;
    if (progress === 0) return;
    this.sndUna = ack;
    if (((ack - this.sndNxt) | 0) > 0) this.sndNxt = ack;
    this.#stallTime = STALL_TIME;
    this.stallAt = this.sndNxt === ack ? Infinity : now + STALL_TIME;
  }

  /**
   * Whether `ack` is about what the other end would say now: it lags behind the highest by what overtaking explains at
   * most. Of numbers guessed blindly a quarter can be right, but hardly any is this.
   */
  isPlausible(ack: number): boolean {
    return ((ack - this.sndMax) | 0) <= 0 && ((ack - this.sndUna) | 0) >= -MAX_ACK_LAG;
  }

  /** Takes note of a segment that is the other end's, so far as numbers can tell. */
  seen(now: number): void {
    this.receivedAt = now;
    this.hasChallenger = false;
  }

  /** Takes note of a segment whose payload counts once `proven()` is called: a forged one must steer nothing. */
  received(seq: number, length: number): void {
    this.#unprovenEnd = (seq + length) | 0;
    this.#unprovenLength = length;
  }

  /** Where the segment received last ends: what judges it later names it by that. */
  get unprovenEnd(): number {
    return this.#unprovenEnd;
  }

  /** The segment received last was authentic: all of it counts, as only neighbours are merged. */
  proven(now: number): void {
    this.provenUpTo(this.#unprovenEnd, this.#unprovenLength, now);
    this.#unprovenLength = 0;
  }

  /** The same of `length` bytes, the last before `end`, whatever has come behind them. */
  provenUpTo(end: number, length: number, now: number): void {
    this.provenAt = now;
    if (length === 0) return;
    if (((end - this.rcvMax) | 0) > 0) this.rcvMax = end;
    this.#count(length, now);
  }

  /**
   * Takes a plausible segment where nothing authenticates any. What is in turn counts, and so do gaps, but no more than
   * came in turn, and some: whatever a forger hits by luck moves us away from the other end once, and not far.
   *
   * @returns false where it does not count: the other end goes back when that is not acknowledged
   */
  believed(seq: number, length: number, now: number): boolean {
    const end = (seq + length) | 0;
    const progress = (end - this.rcvMax) | 0;
    const gap = Math.max(0, (seq - this.rcvMax) | 0);
    if (gap > this.#jumpCredit) return false;
    if (progress > 0) {
      this.rcvMax = end;
      this.#jumpCredit = Math.min(MAX_UNPROVEN_JUMP, this.#jumpCredit - gap + length);
    }
    this.#count(length, now);
    return true;
  }

  /** Counts payload to be acknowledged. Late ones as well: that they come may be because an acknowledgment was lost. */
  #count(length: number, now: number): void {
    if (this.unacknowledged === 0) this.ackAt = now + ACK_DELAY;
    this.unacknowledged += length;
  }

  // Ends that have drifted apart: a forger has moved one, which now acknowledges what the other never sent. The other
  // drops that, or a firewall does, and what the other sends seems to be old.

  /** Whether a segment ends before what was received: overtaken, or from an end that we have drifted away from. */
  isBehind(seq: number, length: number): boolean {
    return ((seq + length - this.rcvMax) | 0) < 0;
  }

  /** Takes note of a segment that is behind, or has numbers that cannot be: by drift, unless it is a forger's. */
  suspect(now: number): void {
    this.#hasSign = true;
    if (this.probeAt !== Infinity) return;
    this.probeAt = now + PROBE_INTERVAL;
    this.#signsOfDrift = this.#probes = 0;
  }

  /** Takes note of a segment as it comes from an end that has not drifted. */
  agrees(): void {
    this.probeAt = Infinity;
  }

  /**
   * Judges by what the last probe brought, once `probeAt` has come; another is to follow unless it is `Infinity` then.
   * Another end that has not drifted would have answered the probes; one that is not there says nothing.
   *
   * @returns whether the ends have drifted apart
   */
  judgeDrift(now: number): boolean {
    if (this.#hasSign && this.#probes > 0) this.#signsOfDrift++;
    this.#hasSign = false;
    const isOver = this.#signsOfDrift >= DRIFT_SIGNS;
    const isSilent = ++this.#probes > 2 * (this.#signsOfDrift + 1);
    this.probeAt = isOver || isSilent ? Infinity : now + PROBE_INTERVAL;
    return isOver;
  }

  /** The window that we offer; the other end's is as large. */
  get #window(): number {
    return this.isScaled ? WINDOW << WINDOW_SHIFT : WINDOW;
  }

  /** Whether what came is to be acknowledged at once. */
  get owesAcknowledgment(): boolean {
    return this.mustAcknowledge ||
      this.unacknowledged >= (this.isScaled ? ACK_AFTER_BYTES_SCALED : ACK_AFTER_BYTES);
  }
}
