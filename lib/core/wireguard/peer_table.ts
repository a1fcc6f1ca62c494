/**
 * Peer table: a device's peers by public key and by index.
 *
 * An index is a small integer from 1 on; 0 names nobody. It is what results carry in place of a peer. One that has come
 * free is used again last, so that whoever holds a stale index for a moment finds nobody rather than another peer.
 */
import type { Peer } from "./peer.ts";

/** Bounded by the index table, of which each peer takes four places, and by the bits of a result (received.ts). */
export const MAX_PEERS = 8192;

export class PeerTable {
  readonly #byKey = new Map<string, Peer>();
  readonly #byIndex: (Peer | null)[] = [null];
  readonly #free: number[] = [];

  /** All peers, in the order in which they were added. */
  [Symbol.iterator](): IterableIterator<Peer> {
    return this.#byKey.values();
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** The peer with this 32-byte public key. */
  byKey(publicKey: Uint8Array): Peer | undefined {
    return this.#byKey.get(textOf(publicKey));
  }

  /** The peer with this index; null for none. */
  byIndex(index: number): Peer | null {
    return this.#byIndex[index] ?? null;
  }

  /**
   * The index that the next peer gets.
   *
   * @throws {RangeError} when there are `MAX_PEERS` peers
   */
  nextIndex(): number {
    if (this.#byIndex.length <= MAX_PEERS) return this.#byIndex.length;
    const [index] = this.#free;
    if (index === undefined) {
      throw new RangeError(`Cannot add peer: there are ${MAX_PEERS} already; remove one first`);
    }
    return index;
  }

  /** Adds a peer whose index is `nextIndex()`. */
  add(peer: Peer): void {
    if (peer.index === this.#byIndex.length) this.#byIndex.push(peer);
    else {
      this.#free.shift();
      this.#byIndex[peer.index] = peer;
    }
    this.#byKey.set(textOf(peer.publicKey), peer);
  }

  remove(peer: Peer): void {
    if (this.#byIndex[peer.index] !== peer) return;
    this.#byKey.delete(textOf(peer.publicKey));
    this.#byIndex[peer.index] = null;
    this.#free.push(peer.index);
  }
}

/** A public key as the key of a map. */
function textOf(publicKey: Uint8Array): string {
  return String.fromCharCode(...publicKey);
}
