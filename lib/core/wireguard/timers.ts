/**
 * Timers of a peer: six deadlines, armed and disarmed by what passes, compared with the time in one place.
 *
 * Nothing here fires by itself. Events set deadlines; `Device.poll(now)` asks which are due. Times are monotonic ms.
 * The rules are those of the WireGuard paper, sections 6.1 to 6.5; the sixth, the watch, is liveness.ts's.
 */
import {
  KEEPALIVE_TIMEOUT,
  REKEY_TIMEOUT,
  REKEY_TIMEOUT_JITTER,
  ZERO_KEYS_AFTER_TIME,
} from "./constants.ts";

/** A deadline that is not armed. */
export const NEVER = Infinity;

/** The earliest time at which any of some peers may have something due; shared by their timers. */
export class Deadline {
  at = NEVER;
  readonly #whole: Deadline | null;

  /** @param whole that of these peers and others */
  constructor(whole: Deadline | null = null) {
    this.#whole = whole;
  }

  /** Something is due at `at`. */
  include(at: number): void {
    if (at >= this.at) return;
    this.at = at;
    this.#whole?.include(at);
  }
}

/** Initiations sent again at the short interval of a client that connects, before the intervals grow. */
const QUICK_ATTEMPTS = 3;
/**
 * The first interval is longer: most servers answer within a second. One that has the next initiation before our
 * packets under the session drops that session for the next, and what was sent under it with it.
 */
const FIRST_GROWTH = 1.4;

export class Timers {
  /** The initiation that was sent has had no answer. */
  retransmitHandshakeAt = NEVER;
  /** Data came and nothing went back: say that we are alive. */
  keepaliveAt = NEVER;
  /** Data went and nothing came back: is the session gone? */
  newHandshakeAt = NEVER;
  /** The keys are past all use. */
  zeroKeysAt = NEVER;
  /** `PersistentKeepalive` is due. */
  persistentKeepaliveAt = NEVER;
  /** The watch over the peer may have something to do. */
  watchAt = NEVER;

  /** Interval of `PersistentKeepalive` in ms; 0 for off. */
  persistentInterval = 0;
  /** Wait for an answer to an initiation, in ms; shorter than REKEY_TIMEOUT only while a client connects. */
  handshakeInterval = REKEY_TIMEOUT;
  /** Initiations sent again in this handshake. */
  handshakeAttempts = 0;

  #anotherKeepalive = false;
  readonly #deadline: Deadline;
  readonly #drawJitter: () => number;
  /** ms; drawn for each handshake and kept until the next, so that sending data, which is often, draws nothing. */
  #jitter: number;

  /**
   * @param deadline told whenever a timer is armed
   * @param drawFraction draws a fraction from 0 to 1
   */
  constructor(deadline: Deadline, drawFraction: () => number) {
    this.#deadline = deadline;
    this.#drawJitter = () => drawFraction() * REKEY_TIMEOUT_JITTER;
    this.#jitter = this.#drawJitter();
  }

  /** A packet with data was sent. */
  dataSent(now: number): void {
    if (this.newHandshakeAt === NEVER) {
      this.newHandshakeAt = this.#arm(now + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + this.#jitter);
    }
  }

  /** A packet with data was received and authenticated. */
  dataReceived(now: number): void {
    if (this.keepaliveAt === NEVER) this.keepaliveAt = this.#arm(now + KEEPALIVE_TIMEOUT);
    else this.#anotherKeepalive = true;
  }

  /** Anything authenticated was sent: data, keepalive or handshake. */
  authenticatedSent(now: number): void {
    this.keepaliveAt = NEVER;
    this.#authenticatedPassed(now);
  }

  /** Anything authenticated was received. */
  authenticatedReceived(now: number): void {
    this.newHandshakeAt = NEVER;
    this.#authenticatedPassed(now);
  }

  /** An initiation was sent; it is repeated after `interval` ms where that is sooner than usual. */
  handshakeInitiated(now: number, interval = NEVER): void {
    this.#jitter = this.#drawJitter();
    // While a client connects, twice as long each time once the first few have had no answer.
    const growth = this.handshakeAttempts === 0
      ? FIRST_GROWTH
      : 2 ** Math.max(0, this.handshakeAttempts - QUICK_ATTEMPTS);
    const wait = Math.min(REKEY_TIMEOUT, this.handshakeInterval * growth, interval);
    this.retransmitHandshakeAt = this.#arm(now + wait + this.#jitter);
  }

  /** The initiation under way, if there is one, is repeated by then, where that is sooner. */
  hurryHandshake(by: number): void {
    if (this.retransmitHandshakeAt === NEVER) return;
    const at = by + this.#jitter;
    if (at < this.retransmitHandshakeAt) this.retransmitHandshakeAt = this.#arm(at);
  }

  /** An initiation is wanted by then, unless one is under way. */
  handshakeBy(at: number): void {
    if (this.retransmitHandshakeAt === NEVER) this.retransmitHandshakeAt = this.#arm(at);
  }

  /**
   * The response to an earlier initiation has come; that to the newest should be here by then, else another is sent.
   */
  awaitNewestResponse(by: number): void {
    this.retransmitHandshakeAt = this.#arm(by);
  }

  /** The initiation that is wanted is not wanted before then. */
  postponeHandshake(at: number): void {
    if (this.retransmitHandshakeAt < at) this.retransmitHandshakeAt = this.#arm(at);
  }

  /** A handshake led to a session that the other end has confirmed. */
  handshakeCompleted(): void {
    this.retransmitHandshakeAt = NEVER;
    this.handshakeAttempts = 0;
  }

  /** New keys exist. */
  sessionDerived(now: number): void {
    this.zeroKeysAt = this.#arm(now + ZERO_KEYS_AFTER_TIME);
  }

  /** The handshake is given up; what keys there are have their last term. */
  handshakeAbandoned(now: number): void {
    this.retransmitHandshakeAt = NEVER;
    this.keepaliveAt = NEVER;
    if (this.zeroKeysAt === NEVER) this.zeroKeysAt = this.#arm(now + ZERO_KEYS_AFTER_TIME);
  }

  /** The passive keepalive was sent: asks whether one follows, for data that came while it was waited for. */
  keepaliveFired(now: number): void {
    this.keepaliveAt = NEVER;
    if (!this.#anotherKeepalive) return;
    this.#anotherKeepalive = false;
    this.keepaliveAt = this.#arm(now + KEEPALIVE_TIMEOUT);
  }

  /** Sets `PersistentKeepalive` to `interval` ms, the next one due at time `next`. */
  setPersistentInterval(interval: number, next: number): void {
    this.persistentInterval = interval;
    this.persistentKeepaliveAt = interval > 0 ? this.#arm(next) : NEVER;
  }

  /** The watch has something to do at `at`, unless it is earlier that it has. */
  watchBy(at: number): void {
    if (at < this.watchAt) this.watchAt = this.#arm(at);
  }

  /** The first of the six. */
  earliest(): number {
    return Math.min(
      this.retransmitHandshakeAt,
      this.keepaliveAt,
      this.newHandshakeAt,
      this.zeroKeysAt,
      this.persistentKeepaliveAt,
      this.watchAt,
    );
  }

  /** Stops all of them: the peer is removed. */
  stop(): void {
    this.retransmitHandshakeAt = NEVER;
    this.keepaliveAt = NEVER;
    this.newHandshakeAt = NEVER;
    this.zeroKeysAt = NEVER;
    this.persistentKeepaliveAt = NEVER;
    this.watchAt = NEVER;
  }

  #authenticatedPassed(now: number): void {
    if (this.persistentInterval > 0) {
      this.persistentKeepaliveAt = this.#arm(now + this.persistentInterval);
    }
  }

  #arm(at: number): number {
    this.#deadline.include(at);
    return at;
  }
}
