/**
 * Index layout: how the indices of a fleet's gateways name the gateway that made them, so that whichever of them
 * receives a datagram knows whose it is.
 *
 * The low four bits name the worker in clear, for the program that chooses among sockets. The other 28 are the gateway
 * (8) and a random number (20), permuted by a cipher under a key that the gateways share: an outsider who sees indices
 * learns neither how many gateways there are nor which one a peer is at. The cipher is a Feistel network on two halves
 * of 14 bits, whose round functions are tables of random numbers that BLAKE2s makes from the key: few enough to be
 * looked up, which is all that an index costs.
 */
import { blake2sHash, HASH_SIZE } from "../../noise/blake2s.ts";

const RANDOM_BITS = 20;
const RANDOM_MASK = (1 << RANDOM_BITS) - 1;
const WORKER_BITS = 4;
const HALF_BITS = 14;
const HALF_MASK = (1 << HALF_BITS) - 1;
/** With six, nobody who sees fewer pairs than a half has values can tell it from any permutation (Patarin, 2004). */
const ROUNDS = 6;
/** Numbers of 16 bits in a digest. */
const NUMBERS = HASH_SIZE / 2;
/** Numbers of 16 bits in all round functions, one behind the other. */
export const LAYOUT_TABLES_LENGTH: number = ROUNDS << HALF_BITS;

export class IndexLayout {
  /** This gateway's number. */
  readonly gateway: number;
  readonly tables: Uint16Array = new Uint16Array(LAYOUT_TABLES_LENGTH);

  /** @param key of the fleet, any length */
  constructor(gateway: number, key: Uint8Array) {
    this.gateway = gateway;
    const counter = new Uint8Array(4);
    const view = new DataView(counter.buffer);
    for (let at = 0; at < this.tables.length; at += NUMBERS) {
      view.setUint32(0, at);
      const digest = new DataView(blake2sHash(key, counter).buffer);
      for (let i = 0; i < NUMBERS; i++) {
        this.tables[at + i] = digest.getUint16(2 * i) & HALF_MASK;
      }
    }
  }

  /**
   * An index that names this gateway.
   *
   * @param random 32 random bits, of which the low four, the worker's, stay as they are
   * @returns a uint32
   */
  index(random: number): number {
    const block = this.gateway << RANDOM_BITS | (random >>> WORKER_BITS & RANDOM_MASK);
    let left = block >>> HALF_BITS;
    let right = block & HALF_MASK;
    for (let round = 0; round < ROUNDS; round++) {
      const next = left ^ this.tables[round << HALF_BITS | right]!;
      left = right;
      right = next;
    }
    const permuted = left << HALF_BITS | right;
    return (permuted << WORKER_BITS | random & (1 << WORKER_BITS) - 1) >>> 0;
  }

  /** The gateway that an index names; any, of one that none of the fleet has made. */
  gatewayOf(index: number): number {
    return gatewayOf(this.tables, index);
  }
}

/** The same by the tables of a layout. */
export function gatewayOf(tables: Uint16Array, index: number): number {
  const permuted = index >>> WORKER_BITS;
  let left = permuted >>> HALF_BITS;
  let right = permuted & HALF_MASK;
  for (let round = ROUNDS - 1; round >= 0; round--) {
    const last = right ^ tables[round << HALF_BITS | left]!;
    right = left;
    left = last;
  }
  return (left << HALF_BITS | right) >>> RANDOM_BITS;
}
