/**
 * Index table: from a receiver index on the wire to the session or handshake that it names, in constant time.
 *
 * Indices are random, as in the reference, but unique in 17 of their bits, which are the slot: a look-up is one load
 * and one comparison, with no hashing and no number too large to be a small integer as a key. The four bits below them
 * are free: where there are several threads, they name one of them.
 */
import { MAX_PEERS } from "../../limits/max_peers.ts";
import { MAX_EARLIER_HANDSHAKES } from "../constants.ts";
import type { Elsewhere } from "../elsewhere.ts";
import type { PeerSession } from "../session/peer_session.ts";

const SLOTS = 1 << 17;
const SLOT_MASK = SLOTS - 1;
const SLOT_SHIFT = 4;
/**
 * What a peer holds at most: three sessions, that of a key to come, a handshake, those before it, and the next, for
 * which one goes. All peers' together leave a quarter of the slots free, so that a random draw finds one soon.
 */
const MAX_ENTRIES = (6 + MAX_EARLIER_HANDSHAKES) * MAX_PEERS;

export class IndexTable {
  /** As int32: a look-up may come with either sign, and small integers are no objects on the heap. */
  readonly #indices = new Int32Array(SLOTS);
  /** The index of the peer that each belongs to; 0 for a free slot. */
  readonly #peers = new Uint16Array(SLOTS);
  readonly #sessions: (PeerSession | null)[] = new Array(SLOTS).fill(null);
  #entries = 0;
  readonly #onSessionEnd: ((session: PeerSession) => void) | null;

  readonly #elsewhere: Elsewhere | null;

  /**
   * @param onSessionEnd takes a session that its index names no more
   * @param elsewhere what has indices name this gateway; null where it is alone
   */
  constructor(
    onSessionEnd: ((session: PeerSession) => void) | null = null,
    elsewhere: Elsewhere | null = null,
  ) {
    this.#onSessionEnd = onSessionEnd;
    this.#elsewhere = elsewhere;
  }

  /**
   * Takes an index for a handshake of the peer with this index.
   *
   * @param random draws an unsigned 32-bit number
   * @throws {RangeError} when there are more than `MAX_PEERS` peers take
   */
  allocate(peerIndex: number, random: () => number): number {
    if (this.#entries >= MAX_ENTRIES) {
      throw new RangeError(`Cannot allocate a session index: ${this.#entries} are in use`);
    }
    let index = this.#draw(random);
    while (this.#peers[slotOf(index)] !== 0) index = this.#draw(random);
    const slot = slotOf(index);
    this.#indices[slot] = index;
    this.#peers[slot] = peerIndex;
    this.#entries++;
    return index;
  }

  #draw(random: () => number): number {
    const drawn = random();
    return this.#elsewhere === null ? drawn : this.#elsewhere.index(drawn);
  }

  /** Lets an index name a session from now on. */
  attach(index: number, session: PeerSession): void {
    this.#sessions[slotOf(index)] = session;
  }

  /** The index of the peer whose handshake or session has this index; 0 for none. */
  peerIndex(index: number): number {
    const slot = slotOf(index);
    return this.#indices[slot] === (index | 0) ? this.#peers[slot]! : 0;
  }

  /** The session with this index, or null. */
  session(index: number): PeerSession | null {
    const slot = slotOf(index);
    return this.#indices[slot] === (index | 0) ? this.#sessions[slot]! : null;
  }

  /** Gives an index back. */
  release(index: number): void {
    const slot = slotOf(index);
    if (this.#indices[slot] !== (index | 0) || this.#peers[slot] === 0) return;
    const session = this.#sessions[slot]!;
    this.#peers[slot] = 0;
    this.#sessions[slot] = null;
    this.#entries--;
    if (session !== null) this.#onSessionEnd?.(session);
  }
}

function slotOf(index: number): number {
  return (index >>> SLOT_SHIFT) & SLOT_MASK;
}
