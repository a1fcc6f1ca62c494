/**
 * Index table: from a receiver index on the wire to the session or handshake that it names, in constant time.
 *
 * Indices are random, as in the reference, but unique in some of their bits, which are the slot: a look-up is one load
 * and one comparison, with no hashing and no number too large to be a small integer as a key. The four bits below them
 * are free: where there are several threads, they name one of them.
 *
 * The table grows with what it holds, by one bit of the slot each time: what differs in fewer bits differs in more. A
 * thousand sessions are in 40 KB that stay in the processor's cache; at its greatest it has 1.8 MB.
 */
import { MAX_PEERS } from "../../limits/max_peers.ts";
import { MAX_EARLIER_HANDSHAKES } from "../constants.ts";
import type { Elsewhere } from "../elsewhere.ts";
import type { PeerSession } from "../session/peer_session.ts";

const FIRST_SLOTS = 1 << 8;
const MOST_SLOTS = 1 << 17;
const SLOT_SHIFT = 4;
/**
 * What a peer holds at most: three sessions, that of a key to come, a handshake, those before it, and the next, for
 * which one goes. All peers' together leave a quarter of the slots free, so that a random draw finds one soon.
 */
const MAX_ENTRIES = (6 + MAX_EARLIER_HANDSHAKES) * MAX_PEERS;

export class IndexTable {
  #mask = FIRST_SLOTS - 1;
  /** As int32: a look-up may come with either sign, and small integers are no objects on the heap. */
  #indices = new Int32Array(FIRST_SLOTS);
  /** The index of the peer that each belongs to; 0 for a free slot. */
  #peers = new Uint16Array(FIRST_SLOTS);
  #sessions: (PeerSession | null)[] = new Array(FIRST_SLOTS).fill(null);
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
    if (this.#entries > this.#mask >> 1 && this.#mask < MOST_SLOTS - 1) this.#grow();
    let index = this.#draw(random);
    while (this.#peers[this.#slot(index)] !== 0) index = this.#draw(random);
    const slot = this.#slot(index);
    this.#indices[slot] = index;
    this.#peers[slot] = peerIndex;
    this.#entries++;
    return index;
  }

  #draw(random: () => number): number {
    const drawn = random();
    return this.#elsewhere === null ? drawn : this.#elsewhere.index(drawn);
  }

  /** Has twice as many slots from now on. */
  #grow(): void {
    const [indices, peers, sessions] = [this.#indices, this.#peers, this.#sessions];
    const slots = 2 * indices.length;
    this.#mask = slots - 1;
    this.#indices = new Int32Array(slots);
    this.#peers = new Uint16Array(slots);
    this.#sessions = new Array(slots).fill(null);
    for (let from = 0; from < peers.length; from++) {
      if (peers[from] === 0) continue;
      const slot = this.#slot(indices[from]);
      this.#indices[slot] = indices[from];
      this.#peers[slot] = peers[from];
      this.#sessions[slot] = sessions[from];
    }
  }

  /** Lets an index name a session from now on. */
  attach(index: number, session: PeerSession): void {
    this.#sessions[this.#slot(index)] = session;
  }

  /** The index of the peer whose handshake or session has this index; 0 for none. */
  peerIndex(index: number): number {
    const slot = this.#slot(index);
    return this.#indices[slot] === (index | 0) ? this.#peers[slot]! : 0;
  }

  /** The session with this index, or null. */
  session(index: number): PeerSession | null {
    const slot = this.#slot(index);
    return this.#indices[slot] === (index | 0) ? this.#sessions[slot]! : null;
  }

  /** Gives an index back. */
  release(index: number): void {
    const slot = this.#slot(index);
    if (this.#indices[slot] !== (index | 0) || this.#peers[slot] === 0) return;
    const session = this.#sessions[slot]!;
    this.#peers[slot] = 0;
    this.#sessions[slot] = null;
    this.#entries--;
    if (session !== null) this.#onSessionEnd?.(session);
  }

  #slot(index: number): number {
    return (index >>> SLOT_SHIFT) & this.#mask;
  }
}
