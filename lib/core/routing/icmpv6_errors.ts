/**
 * ICMPv6 errors of our own (RFC 4443 section 3): a sender inside learns at once that its packet is too big for the path
 * to a peer, or goes nowhere, in place of waiting.
 *
 * They are bounded (section 2.4 (f)): of "too big" one a second for each sender and destination, of all others some a
 * second for each peer.
 */
import { IcmpErrorLimiter } from "../nat/icmp/icmp_error.ts";
import { mayAnswer6, writeIcmpv6Error } from "../nat/icmp/icmpv6_error.ts";
import { IPV6_SIZE, ipv6Bytes, type Ipv6Text } from "../wire/host_address.ts";
import * as icmpv6 from "../wire/icmpv6.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { Memory } from "../wire/memory.ts";

/** Bytes of memory for an error: the longest (section 2.4 (c)), and room for the padding that sealing writes. */
export const ICMPV6_ERROR_SIZE: number = ipv6.MIN_LINK_MTU + 16;
const TOO_BIG_PER_SECOND = 1;
/** Pairs of sender and destination in one second, and peers. */
const MAX_PAIRS = 4096;
/** An odd number without pattern (2^32 divided by the golden ratio), so that pairs get numbers of their own. */
const SPREAD = 0x9e3779b1;

export class Icmpv6Errors {
  /** Where the error begins. */
  readonly offset: number;
  readonly #memory: Memory;
  readonly #own: DataView;
  readonly #tooBig = new IcmpErrorLimiter(MAX_PAIRS, TOO_BIG_PER_SECOND);
  readonly #others = new IcmpErrorLimiter(MAX_PAIRS);

  /**
   * @param offset of `ICMPV6_ERROR_SIZE` bytes, a multiple of 4
   * @param own this end's inner address
   */
  constructor(memory: Memory, offset: number, own: Ipv6Text) {
    this.#memory = memory;
    this.offset = offset;
    this.#own = new DataView(ipv6Bytes(own).buffer);
  }

  /**
   * Refuses a packet that is longer than a path takes, of `mtu` bytes, and writes the error for its sender.
   *
   * @returns bytes of the error at `offset`; 0 where the packet is to go on
   */
  refuse(packet: number, mtu: number, now: number): number {
    const { view } = this.#memory;
    if (!mayAnswer6(view, packet)) return 0;
    const pair = digest(view, packet + ipv6.SOURCE_ADDRESS_OFFSET) ^
      Math.imul(digest(view, packet + ipv6.DESTINATION_ADDRESS_OFFSET), SPREAD);
    if (!this.#tooBig.allow(pair, now)) return 0;
    return this.#write(packet, icmpv6.TYPE_PACKET_TOO_BIG, 0, mtu, view, inNameOf(packet));
  }

  /**
   * Writes the error about a packet that is dropped.
   *
   * @param from index of the peer that it came from; 0 for the host
   * @returns bytes of the error at `offset`; 0 where there is none
   */
  answer(packet: number, type: number, code: number, from: number, now: number): number {
    const { view } = this.#memory;
    if (!mayAnswer6(view, packet) || !this.#others.allow(from, now)) return 0;
    return from === 0
      ? this.#write(packet, type, code, 0, view, inNameOf(packet))
      // To a peer as what this end is: a router with an address.
      : this.#write(packet, type, code, 0, this.#own, 0);
  }

  #write(
    packet: number,
    type: number,
    code: number,
    mtu: number,
    sources: DataView,
    source: number,
  ): number {
    const error = { type, code, mtu };
    return writeIcmpv6Error(this.#memory, this.offset, packet, error, sources, source);
  }
}

/**
 * The destination of a packet, as the source of an error: a host takes nothing from outside that comes from its own
 * address, and a peer takes from us what comes from those it may write to.
 */
function inNameOf(packet: number): number {
  return packet + ipv6.DESTINATION_ADDRESS_OFFSET;
}

/** A number for the address at `at`. */
function digest(view: DataView, at: number): number {
  let number = 0;
  for (let i = 0; i < IPV6_SIZE; i += 4) {
    number = Math.imul(number, SPREAD) ^ view.getInt32(at + i);
  }
  return number;
}
