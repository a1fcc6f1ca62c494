/**
 * Seeded randomness for tests: the same seed gives the same run on every machine, so a failure comes again.
 *
 * The generator is a Weyl sequence through a 32-bit mixing function: 2^32 numbers long, well spread, of no
 * cryptographic worth. It is a source of test data and of simulated loss, nothing else.
 */

/** A sequence of random values that its seed determines. */
export class Random {
  #state: number;

  /** @param seed any integer; only its lower 32 bits count */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A uint32, every value equally likely. */
  uint32(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ mixed >>> 16, 0x85ebca6b);
    mixed = Math.imul(mixed ^ mixed >>> 13, 0xc2b2ae35);
    return (mixed ^ mixed >>> 16) >>> 0;
  }

  /** A number from 0 up to, and without, 1. */
  float(): number {
    return this.uint32() / 2 ** 32;
  }

  /** An integer from 0 up to, and without, `limit` (at most 2^32). */
  below(limit: number): number {
    return Math.floor(this.float() * limit);
  }

  /** An integer from `first` to `last`, both possible. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  /** True with the given probability of 0 to 1. */
  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new Error("Cannot pick: there are no items");
    return items[this.below(items.length)]!;
  }

  /** `length` random bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    return this.fill(new Uint8Array(length));
  }

  /** Fills `bytes` and returns it. */
  fill<B extends Uint8Array>(bytes: B): B {
    for (let at = 0; at < bytes.length; at++) bytes[at] = this.uint32();
    return bytes;
  }

  /**
   * A copy of `bytes`: mostly with one to `changes` bits flipped, at times cut short or with random bytes behind it.
   */
  mutate(bytes: Uint8Array, changes = 3): Uint8Array<ArrayBuffer> {
    const kind = this.below(8);
    if (kind === 0 && bytes.length > 0) return bytes.slice(0, this.below(bytes.length));
    if (kind === 1) {
      const longer = new Uint8Array(bytes.length + this.between(1, 16));
      longer.set(bytes);
      this.fill(longer.subarray(bytes.length));
      return longer;
    }
    const mutated = bytes.slice();
    if (mutated.length === 0) return mutated;
    for (let left = this.between(1, changes); left > 0; left--) {
      const at = this.below(mutated.length);
      mutated[at] = mutated[at]! ^ 1 << this.below(8);
    }
    return mutated;
  }
}
