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
import { HEADERS_SIZE } from "./constants.ts";
import { type FourTuple, headersSizeOf } from "./four_tuple.ts";
import { SipHash } from "../../wire/siphash.ts";

/**
 * Payload sizes of IPv4 that a cookie can name: those of common links and tunnels. The least is what all hosts take
 * (RFC 9293). Of IPv6 they are smaller by as much as its header is longer.
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
    const ofIpv4 = size + headersSizeOf(tuple) - HEADERS_SIZE;
    let index = SIZES.length - 1;
    while (index > 0 && SIZES[index]! > ofIpv4) index--;
    return this.#seal(tuple, index << SIZE_SHIFT | (isScaled ? SCALED : 0));
  }

  /** Whether a sequence number was made here for this connection. */
  check(tuple: FourTuple, cookie: number): boolean {
    return this.#seal(tuple, cookie & OPTIONS_MASK) === cookie;
  }

  /** The longest payload in bytes, as the cookie has it. */
  static size(tuple: FourTuple, cookie: number): number {
    return SIZES[cookie >>> SIZE_SHIFT & SIZE_MASK]! - headersSizeOf(tuple) + HEADERS_SIZE;
  }

  static isScaled(cookie: number): boolean {
    return (cookie & SCALED) !== 0;
  }

  #seal(tuple: FourTuple, options: number): number {
    const { addresses, remotePort, localPort } = tuple;
    const hasher = this.#hash;
    hasher.begin();
    for (let i = 0; i < addresses.length; i += 2) hasher.add(addresses[i], addresses[i + 1]);
    hasher.add(remotePort << 16 | localPort, options);
    const hash = hasher.end();
    return (hash & ~OPTIONS_MASK) | options;
  }
}
