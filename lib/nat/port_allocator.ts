/**
 * Owns the external ports of one protocol: which are free, at rest or taken, and the choice among the free.
 *
 * The choice is random, so that a port cannot be guessed (RFC 6056, RFC 6888 REQ-15), within two bounds that applications
 * rely on: ports below 1,024 stay below where the range allows (RFC 4787 REQ-3a), and an even port stays even, an odd one
 * odd (REQ-4). Every call takes constant time, however few ports are left: clients could use up the processor otherwise
 * as soon as they have used up the ports.
 */
import type { PortRange } from "./nat_options.ts";
import { PORT_REST_TIME } from "./constants.ts";

const FIRST_UNPRIVILEGED = 1024;
/** Bit of a pool's index that is set for ports from 1,024 on; the lowest bit is the parity. */
const UNPRIVILEGED = 2;

/** Free ports of one kind, in no order. */
interface Pool {
  readonly ports: Uint16Array;
  count: number;
}

export class PortAllocator {
  readonly #first: number;
  readonly #size: number;
  readonly #pools: readonly Pool[];
  /** Ports at rest, in a ring, and when each may be given out again, ms: as all rest alike, in the order of their release. */
  readonly #resting: Uint16Array;
  readonly #restedAt: Float64Array;
  #restingHead = 0;
  #restingCount = 0;
  readonly #random: () => number;

  /** @param random draws an unsigned 32-bit number */
  constructor(range: PortRange, random: () => number) {
    this.#first = range.first;
    this.#size = range.last - range.first + 1;
    this.#random = random;
    this.#pools = Array.from(
      { length: 4 },
      () => ({ ports: new Uint16Array(this.#size), count: 0 }),
    );
    this.#resting = new Uint16Array(this.#size);
    this.#restedAt = new Float64Array(this.#size);
    for (let port = range.first; port <= range.last; port++) this.#put(port);
  }

  /** Takes a port for the inner port `wanted`; -1 when none is free. */
  allocate(wanted: number, now: number): number {
    this.#wake(now);
    const best = poolOf(wanted);
    // Where no port is as it should be, any is better than none: first gives the parity, then the class.
    for (let change = 0; change < this.#pools.length; change++) {
      const pool = this.#pools[best ^ change];
      if (pool.count > 0) return this.#draw(pool);
    }
    return -1;
  }

  /** Takes a given port; false when it is not free. One outside the range is no concern of ours. */
  take(port: number): boolean {
    if (!this.#has(port)) return true;
    const pool = this.#pools[poolOf(port)];
    const at = pool.ports.subarray(0, pool.count).indexOf(port);
    if (at < 0) return false;
    pool.ports[at] = pool.ports[--pool.count];
    return true;
  }

  /** Gives a port back; it rests first. */
  release(port: number, now: number): void {
    if (!this.#has(port)) return;
    const at = (this.#restingHead + this.#restingCount++) % this.#size;
    this.#resting[at] = port;
    this.#restedAt[at] = now + PORT_REST_TIME;
  }

  #has(port: number): boolean {
    return port >= this.#first && port < this.#first + this.#size;
  }

  #draw(pool: Pool): number {
    const at = this.#random() % pool.count;
    const port = pool.ports[at];
    pool.ports[at] = pool.ports[--pool.count];
    return port;
  }

  #put(port: number): void {
    const pool = this.#pools[poolOf(port)];
    pool.ports[pool.count++] = port;
  }

  /** Puts the ports that have rested long enough back among the free. */
  #wake(now: number): void {
    while (this.#restingCount > 0 && now >= this.#restedAt[this.#restingHead]) {
      this.#put(this.#resting[this.#restingHead]);
      this.#restingHead = (this.#restingHead + 1) % this.#size;
      this.#restingCount--;
    }
  }
}

function poolOf(port: number): number {
  return (port < FIRST_UNPRIVILEGED ? 0 : UNPRIVILEGED) | (port & 1);
}
