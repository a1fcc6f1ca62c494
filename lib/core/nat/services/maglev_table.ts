/**
 * Maglev table: consistent hashing of flows to back ends (Eisenbud et al., "Maglev", NSDI 2016, section 3.4).
 *
 * Each back end has an order of its own of all places, which its name alone decides; they take places in turn, each the
 * next one in its order that is free. So all have as many, give or take one, and when one goes, few places change hands
 * but its own.
 */

/** Primes: with 100 places each, no back end has 1 % more than another. */
const SIZES: readonly number[] = [1021, 4093, 16_381, 65_521];
const PLACES_EACH = 100;
const NOBODY = -1;

export class MaglevTable {
  /** By place: the index of a back end. */
  readonly #owners: Int16Array;
  /** By back end: where its order begins, and how far it goes from place to place. */
  readonly #starts: Int32Array;
  readonly #steps: Int32Array;
  /** The indices in the order of the names: that of the configuration does not matter. */
  readonly #turns: readonly number[];

  /** @param names of all back ends, each once, also of those that may not be chosen now: they decide the size */
  constructor(names: readonly string[]) {
    const size = SIZES.find((each) => each >= names.length * PLACES_EACH) ?? SIZES.at(-1)!;
    this.#owners = new Int16Array(size).fill(NOBODY);
    this.#starts = Int32Array.from(names, (name) => hashText(name, 0x811c9dc5) % size);
    this.#steps = Int32Array.from(names, (name) => hashText(name, 0x2f0b4c47) % (size - 1) + 1);
    this.#turns = [...names.keys()].sort((a, b) => names[a] < names[b] ? -1 : 1);
  }

  /** Places of the table. */
  get size(): number {
    return this.#owners.length;
  }

  /** Gives all places to those (by index) that may be chosen. */
  fill(isEligible: (index: number) => boolean): void {
    const owners = this.#owners;
    owners.fill(NOBODY);
    const turns = this.#turns.filter(isEligible);
    if (turns.length === 0) return;
    const next = this.#starts.slice();
    for (let taken = 0; taken < owners.length; taken++) {
      const index = turns[taken % turns.length];
      let place = next[index];
      while (owners[place] !== NOBODY) place = (place + this.#steps[index]) % owners.length;
      owners[place] = index;
      next[index] = (place + this.#steps[index]) % owners.length;
    }
  }

  /** The index of the back end for flows of this hash (signed); -1 where none may be chosen. */
  at(hash: number): number {
    return this.#owners[(hash & 0x7fffffff) % this.#owners.length];
  }
}

/** FNV-1a over UTF-16 units, with a last step that mixes all bits: unsigned, 32 bits. */
function hashText(text: string, basis: number): number {
  let hash = basis;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
