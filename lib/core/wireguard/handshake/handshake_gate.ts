/**
 * Which handshake messages are worked on, and how far: strangers' messages have budgets of their own, so that data and
 * the handshakes of peers go on beside a flood.
 *
 * A message that costs nothing to make must cost little to refuse. What is known of its sender decides which budget it
 * draws on, and each step is dearer than the one before it:
 *
 * 1. length and type, which the caller has seen to; a response or a cookie reply besides names a handshake of ours that
 *    is under way, by an index of 32 random bits that nobody off the path knows;
 * 2. under load, whether a cookie reply is left for a message without mac2: a few for each address, so that one that
 *    floods leaves those of the others;
 * 3. mac1 (0.4 us), which asks for our public key alone;
 * 4. under load, mac2 (0.8 us), which shows that the sender receives at its address; without it there is the cookie
 *    reply (5 us and a datagram);
 * 5. the Diffie-Hellman (30 us, by which the peer is found, and 170 us with the answer to it). One that leads to a peer
 *    is not counted: a storm of clients is no flood.
 *
 * Each budget is one by the second and, its burst, one by turn. Messages beyond it are dropped unseen. Senders at an
 * address where a peer has been proven, those with a cookie, and the answers to what we sent draw on budgets apart from
 * the strangers', so that no stranger can use those up. Nor can a peer: of the peers' budgets each endpoint has a
 * share, and what comes from it beyond that is a stranger's; of the answers each peer has one.
 */
import type { AeadProvider } from "../../noise/aead.ts";
import { CookieChecker, type RandomBytes } from "../../noise/cookie.ts";
import { DropReason } from "../../wire/drop_reason.ts";
import type { Memory } from "../../wire/memory.ts";
import { COOKIE_REPLY_SIZE, MAC_SIZE } from "../../wire/messages.ts";
import { Allowance } from "../../limits/allowance.ts";
import { UNDER_LOAD_TIME } from "../constants.ts";
import { ProvenEndpoints } from "./proven_endpoints.ts";
import { HandshakeRateLimiter } from "./rate_limiter.ts";
import type { SendQueue } from "../../transport/send_queue.ts";

/** Messages of strangers whose macs are looked at: some 2 % of a core. */
const STRANGERS_CHECKED = { perSecond: 30_000, burst: 512 };
/** The same for senders at the address of a peer. */
const PEERS_CHECKED = { perSecond: 5_000, burst: 256 };
/**
 * Cookie replies to strangers, some 1 % of a core (10 % until the code is warm), and to senders at the address of a
 * peer.
 */
const STRANGERS_COOKIES = { perSecond: 1_000, burst: 64 };
const PEERS_COOKIES = { perSecond: 500, burst: 64 };
/**
 * Diffie-Hellmans that led to no peer: for messages without a cookie, whose end is what brings the device under load,
 * and with one.
 */
const WITHOUT_COOKIE = { perSecond: 250, burst: 50 };
const WITH_COOKIE = { perSecond: 500, burst: 16 };
/** The same with one, at the address of a peer. */
const PEERS_WITH_COOKIE = { perSecond: 250, burst: 16 };
/** Answers to handshakes of ours that proved to be none. Of these a peer has a share, which it keeps (peer.ts). */
const ANSWERS = { perSecond: 400, burst: 200 };

/** Bytes of an address with its port. */
const SOURCE_SIZE = 6;
const SOURCE6_SIZE = 18;

export interface HandshakeGateOptions {
  readonly memory: Memory;
  readonly sendQueue: SendQueue;
  readonly identity: { readonly public: Uint8Array };
  readonly aead: Pick<AeadProvider, "seal">;
  readonly random: RandomBytes;
}

/** A handshake message, by where it lies. */
export interface HandshakeMessage {
  readonly offset: number;
  readonly length: number;
  /** Of the sender, for a cookie reply. */
  readonly senderIndex: number;
}

export class HandshakeGate {
  /** Where peers have been proven. */
  readonly proven: ProvenEndpoints;
  /** Messages let through to a Diffie-Hellman; an int32 that may wrap around. */
  admitted = 0;

  readonly #options: HandshakeGateOptions;
  readonly #checker: CookieChecker;
  readonly #answeredAddresses: HandshakeRateLimiter;
  readonly #cookieAddresses: HandshakeRateLimiter;
  /** By endpoint: what is looked at first. */
  readonly #peersShares: HandshakeRateLimiter;
  readonly #strangersChecked = new Allowance(STRANGERS_CHECKED);
  readonly #peersChecked = new Allowance(PEERS_CHECKED);
  readonly #strangersCookies = new Allowance(STRANGERS_COOKIES);
  readonly #peersCookies = new Allowance(PEERS_COOKIES);
  readonly #withoutCookie = new Allowance(WITHOUT_COOKIE);
  readonly #withCookie = new Allowance(WITH_COOKIE);
  readonly #peersWithCookie = new Allowance(PEERS_WITH_COOKIE);
  readonly #answers = new Allowance(ANSWERS);
  /** What the message that was let through last has drawn on. */
  #drawn: Allowance = this.#withoutCookie;
  /** The party whose share it has drawn on, see `Paths.partyKey()`; 0 for none. */
  #drawnParty = 0;
  #loadedUntil = -Infinity;
  /** What a cookie is bound to, of each family: address and port in network order. */
  readonly #source4 = new DataView(new ArrayBuffer(SOURCE_SIZE));
  readonly #source6 = new DataView(new ArrayBuffer(SOURCE6_SIZE));

  constructor(options: HandshakeGateOptions) {
    this.#options = options;
    this.#checker = new CookieChecker(options.identity.public, options.aead);
    this.#answeredAddresses = new HandshakeRateLimiter(randomUint32(options.random));
    this.#cookieAddresses = new HandshakeRateLimiter(randomUint32(options.random));
    this.#peersShares = new HandshakeRateLimiter(randomUint32(options.random));
    this.proven = new ProvenEndpoints(randomUint32(options.random));
  }

  /** Whether an initiation that came by a path is worked on. Under load its sender is asked for a cookie first. */
  admitInitiation(message: HandshakeMessage, path: number, now: number): DropReason {
    const { paths } = this.#options.sendQueue;
    const [key, port] = [paths.addressKey(path), paths.port(path)];
    const isProven = this.proven.has(key, port) && this.#peersShares.allow(mixed(key, port), now);
    const party = paths.partyKey(path) >>> 0;
    const { view } = this.#options.memory;
    const { offset, length } = message;
    const isLoaded = now < this.#loadedUntil;
    const mayHaveCookie = hasMac2(view, offset, length);
    if (isLoaded && !mayHaveCookie && !this.#hasCookieFor(isProven, party, now)) {
      // A flood that is not looked at is a flood still.
      this.#loadedUntil = now + UNDER_LOAD_TIME;
      return DropReason.handshakeFlood;
    }
    const checked = isProven ? this.#peersChecked : this.#strangersChecked;
    if (!checked.take(now)) return DropReason.handshakeFlood;
    if (!this.#checker.checkMac1(view, offset, length)) return DropReason.badMac1;
    if (!isLoaded) {
      if (this.#withoutCookie.has(now)) return this.#admit(this.#withoutCookie, now);
      this.#loadedUntil = now + UNDER_LOAD_TIME;
    }
    const source = this.#writeSource(path);
    const hasCookie = mayHaveCookie && this.#checker.checkMac2(view, offset, length, source, now);
    if (!hasCookie) return this.#sendCookie(message, isProven, path, now);
    if (isProven) return this.#admit(this.#peersWithCookie, now);
    if (!this.#answeredAddresses.allow(party, now)) return DropReason.handshakeRateLimited;
    return this.#admit(this.#withCookie, now, party);
  }

  /**
   * Whether a response is worked on, which names a handshake of ours that is under way. Who knows that index has had
   * our initiation, which proves as much of its address as a cookie would: so none is asked for, and what strangers
   * send to bring us under load delays no handshake of our own.
   *
   * @param ofPeer what the peer has of answers
   */
  admitResponse({ offset, length }: HandshakeMessage, ofPeer: Allowance, now: number): DropReason {
    if (!this.#checker.checkMac1(this.#options.memory.view, offset, length)) {
      return DropReason.badMac1;
    }
    return ofPeer.take(now) ? this.#admit(this.#answers, now) : DropReason.handshakeFlood;
  }

  /** The same for a cookie reply. It has no mac that is cheaper to check than the cookie. */
  admitCookieReply(ofPeer: Allowance, now: number): DropReason {
    return ofPeer.take(now) && this.#answers.take(now)
      ? DropReason.none
      : DropReason.handshakeFlood;
  }

  /**
   * The message that was admitted last has proven to be a peer's: it counts against no budget. Nor does the cookie that
   * it brought, for behind one address there may be a thousand peers.
   */
  wasGenuine(): void {
    this.#drawn.giveBack();
    if (this.#drawnParty === 0) return;
    this.#answeredAddresses.giveBack(this.#drawnParty);
    this.#cookieAddresses.giveBack(this.#drawnParty);
  }

  #writeSource(path: number): DataView {
    const { paths } = this.#options.sendQueue;
    const source = paths.isIpv6(path) ? this.#source6 : this.#source4;
    paths.writeEnd(path, source);
    return source;
  }

  #admit(allowance: Allowance, now: number, party = 0): DropReason {
    if (!allowance.take(now)) return DropReason.handshakeFlood;
    this.#drawn = allowance;
    this.#drawnParty = party;
    this.admitted = (this.admitted + 1) | 0;
    return DropReason.none;
  }

  /**
   * Strangers share by address, of IPv6 by /64, so that one place's flood leaves the others' replies. Peers have had
   * their share.
   */
  #hasCookieFor(isProven: boolean, party: number, now: number): boolean {
    return isProven
      ? this.#peersCookies.has(now)
      : this.#strangersCookies.has(now) && this.#cookieAddresses.wouldAllow(party, now);
  }

  #takeCookieFor(isProven: boolean, party: number, now: number): boolean {
    return isProven
      ? this.#peersCookies.take(now)
      : this.#cookieAddresses.allow(party, now) && this.#strangersCookies.take(now);
  }

  #sendCookie(
    { offset, length, senderIndex }: HandshakeMessage,
    isProven: boolean,
    path: number,
    now: number,
  ): DropReason {
    const { random, sendQueue, memory } = this.#options;
    const party = sendQueue.paths.partyKey(path) >>> 0;
    if (!this.#takeCookieFor(isProven, party, now)) return DropReason.handshakeFlood;
    const slot = sendQueue.reserve();
    if (slot < 0) return DropReason.sendQueueFull;
    const reply = this.#checker.createReply(memory.bytes.subarray(offset, offset + length), {
      source: this.#writeSource(path),
      receiverIndex: senderIndex,
      now,
      random,
    });
    memory.bytes.set(reply, slot);
    sendQueue.commit(COOKIE_REPLY_SIZE, path);
    return DropReason.cookieSent;
  }
}

/** Whether a mac2 is given: a sender without a cookie leaves it zero. */
function hasMac2(view: DataView, offset: number, length: number): boolean {
  const at = offset + length - MAC_SIZE;
  return (view.getInt32(at) | view.getInt32(at + 4) | view.getInt32(at + 8) |
    view.getInt32(at + 12)) !== 0;
}

function mixed(key: number, port: number): number {
  return (key ^ port << 16) >>> 0;
}

export function randomUint32(random: RandomBytes): number {
  const bytes = random(4);
  return (bytes[0]! | bytes[1]! << 8 | bytes[2]! << 16 | bytes[3]! << 24) >>> 0;
}
