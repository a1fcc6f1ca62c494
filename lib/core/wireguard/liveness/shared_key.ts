/**
 * Shared key: detection of a key that two hosts use at once, as when a client's file was copied: their sessions take
 * turns, and with them the peer's endpoint, so that each host is cut off again and again.
 *
 * A host that moves, as a phone does from network to network, uses its newest session wherever it is; packets under the
 * one before it still come, late, for seconds. Of two hosts with one key, each knows only the sessions of its own
 * handshakes: packets go on to come under the session of the one, from elsewhere, when that of the other is long in
 * use. One such packet for a session is a sign, and signs for several sessions, one soon after the other, are what no
 * single host gives. The finding is for people, and decides nothing.
 *
 * Two hosts of ours show no such sign when they are idle: each misses the other's answers within seconds, and begins a
 * re-handshake before a packet counts as late. But each says in its hellos which start of the program it is. Another
 * start may follow one, and only of two hosts does the first come back after that.
 */
import type { SocketAddress } from "../../wire/socket_address.ts";
import type { PeerSession } from "../session/peer_session.ts";

/** ms that a packet may be late: under an old session, from where the peer was before it moved. */
const LATE = 3_000;
/** Sessions in turn that are needed: two could be a host that moves while its network holds packets back. */
const SIGNS = 3;
/** ms after which a sign has nothing to do with the one before, and the trouble counts as over. */
const MEMORY = 300_000;

export class SharedKey {
  /** The index of the newer session of the last sign; -1 for none. */
  #session = -1;
  #signs = 0;
  #signedAt = -Infinity;
  #other: SocketAddress | null = null;
  /**
   * The start of the program that sent the last hello, and the one before it; 0 for none. Where and when the last one
   * did.
   */
  #instance = 0;
  #earlierInstance = 0;
  #greetedFrom: SocketAddress | null = null;
  #greetedAt = -Infinity;

  /**
   * An authenticated packet has come from elsewhere under the session before the current one.
   *
   * @param at where the peer was until then
   * @returns whether this shows, for the first time in a while, that two hosts use the key
   */
  seenUnderOldSession(current: PeerSession, at: SocketAddress, now: number): boolean {
    if (current.localIndex === this.#session || now - current.createdAt < LATE) return false;
    // Where both ends began handshakes at once, the peer may use the old session alone (`Peer.sendsUnder()`).
    if (!current.hasReceived) return false;
    if (now - this.#signedAt > MEMORY) this.#signs = 0;
    this.#session = current.localIndex;
    this.#signedAt = now;
    this.#other = { address: at.address, port: at.port };
    return ++this.#signs === SIGNS;
  }

  /**
   * A hello has come from this start of the peer's program; 0 where it does not say.
   *
   * @returns whether this shows, for the first time in a while, that two hosts use the key
   */
  greeted(instance: number, { address, port }: SocketAddress, now: number): boolean {
    if (instance === 0) return false;
    const isBack = instance === this.#earlierInstance && now - this.#greetedAt <= MEMORY;
    const isNews = isBack && this.otherPlace(now) === null;
    if (isBack) {
      this.#signs = Math.max(this.#signs, SIGNS);
      this.#signedAt = now;
      this.#other = this.#greetedFrom;
    }
    if (instance !== this.#instance) this.#earlierInstance = this.#instance;
    this.#instance = instance;
    this.#greetedFrom = { address, port };
    this.#greetedAt = now;
    return isNews;
  }

  /** Where the other host was last, while two are there; null otherwise. */
  otherPlace(now: number): SocketAddress | null {
    return this.#signs >= SIGNS && now - this.#signedAt <= MEMORY ? this.#other : null;
  }
}
