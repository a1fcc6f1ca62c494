/**
 * The addresses and ports at which a peer has shown, by a handshake, that it receives there. What comes from one of
 * them is looked at first when a flood leaves room for few: a stranger who is not on the path cannot know them.
 *
 * Addresses are given as int32, see `Paths.addressKey()`. A table of a fixed size; where a set is full, the oldest
 * goes. A peer has two of them at most (endpoint_proof.ts).
 */

/** Places in a set. */
const WAYS = 4;
const SETS = 4096;

export class ProvenEndpoints {
  readonly #seed: number;
  readonly #addresses = new Int32Array(SETS * WAYS);
  /** 0 for an empty place. */
  readonly #ports = new Uint16Array(SETS * WAYS);
  /** The place of each set that is given up next. */
  readonly #next = new Uint8Array(SETS);

  /** @param seed a random uint32 that nobody outside knows, so that nobody can aim at one set */
  constructor(seed: number) {
    this.#seed = seed;
  }

  add(address: number, port: number): void {
    if (this.has(address, port)) return;
    const set = this.#set(address, port);
    let place = set * WAYS;
    const end = place + WAYS;
    while (place < end && this.#ports[place] !== 0) place++;
    if (place === end) {
      place = set * WAYS + this.#next[set]!;
      this.#next[set] = (this.#next[set]! + 1) % WAYS;
    }
    this.#addresses[place] = address;
    this.#ports[place] = port;
  }

  remove(address: number, port: number): void {
    const place = this.#place(address, port);
    if (place >= 0) this.#ports[place] = 0;
  }

  has(address: number, port: number): boolean {
    return this.#place(address, port) >= 0;
  }

  /** Where it stands, or -1. */
  #place(address: number, port: number): number {
    if (port === 0) return -1;
    const first = this.#set(address, port) * WAYS;
    for (let place = first; place < first + WAYS; place++) {
      if (this.#addresses[place] === (address | 0) && this.#ports[place] === port) return place;
    }
    return -1;
  }

  #set(address: number, port: number): number {
    let mixed = Math.imul(address ^ this.#seed, 0x45d9f3b);
    mixed = Math.imul(mixed ^ mixed >>> 15 ^ port, 0x2c1b3c6d);
    return (mixed ^ mixed >>> 16) & (SETS - 1);
  }
}
