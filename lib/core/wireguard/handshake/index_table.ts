/**
 * Owns the table from a receiver index on the wire to the session or handshake that it names, in constant time.
 *
 * Indices are random, as in the reference, but unique in their low 16 bits, which are the slot: a look-up is one load
 * and one comparison, with no hashing and no number too large to be a small integer as a key.
 */
import type { Keypair } from "../session/keypair.ts";
import type { Peer } from "../peer.ts";

const SLOTS = 1 << 16;
const SLOT_MASK = SLOTS - 1;
/** A peer holds four, three sessions and a handshake, while it connects a few more. Beyond this load, random draws would take long. */
const MAX_ENTRIES = SLOTS / 2;

export class IndexTable {
  /** As int32: a look-up may come with either sign, and small integers are no objects on the heap. */
  readonly #indices = new Int32Array(SLOTS);
  readonly #peers: (Peer | null)[] = new Array(SLOTS).fill(null);
  readonly #keypairs: (Keypair | null)[] = new Array(SLOTS).fill(null);
  #entries = 0;

  /**
   * Takes an index for a handshake of `peer`.
   *
   * @param random draws an unsigned 32-bit number
   * @throws {RangeError} when the table is half full, which 8,192 configured peers cannot reach
   */
  allocate(peer: Peer, random: () => number): number {
    if (this.#entries >= MAX_ENTRIES) {
      throw new RangeError(`Cannot allocate a session index: ${this.#entries} are in use`);
    }
    let index = random();
    while (this.#peers[index & SLOT_MASK] !== null) index = random();
    const slot = index & SLOT_MASK;
    this.#indices[slot] = index;
    this.#peers[slot] = peer;
    this.#entries++;
    return index;
  }

  /** Lets an index name a session from now on. */
  attach(index: number, keypair: Keypair): void {
    this.#keypairs[index & SLOT_MASK] = keypair;
  }

  /** The peer whose handshake or session has this index, or null. */
  peer(index: number): Peer | null {
    const slot = index & SLOT_MASK;
    return this.#indices[slot] === (index | 0) ? this.#peers[slot] : null;
  }

  /** The session with this index, or null. */
  keypair(index: number): Keypair | null {
    const slot = index & SLOT_MASK;
    return this.#indices[slot] === (index | 0) ? this.#keypairs[slot] : null;
  }

  /** Gives an index back. */
  release(index: number): void {
    const slot = index & SLOT_MASK;
    if (this.#indices[slot] !== (index | 0) || this.#peers[slot] === null) return;
    this.#peers[slot] = null;
    this.#keypairs[slot] = null;
    this.#entries--;
  }
}
