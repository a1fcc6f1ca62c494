/**
 * Rate limiter for handshakes from one address: a token bucket for each, 20 a second with a burst of 5, as in
 * WireGuard's `ratelimiter.c`.
 *
 * The table has a fixed size, so that a flood from many addresses cannot make it grow. A bucket left alone for 250 ms
 * is full again and thus the same as none: its place is free. Where a set has no free place, the bucket left alone
 * longest is evicted; refusing the newcomer would let a flood lock everybody else out.
 */

/** Handshakes that one address may start in a second, over time. */
export const HANDSHAKES_PER_SECOND = 20;
/** Handshakes that one address may start at once. */
export const HANDSHAKE_BURST = 5;

/** What one handshake costs, in milliseconds of waiting. */
const COST = 1000 / HANDSHAKES_PER_SECOND;
const FULL = COST * HANDSHAKE_BURST;
/** Places among which an address may stand. */
const WAYS = 8;
const SETS = 512;

/** Token buckets by source address, for 4,096 addresses within any 250 ms. */
export class HandshakeRateLimiter {
  readonly #seed: number;
  readonly #addresses = new Uint32Array(SETS * WAYS);
  readonly #tokens = new Float64Array(SETS * WAYS);
  /** When each bucket was last asked; -Infinity for a place that never was, so that it counts as free. */
  readonly #askedAt = new Float64Array(SETS * WAYS).fill(-Infinity);

  /** @param seed a random uint32 that nobody outside knows, or a sender could aim at one set of the table */
  constructor(seed: number) {
    this.#seed = seed;
  }

  /**
   * Whether a handshake from `address` may go on; if so, it is paid for.
   *
   * @param address uint32: of IPv4 the address, of IPv6 what stands for a /64
   * @param now monotonic time in milliseconds
   */
  allow(address: number, now: number): boolean {
    const place = this.#place(address);
    const known = this.#addresses[place] === address;
    const waited = now - this.#askedAt[place]!;
    const tokens = known ? Math.min(FULL, this.#tokens[place]! + waited) : FULL;
    const allowed = tokens >= COST;
    this.#addresses[place] = address;
    this.#tokens[place] = allowed ? tokens - COST : tokens;
    this.#askedAt[place] = now;
    return allowed;
  }

  /** What was paid last for `address` is given back. */
  giveBack(address: number): void {
    const place = this.#place(address);
    if (this.#addresses[place] !== address) return;
    this.#tokens[place] = Math.min(FULL, this.#tokens[place]! + COST);
  }

  /** Whether `allow()` would say yes; nothing is paid. */
  wouldAllow(address: number, now: number): boolean {
    const place = this.#place(address);
    return this.#addresses[place] !== address ||
      this.#tokens[place]! + now - this.#askedAt[place]! >= COST;
  }

  /** The place of `address`, or the one left alone longest among those where it may stand. */
  #place(address: number): number {
    const first = (mix(address ^ this.#seed) & (SETS - 1)) * WAYS;
    let oldest = first;
    for (let place = first; place < first + WAYS; place++) {
      if (this.#addresses[place] === address) return place;
      if (this.#askedAt[place]! < this.#askedAt[oldest]!) oldest = place;
    }
    return oldest;
  }
}

/** A 32-bit mixing step: every bit of the input touches every bit of the result. */
function mix(value: number): number {
  let mixed = Math.imul(value ^ value >>> 16, 0x45d9f3b);
  mixed = Math.imul(mixed ^ mixed >>> 15, 0x2c1b3c6d);
  return (mixed ^ mixed >>> 16) >>> 0;
}
