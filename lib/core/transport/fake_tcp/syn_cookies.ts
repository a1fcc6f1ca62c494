/**
 * SYN cookies (RFC 4987 section 3.6) as the server's initial sequence numbers: a connection takes no memory before its
 * client has answered, so that a flood of SYNs, from forged addresses mostly, costs none.
 *
 * ```text
 *   27 bits of a keyed hash over the four-tuple and what follows   4 bits MSS, by table   1 bit window scale
 * ```
 *
 * The client's ISN is not in it: the segment behind a handshake's ACK, should that one be lost, does not tell it. Nor
 * is the time: the same SYN must be answered with the same SYN/ACK, or a firewall loses track. So a cookie is good for
 * as long as the process runs, for somebody who was reached at that address.
 */
import type { FourTuple } from "./session.ts";
import { SipHash } from "./siphash.ts";

/**
 * Payload sizes that a cookie can name: those of common links and tunnels. The least is what all hosts take (RFC 9293).
 */
const SIZES: readonly number[] = [
  536,
  1000,
  1160,
  1200,
  1240,
  1280,
  1320,
  1360,
  1380,
  1400,
  1412,
  1420,
  1440,
  1452,
  1460,
  8960,
];
const SIZE_SHIFT = 1;
const SIZE_MASK = 15;
const SCALED = 1;
const OPTIONS_MASK = 31;

export class SynCookies {
  readonly #hash: SipHash;

  /** @param secret 16 random bytes */
  constructor(secret: Uint8Array) {
    this.#hash = new SipHash(secret);
  }

  /**
   * The initial sequence number, int32, for a connection.
   *
   * @param size the longest payload in bytes that it can carry, of which at times a few are lost
   */
  make(tuple: FourTuple, size: number, isScaled: boolean): number {
    let index = SIZES.length - 1;
    while (index > 0 && SIZES[index]! > size) index--;
    return this.#seal(tuple, index << SIZE_SHIFT | (isScaled ? SCALED : 0));
  }

  /** Whether a sequence number was made here for this connection. */
  check(tuple: FourTuple, cookie: number): boolean {
    return this.#seal(tuple, cookie & OPTIONS_MASK) === cookie;
  }

  /** The longest payload in bytes, as the cookie has it. */
  static size(cookie: number): number {
    return SIZES[cookie >>> SIZE_SHIFT & SIZE_MASK]!;
  }

  static isScaled(cookie: number): boolean {
    return (cookie & SCALED) !== 0;
  }

  #seal(tuple: FourTuple, options: number): number {
    const { remoteAddress, localAddress, remotePort, localPort } = tuple;
    const hash = this.#hash.hash(
      remoteAddress,
      localAddress,
      remotePort << 16 | localPort,
      options,
    );
    return (hash & ~OPTIONS_MASK) | options;
  }
}
