/**
 * Owns the judgement whether a peer is still there, on the grounds of authenticated packets alone; junk proves nothing.
 *
 * WireGuard is silent by nature: an idle tunnel looks like a dead one. So our client beats, that is, it sends an empty
 * keepalive when nothing has passed in one of the directions for a third of `peerTimeout`, and our server answers a
 * keepalive with a keepalive, unless it has sent that client something within the last second. Who answers beats is judged
 * by the answers, who beats by the beats.
 *
 * An answer is not answered, or two servers that face each other would echo for ever. It is known by its counter: ours
 * give answers an odd one and all other keepalives an even one (`Keypair.alignCounter()`), for which a number is left out
 * where need be. Any other WireGuard sees nothing of that, and neither does an older build of ours, whose beats may have
 * either: so an odd one is an answer only to a keepalive of ours that has had none.
 *
 * Any other WireGuard does neither. Towards a server of that kind silence counts only while something that we sent has
 * had no answer: then a handshake asks. A client of that kind, a phone asleep, is never found missing.
 */
import { REKEY_TIMEOUT } from "./constants.ts";

/** What must pass before a server answers a keepalive: less than that ago, it has said that it is there. ms. */
const ANSWER_PAUSE = 1_000;
/** A keepalive that comes within this time of a beat is its answer. ms. */
const ANSWER_TIME = 1_000;
/** ms between the first beats, which find out whether the server answers: more than its pause. */
const TRIAL_INTERVAL = 1_100;
/** Answers that show that beats are answered: one might be a keepalive that the server sends anyhow. */
const ENOUGH_ANSWERS = 2;
/** Beats without answers after which there is no more hurry to find out. */
const TRIAL_BEATS = 4;
/** ms that a handshake which asks has for its answer. */
const QUESTION_TIME = 2_500;
/** Keepalives closer together than this come from one event: a handshake's end, say. ms. */
const MIN_BEAT_INTERVAL = 250;

const NEVER = Infinity;

/** When what passed between us and a peer, monotonic ms; the peer keeps it. */
export interface Traffic {
  /** The last authenticated message each way. */
  readonly lastReceivedAt: number;
  readonly lastSentAt: number;
  /** The first message that asks for an answer, data or an initiation, since then received; `Infinity` for none. */
  readonly unansweredSince: number;
  /** The first initiation since then received; `Infinity` for none. */
  readonly askedSince: number;
  /** The last initiation. */
  readonly initiationSentAt: number;
}

/** What a watch wants done. */
export const WatchAction = {
  none: 0,
  /** Send a keepalive. */
  beat: 1,
  /** Begin a handshake. */
  ask: 2,
  /** The peer is not there any more. */
  down: 3,
  /** What the peer held is to be released. */
  release: 4,
} as const;
export type WatchAction = (typeof WatchAction)[keyof typeof WatchAction];

/** How a device watches its peers. */
export interface WatchOptions {
  readonly role: "client" | "server";
  /** ms of silence after which a peer that should be heard is down. */
  readonly peerTimeout: number;
  /** ms after its last authenticated packet at which a peer that is down loses what it held; at least `peerTimeout`. */
  readonly releaseAfter: number;
}

/** The watch over one peer. */
export interface Watch {
  /** Whether the peer was found missing and has not been heard since. */
  readonly isDown: boolean;
  /** A keepalive was sent that is no answer. */
  keepaliveSent(): void;
  /** Takes note of an empty keepalive, which may be an answer itself; true where it is to be answered with one. */
  keepaliveReceived(traffic: Traffic, isAnswer: boolean, now: number): boolean;
  /** The peer was heard after it was down, or has shaken hands: what was known of its habits may be wrong. */
  renewed(now: number): void;
  /** What is due now; asked again until it is `none`. */
  next(traffic: Traffic, now: number): WatchAction;
  /** When `next()` may have something; `Infinity` for not before something passes. */
  nextAt(traffic: Traffic): number;
  /** Whether the peer is of our own kind, so far as one can know. */
  readonly isKnown: boolean;
}

/** The watch over one peer of a device with these options. */
export function createWatch({ role, peerTimeout, releaseAfter }: WatchOptions): Watch {
  return role === "client"
    ? new ServerWatch(peerTimeout)
    : new ClientWatch(peerTimeout, releaseAfter);
}

/** A client's watch over its server. */
class ServerWatch implements Watch {
  isDown = false;
  readonly #peerTimeout: number;
  /** ms without an answer after which a handshake asks: what is left is for its answer. */
  readonly #patience: number;
  #beatAt = -NEVER;
  #beatIsAnswered = true;
  #answeredAt = -NEVER;
  #answers = 0;
  #trials = 0;

  constructor(peerTimeout: number) {
    this.#peerTimeout = peerTimeout;
    this.#patience = Math.max(peerTimeout - QUESTION_TIME, peerTimeout / 2);
  }

  get isKnown(): boolean {
    return this.#answers >= ENOUGH_ANSWERS;
  }

  keepaliveSent(): void {
    // Its beats are its own to count.
  }

  keepaliveReceived(_traffic: Traffic, isAnswer: boolean, now: number): boolean {
    if (!isAnswer || this.#beatIsAnswered || now - this.#beatAt > ANSWER_TIME) return false;
    this.#beatIsAnswered = true;
    if (now - this.#answeredAt > this.#peerTimeout) this.#answers = 0;
    this.#answeredAt = now;
    this.#answers++;
    return false;
  }

  renewed(): void {
    // Another program may run there now: a server that was known to answer and is heard again need not be the same.
    if (this.isDown) this.#answers = 0;
    this.isDown = false;
    this.#trials = 0;
  }

  next(traffic: Traffic, now: number): WatchAction {
    if (this.isDown) return WatchAction.none;
    if (now >= this.#missingAt(traffic)) {
      this.isDown = true;
      return WatchAction.down;
    }
    if (now >= this.#askAt(traffic)) return WatchAction.ask;
    if (now >= this.#nextBeatAt(traffic)) {
      this.#beatAt = now;
      this.#beatIsAnswered = false;
      this.#trials++;
      return WatchAction.beat;
    }
    return WatchAction.none;
  }

  nextAt(traffic: Traffic): number {
    if (this.isDown) return NEVER;
    return Math.min(this.#missingAt(traffic), this.#askAt(traffic), this.#nextBeatAt(traffic));
  }

  /** By the silence of one who answers beats, or by that of one who was asked and has had time to answer. */
  #missingAt({ lastReceivedAt, unansweredSince, askedSince }: Traffic): number {
    const bySilence = this.isKnown ? lastReceivedAt + this.#peerTimeout : NEVER;
    const byQuestion = Math.max(
      unansweredSince + this.#peerTimeout,
      askedSince + this.#peerTimeout - this.#patience,
    );
    return Math.min(bySilence, byQuestion);
  }

  /**
   * No more often than the protocol allows, and not where an initiation under way asks already. One who has left beats
   * unanswered is asked as well: a server that was started anew has no session, but answers handshakes.
   */
  #askAt({ lastReceivedAt, unansweredSince, askedSince, initiationSentAt }: Traffic): number {
    if (askedSince !== NEVER) return NEVER;
    const since = this.isKnown ? Math.min(lastReceivedAt, unansweredSince) : unansweredSince;
    return Math.max(since + this.#patience, initiationSentAt + REKEY_TIMEOUT);
  }

  #nextBeatAt({ lastReceivedAt, lastSentAt }: Traffic): number {
    // Before the first handshake there is nothing to keep alive.
    if (lastReceivedAt === -NEVER) return NEVER;
    const isTrial = !this.isKnown && this.#trials < TRIAL_BEATS;
    const interval = isTrial
      ? Math.min(this.#peerTimeout / 3, TRIAL_INTERVAL)
      : this.#peerTimeout / 3;
    return Math.max(this.#beatAt, Math.min(lastReceivedAt, lastSentAt)) + interval;
  }
}

/** A server's watch over one of its clients. */
class ClientWatch implements Watch {
  isDown = false;
  readonly #peerTimeout: number;
  readonly #releaseAfter: number;
  #keepaliveAt = -NEVER;
  #beats = false;
  #isReleased = false;
  /** Keepalives sent, without answers, less the answers that came; some may be lost, or never be given. */
  #unanswered = 0;

  constructor(peerTimeout: number, releaseAfter: number) {
    this.#peerTimeout = peerTimeout;
    this.#releaseAfter = releaseAfter;
  }

  get isKnown(): boolean {
    return this.#beats;
  }

  keepaliveSent(): void {
    this.#unanswered++;
  }

  keepaliveReceived({ lastSentAt }: Traffic, isAnswer: boolean, now: number): boolean {
    // Each of ours has one answer at most, and each answer is used up here: so two servers' answers end, whatever is lost.
    if (isAnswer && this.#unanswered > 0) {
      this.#unanswered--;
      return false;
    }
    const interval = now - this.#keepaliveAt;
    if (interval >= MIN_BEAT_INTERVAL) {
      this.#keepaliveAt = now;
      if (interval <= this.#peerTimeout / 2) this.#beats = true;
    }
    return now - lastSentAt >= ANSWER_PAUSE;
  }

  renewed(): void {
    // It must beat again before it is missed again: the same keys may be a phone's now.
    if (this.isDown) this.#beats = false;
    this.isDown = false;
    this.#isReleased = false;
  }

  next({ lastReceivedAt }: Traffic, now: number): WatchAction {
    if (!this.#beats) return WatchAction.none;
    if (!this.isDown && now - lastReceivedAt >= this.#peerTimeout) {
      this.isDown = true;
      return WatchAction.down;
    }
    if (this.isDown && !this.#isReleased && now - lastReceivedAt >= this.#releaseAfter) {
      this.#isReleased = true;
      return WatchAction.release;
    }
    return WatchAction.none;
  }

  nextAt({ lastReceivedAt }: Traffic): number {
    if (!this.#beats || this.#isReleased) return NEVER;
    return lastReceivedAt + (this.isDown ? this.#releaseAfter : this.#peerTimeout);
  }
}
