/**
 * Watch over a peer: whether it is still there, judged by authenticated packets alone; junk proves nothing.
 *
 * WireGuard is silent by nature: an idle tunnel looks like a dead one. Ends of ours (recognition.ts) therefore send
 * each other a heartbeat when they have sent nothing for the interval that the other asks for, and answer the other's,
 * so each receives something at every interval whatever the round trip, and the silence of `peerTimeout` means that the
 * peer is gone. Each end chooses its interval such that no loss of 10 % makes silence of that length (one false alarm
 * in 100 hours is the aim):
 *
 * - where a question can be answered in time, every third of `peerTimeout`; an end that misses something asks, again
 *   and again, and ten answers would have to be lost;
 * - where the round trip is longer than an eighth of `peerTimeout`, every tenth, and that many would have to be lost in
 *   a row.
 *
 * Any other WireGuard is judged by its own rules: data unanswered for KEEPALIVE_TIMEOUT + REKEY_TIMEOUT, and then no
 * answer to the handshake with which the protocol asks. A client of that kind, a phone asleep, is never found missing.
 *
 * Time in which this program did not run, stopped or as part of a virtual machine that was, is no silence of the
 * peer's: what it sent may wait in a buffer, or is lost. A peer that would be down by that alone is given
 * `peerTimeout` once more.
 */
import { KEEPALIVE_TIMEOUT, REKEY_TIMEOUT } from "../constants.ts";
import type { PeerRole } from "./hello.ts";
import { Recognition, Software } from "./recognition.ts";
import { RoundTrip } from "./round_trip.ts";

const NEVER = Infinity;

/** Of `peerTimeout`: the interval between heartbeats where a question can be answered in time, and where it cannot. */
const INTERVAL = 1 / 3;
const DENSE_INTERVAL = 1 / 10;
/** Of `peerTimeout`: the longest round trip at which a question is worth while. */
const LONG_ROUND_TRIP = 1 / 8;
/** Of `peerTimeout`: what is late by this much is asked for, at this interval. */
const LATENESS = 1 / 12;
const QUESTION_INTERVAL = 1 / 30;
/** Of `peerTimeout`: a silent server is asked by a handshake as well, as one that was restarted has no session. */
const HANDSHAKE_QUESTION = 0.6;
/** A server waits longer by this factor: the answers to its client's heartbeats are all that it sends. */
const SERVER_FACTOR = 1.25;
/** ms: what a peer may ask for; more often would be a load, and more rarely no heartbeat. */
const LEAST_INTERVAL = 150;
const MOST_INTERVAL = 60_000;
/**
 * The least ms that a stock server has for the answer to a handshake, besides a round trip: three attempts with their
 * jitter. With two, a server that is only sent data is called missing once an hour at a loss of 10 %.
 */
const STOCK_ANSWER_TIME = 2 * REKEY_TIMEOUT + 1_000;
/** ms by which the watch is called late where the program did not run meanwhile. */
const STANDSTILL = 1_000;
/** ms; deadlines are rounded up to these, so that not each of a thousand peers wakes the device by itself. */
const GRAIN = 25;

/** When what passed between us and a peer, monotonic ms; the peer keeps it. */
export interface Traffic {
  /** The last authenticated message in each direction, initiations left out: they show no session. */
  readonly lastReceivedAt: number;
  readonly lastSentAt: number;
  /** The first message that asks for an answer, data or an initiation, since then received; `Infinity` for none. */
  readonly unansweredSince: number;
  /** The first initiation since then received; `Infinity` for none. */
  readonly askedSince: number;
  /** The last initiation. */
  readonly initiationSentAt: number;
}

/** What a watch asks its device to do. */
export const WatchAction = {
  none: 0,
  /** Send a heartbeat. */
  heartbeat: 1,
  /** Begin a handshake. */
  ask: 2,
  /** The peer is not there any more. */
  down: 3,
  /** What the peer held is to be released. */
  release: 4,
  /** Send a hello. */
  hello: 5,
  /** Send a keepalive: the session may not have been confirmed. */
  confirm: 6,
  /** The peer is not ours. */
  verdict: 7,
} as const;
export type WatchAction = (typeof WatchAction)[keyof typeof WatchAction];

/** How a device watches its peers. */
export interface WatchOptions {
  readonly role: PeerRole;
  /** ms without a packet after which a peer that should send is down. */
  readonly peerTimeout: number;
  /** ms after its last authenticated packet at which a peer that is down loses what it held; at least `peerTimeout`. */
  readonly releaseAfter: number;
}

/** The watch over one peer. */
export class Watch {
  /** Whether the peer was found missing and has not been seen since. */
  isDown = false;
  readonly recognition: Recognition = new Recognition();
  readonly roundTrip: RoundTrip = new RoundTrip();
  readonly #role: PeerRole;
  readonly #peerTimeout: number;
  readonly #releaseAfter: number;
  /** ms at which the peer asks to be sent something. */
  #peersInterval: number;
  #heartbeatAt = -NEVER;
  #triedToAskAt = -NEVER;
  #isReleased = false;
  /** Until when no peer counts as missing after a standstill, and when the peer was last seen before it. */
  #excusedUntil = -NEVER;
  #excusedFor = -NEVER;

  constructor({ role, peerTimeout, releaseAfter }: WatchOptions) {
    this.#role = role;
    this.#peerTimeout = peerTimeout;
    this.#releaseAfter = releaseAfter;
    this.#peersInterval = peerTimeout * INTERVAL;
  }

  /** Whether the peer is known to speak the extensions. */
  get isOurs(): boolean {
    return this.recognition.software === Software.ours;
  }

  /** ms at which we ask to be sent something. */
  get interval(): number {
    const { smoothed, variation } = this.roundTrip;
    const isLong = smoothed === null ||
      smoothed + 2 * variation > this.#peerTimeout * LONG_ROUND_TRIP;
    return this.#peerTimeout * (isLong ? DENSE_INTERVAL : INTERVAL);
  }

  /** The peer asks to be sent something every `interval` ms; 0 for no wish. */
  askedFor(interval: number): void {
    if (interval === 0) return;
    this.#peersInterval = Math.min(MOST_INTERVAL, Math.max(LEAST_INTERVAL, interval));
  }

  /** A packet of the peer was received in a session after it was down. */
  renewed(): void {
    this.isDown = false;
    this.#isReleased = false;
    this.recognition.found();
  }

  /** The peer has gone in good order, or was released. */
  forget(): void {
    this.recognition.forget();
    this.roundTrip.forget();
  }

  /** What is due now; asked again until it is `none`. */
  next(traffic: Traffic, now: number): WatchAction {
    if (this.isDown) {
      if (now < this.#releaseAt(traffic)) return WatchAction.none;
      this.#isReleased = true;
      return WatchAction.release;
    }
    if (now >= this.#downAt(traffic)) {
      if (!this.#hasStoodStill(traffic, now)) {
        this.isDown = true;
        this.recognition.lost();
        this.roundTrip.forget();
        return WatchAction.down;
      }
      this.#excusedFor = traffic.lastReceivedAt;
      this.#excusedUntil = now + this.#peerTimeout;
    }
    const { recognition } = this;
    if (now >= recognition.verdictAt()) {
      recognition.giveUp();
      return WatchAction.verdict;
    }
    if (now >= recognition.confirmAt()) {
      recognition.confirmed();
      return WatchAction.confirm;
    }
    if (now >= recognition.helloAt()) return WatchAction.hello;
    if (now >= this.#askAt(traffic)) {
      this.#triedToAskAt = now;
      return WatchAction.ask;
    }
    if (now >= this.#nextHeartbeatAt(traffic)) {
      this.#heartbeatAt = now;
      return WatchAction.heartbeat;
    }
    return WatchAction.none;
  }

  /**
   * Whether a standstill of this program is what made the silence; once for each silence, as a host may
   * always be slow.
   */
  #hasStoodStill(traffic: Traffic, now: number): boolean {
    return now >= this.#downAt(traffic) + STANDSTILL &&
      traffic.lastReceivedAt !== this.#excusedFor;
  }

  /** When `next()` may have something; `Infinity` for not before something passes. */
  nextAt(traffic: Traffic): number {
    const { recognition } = this;
    const at = this.isDown ? this.#releaseAt(traffic) : Math.min(
      this.#downAt(traffic),
      recognition.verdictAt(),
      recognition.confirmAt(),
      recognition.helloAt(),
      this.#askAt(traffic),
      this.#nextHeartbeatAt(traffic),
    );
    return Math.ceil(at / GRAIN) * GRAIN;
  }

  /**
   * By the silence of a peer that speaks at every interval, or by that of a server that was asked and has had time to
   * answer.
   */
  #downAt({ lastReceivedAt, unansweredSince, askedSince }: Traffic): number {
    // Before the first session no peer can be missing: connecting has a limit of its own.
    if (lastReceivedAt === -NEVER) return NEVER;
    if (this.isOurs) return Math.max(this.#excusedUntil, lastReceivedAt + this.#peerTimeout);
    if (this.#role === "server") return NEVER;
    const askedAt = Math.max(askedSince, unansweredSince + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT);
    const answerTime = STOCK_ANSWER_TIME + (this.roundTrip.smoothed ?? 0);
    return Math.max(this.#excusedUntil, askedAt + Math.max(this.#peerTimeout, answerTime));
  }

  /** A server's clients lose what they held; a peer that a client looks for holds nothing. */
  #releaseAt({ lastReceivedAt }: Traffic): number {
    if (this.#role === "client" || this.#isReleased) return NEVER;
    return lastReceivedAt + this.#releaseAfter;
  }

  /** No more often than the protocol allows, and not where an initiation under way asks already. */
  #askAt({ lastReceivedAt, askedSince, initiationSentAt }: Traffic): number {
    if (this.#role === "server" || !this.isOurs || askedSince !== NEVER) return NEVER;
    const at = lastReceivedAt + this.#peerTimeout * HANDSHAKE_QUESTION;
    // An initiation that was dropped (buffer full) was not sent, and is tried again no sooner than the next would be.
    return Math.max(at, Math.max(initiationSentAt, this.#triedToAskAt) + REKEY_TIMEOUT);
  }

  /** What the peer asks for, or a question of our own when something is late. */
  #nextHeartbeatAt({ lastReceivedAt, lastSentAt }: Traffic): number {
    if (!this.isOurs) return NEVER;
    const factor = this.#role === "server" ? SERVER_FACTOR : 1;
    const wanted = Math.max(lastSentAt, this.#heartbeatAt) + this.#peersInterval * factor;
    const late = lastReceivedAt + this.interval + this.#peerTimeout * LATENESS;
    const question = this.#heartbeatAt + this.#peerTimeout * QUESTION_INTERVAL;
    return Math.min(wanted, Math.max(late, question));
  }
}
