/**
 * Owns the external ports of one protocol: which are free, at rest or taken, and the choice among the free.
 *
 * The choice is random, so that a port cannot be guessed (RFC 6056), within two bounds that applications rely on: ports
 * below 1,024 stay below where the range allows (RFC 4787 REQ-3), and an even port stays even, an odd one odd (REQ-4).
 */
import type { PortRange } from "./nat_options.ts";
import { PORT_REST_TIME } from "./constants.ts";

const FIRST_UNPRIVILEGED = 1024;
const TAKEN = Infinity;

export class PortAllocator {
  readonly #first: number;
  /** By port: when it may be given out again, ms; -Infinity for one never used, `TAKEN` for one in use. */
  readonly #freeAt: Float64Array;
  readonly #random: () => number;

  /** @param random draws an unsigned 32-bit number */
  constructor(range: PortRange, random: () => number) {
    this.#first = range.first;
    this.#freeAt = new Float64Array(range.last - range.first + 1).fill(-Infinity);
    this.#random = random;
  }

  /** Takes a port for the inner port `wanted`; -1 when none is free. */
  allocate(wanted: number, now: number): number {
    const last = this.#first + this.#freeAt.length - 1;
    const [low, high] = wanted < FIRST_UNPRIVILEGED
      ? [this.#first, Math.min(last, FIRST_UNPRIVILEGED - 1)]
      : [Math.max(this.#first, FIRST_UNPRIVILEGED), last];
    const port = low <= high ? this.#search(low, high, wanted & 1, now) : -1;
    // Where no port is as it should be, any is better than none.
    return port >= 0 ? port : this.#search(this.#first, last, -1, now);
  }

  /** Takes a given port; false when it is outside the range (which is no concern of ours) or taken already. */
  take(port: number): boolean {
    const index = port - this.#first;
    if (index < 0 || index >= this.#freeAt.length) return true;
    if (this.#freeAt[index] === TAKEN) return false;
    this.#freeAt[index] = TAKEN;
    return true;
  }

  /** Gives a port back; it rests first. */
  release(port: number, now: number): void {
    const index = port - this.#first;
    if (index >= 0 && index < this.#freeAt.length) this.#freeAt[index] = now + PORT_REST_TIME;
  }

  /** Looks from a random port on for a free one of the given parity (-1 for either). */
  #search(low: number, high: number, parity: number, now: number): number {
    const count = high - low + 1;
    const start = this.#random() % count;
    for (let i = 0; i < count; i++) {
      const port = low + (start + i) % count;
      if (parity >= 0 && (port & 1) !== parity) continue;
      const index = port - this.#first;
      if (now < this.#freeAt[index]) continue;
      this.#freeAt[index] = TAKEN;
      return port;
    }
    return -1;
  }
}
