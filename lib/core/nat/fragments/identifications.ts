/**
 * Identifications: the ids of packets that leave with the shared external address. Clients number their packets on
 * their own, and two that send to one host could use one id at one time: the host would put together fragments of
 * different packets. So what may be fragmented gets an id from here (RFC 7857 section 10, RFC 6864 section 5.3.1); of
 * IPv6, what is a fragment, by counters whose starts nobody knows (RFC 7739 section 5.3).
 */
import { hash } from "../../wire/hash.ts";

const COUNTERS = 4096;

export class Identifications {
  /** One for each hash of destination and protocol: each pair's ids then come round as late as possible. */
  readonly #counters = new Int32Array(COUNTERS);
  readonly #seed: number;
  /** Of each id, the bits that are the worker's number; and that. */
  readonly #numberBits: number;
  readonly #number: number;
  readonly #mask: number;

  /**
   * @param seed random and secret: neither a counter's start nor who shares it is to be known outside
   * @param slice which of how many workers this is: each has ids of its own
   * @param mask the bits that an id has
   */
  constructor(
    seed: number,
    { number = 0, count = 1 }: { number?: number; count?: number } = {},
    mask = 0xffff,
  ) {
    this.#seed = seed;
    this.#mask = mask;
    this.#numberBits = 32 - Math.clz32(count - 1);
    this.#number = number;
    for (let i = 0; i < COUNTERS; i++) this.#counters[i] = hash(i, COUNTERS, seed);
  }

  /**
   * The next id for packets to `destination`. Never 0, which the raw socket would replace, in each fragment by another.
   */
  next(destination: number, protocol: number): number {
    const index = hash(destination, protocol, this.#seed) & (COUNTERS - 1);
    const counter = this.#counters[index] = this.#counters[index] + 1;
    const id = counter << this.#numberBits & this.#mask | this.#number;
    return id === 0 ? this.next(destination, protocol) : id;
  }
}
