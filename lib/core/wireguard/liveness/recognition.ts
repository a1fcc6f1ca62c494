/**
 * Recognition of a peer: whether its program speaks the extensions, and when a hello is due
 * (lib/core/wireguard/EXTENSIONS.md).
 *
 * Any other WireGuard counts a frame error for what is no packet inside, so nothing of that kind goes to a peer that
 * might be one. Ours show themselves by the counter: they begin each session at 0x5600 << 32 rather than 0, which no
 * sender reaches within the 180 s that a session lasts, and to which no receiver objects. The counter is the nonce of
 * the cipher, so only the peer can have chosen it. The first packet of each session thus tells what runs at the other
 * end now; only a peer that shows the mark is sent a hello, and a peer that then answers, or sends one itself, is ours.
 *
 * A marked peer that leaves hellos unanswered, which is none of ours, gets one an hour, whatever handshakes pass.
 *
 * Another program may run there since the last session, with the same key. So before the first packet of a session has
 * come, a peer of ours is sent nothing that another WireGuard would count as an error, and where handshakes alone are
 * answered for long, it is ours no more.
 */
import type { Hello } from "./hello.ts";

const NEVER = Infinity;

/** What runs at the other end. */
export const Software = {
  /** Not known yet: nothing has come in a session. */
  unknown: 0,
  ours: 1,
  /** Any other WireGuard. */
  stock: 2,
} as const;
export type Software = (typeof Software)[keyof typeof Software];

/** The high half of the counter at which a session of ours begins; its low byte is left to the counting. */
export const MARK_HIGH = 0x5600;
const MARK_SHIFT = 8;

/** Hellos sent in a row without a sign from the peer, at these distances in ms; the first goes at once. */
const HELLO_PAUSES = [0, 1_000, 2_000, 4_000, 8_000] as const;
/**
 * After that many: one at this distance to a peer that shows itself by its heartbeats, and one try in this time else.
 * ms.
 */
const LONGEST_HELLO_PAUSE = 8_000;
const RETRY_PAUSE = 3_600_000;
/**
 * The packet that confirms a session to its responder may be lost, and an idle initiator sends no other: it sends a
 * keepalive again this long after the handshake. ms.
 */
const CONFIRM_TIMES = [1_000, 2_000, 4_000] as const;
/** ms after a handshake without a packet by which a peer of ours would have sent one, at a round trip of 3 s. */
const VERDICT_TIME = 7_500;

/** Whether this is the high half of a counter that ours use. */
function isMarked(counterHigh: number): boolean {
  return counterHigh >>> MARK_SHIFT === MARK_HIGH >>> MARK_SHIFT;
}

export class Recognition {
  software: Software = Software.unknown;
  /** What the peer said of itself last; null before, and for what is not ours. */
  hello: Hello | null = null;
  /** ms by which the peer's clock was ahead of ours when it said so, as far as one can know. */
  clockOffset = 0;
  /**
   * In the session in use: whether we began it, since when it is there, whether anything has come, whether a hello has.
   */
  #isInitiator = false;
  #sessionAt = -NEVER;
  /** When the first of the sessions began, up to the one in use, in which no packet has come. */
  #silentSince = -NEVER;
  #hasReceived = false;
  #isMarked = false;
  #isExchanged = false;
  #confirmations = 0;
  /**
   * Over all sessions: hellos since the last one of the peer's, and the number of the last one, and of the last one
   * answered.
   */
  #unanswered = 0;
  #helloSentAt = -NEVER;
  #number = 0;
  #answered = 0;

  /** Whether a packet has come in the session in use. */
  get hasReceived(): boolean {
    return this.#hasReceived;
  }

  /** A handshake has led to a session. */
  sessionBegan(isInitiator: boolean, now: number): void {
    if (this.#hasReceived || this.#silentSince === -NEVER) this.#silentSince = now;
    this.#isInitiator = isInitiator;
    this.#sessionAt = now;
    this.#hasReceived = this.#isMarked = this.#isExchanged = false;
    this.#confirmations = 0;
  }

  /**
   * The first packet of the session in use has come.
   *
   * @returns whether it shows that what runs at the other end is not ours, which was not known
   */
  received(counterHigh: number): boolean {
    this.#hasReceived = true;
    this.#isMarked = isMarked(counterHigh);
    return !this.#isMarked && this.#become(Software.stock);
  }

  /**
   * A control message has come.
   *
   * @returns whether it shows that the peer is ours, which was not known
   */
  controlReceived(): boolean {
    return this.#become(Software.ours);
  }

  /** A hello has come, or the answer to one. */
  helloReceived(hello: Hello, clockOffset: number): void {
    this.hello = hello;
    this.clockOffset = clockOffset;
    this.#isExchanged = true;
    this.#unanswered = 0;
  }

  /** The number of a hello that is sent now. */
  helloSent(now: number): number {
    this.#helloSentAt = now;
    this.#unanswered++;
    this.#number = (this.#number + 1) >>> 0;
    return this.#number;
  }

  /**
   * The answer to the hello of this number has come. Where the round trip is long, that may not be the last one.
   *
   * @returns false for one that was not sent, or is answered
   */
  helloAnswered(number: number): boolean {
    const age = (this.#number - number) >>> 0;
    if (age >= (this.#number - this.#answered) >>> 0) return false;
    this.#answered = number;
    return true;
  }

  /** The peer was missing: another program may run there by now. */
  lost(): void {
    this.software = Software.unknown;
    this.#silentSince = -NEVER;
  }

  /** It is there after all, in the session that it was ours in. */
  found(): void {
    if (this.#isExchanged) this.software = Software.ours;
  }

  /** When a hello is due; `Infinity` for not before something comes. */
  helloAt(): number {
    if (!this.#hasReceived || !this.#isMarked || this.#isExchanged) return NEVER;
    const last = this.software === Software.ours ? LONGEST_HELLO_PAUSE : RETRY_PAUSE;
    return this.#helloSentAt + (HELLO_PAUSES[this.#unanswered] ?? last);
  }

  /** When the session is to be confirmed once more. */
  confirmAt(): number {
    const isOpen = this.#isInitiator && !this.#hasReceived && this.software !== Software.stock;
    return isOpen ? this.#sessionAt + (CONFIRM_TIMES[this.#confirmations] ?? NEVER) : NEVER;
  }

  confirmed(): void {
    this.#confirmations++;
  }

  /** When a peer that has said nothing counts as stock. */
  verdictAt(): number {
    if (this.#hasReceived || this.#sessionAt === -NEVER) return NEVER;
    switch (this.software) {
      case Software.unknown:
        return this.#sessionAt + VERDICT_TIME;
      case Software.ours:
        // A peer that has answered another handshake since is there. Otherwise it is missing, which the watch finds.
        return this.#sessionAt > this.#silentSince ? this.#silentSince + VERDICT_TIME : NEVER;
      default:
        return NEVER;
    }
  }

  /** Nothing has come in all that time. */
  giveUp(): void {
    this.#become(Software.stock);
  }

  /** The peer is gone, and with it what was known. */
  forget(): void {
    this.software = Software.unknown;
    this.hello = null;
    this.#sessionAt = this.#silentSince = -NEVER;
    this.#hasReceived = this.#isMarked = this.#isExchanged = false;
  }

  #become(software: Software): boolean {
    if (this.software === software) return false;
    this.software = software;
    if (software === Software.stock) this.hello = null;
    return true;
  }
}
