/**
 * ICMPv6 errors of our own (RFC 4443 section 3): a sender inside learns at once that its packet is too big for the path
 * to a peer, or goes nowhere, in place of waiting.
 *
 * They are bounded (section 2.4 (f)): of "too big" one a second for each sender and destination, of all others some a
 * second for each peer.
 */
import { IcmpErrorLimiter } from "../nat/icmp/icmp_error.ts";
import { finish, fold, sum } from "../wire/checksum.ts";
import { IPV6_SIZE, ipv6Bytes, type Ipv6Text } from "../wire/host_address.ts";
import * as icmpv6 from "../wire/icmpv6.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { Memory } from "../wire/memory.ts";

/** Bytes of memory for an error: the longest (section 2.4 (c)), and room for the padding that sealing writes. */
export const ICMPV6_ERROR_SIZE: number = ipv6.MIN_LINK_MTU + 16;
const HEADERS_SIZE = ipv6.HEADER_SIZE + icmpv6.HEADER_SIZE;
const HOP_LIMIT = 64;
/** Version 6, and network control as the traffic class, as those of IPv4 have it. */
const FIRST_WORD = 0x6c00_0000;
const TOO_BIG_PER_SECOND = 1;
/** Pairs of sender and destination in one second, and peers. */
const MAX_PAIRS = 4096;
/** An odd number without pattern (2^32 divided by the golden ratio), so that pairs get numbers of their own. */
const SPREAD = 0x9e3779b1;

export class Icmpv6Errors {
  /** Where the error begins. */
  readonly offset: number;
  readonly #memory: Memory;
  readonly #own: Uint8Array;
  readonly #tooBig = new IcmpErrorLimiter(MAX_PAIRS, TOO_BIG_PER_SECOND);
  readonly #others = new IcmpErrorLimiter(MAX_PAIRS);

  /**
   * @param offset of `ICMPV6_ERROR_SIZE` bytes, a multiple of 4
   * @param own this end's inner address
   */
  constructor(memory: Memory, offset: number, own: Ipv6Text) {
    this.#memory = memory;
    this.offset = offset;
    this.#own = ipv6Bytes(own);
  }

  /**
   * Refuses a packet that is longer than a path takes, of `mtu` bytes, and writes the error for its sender.
   *
   * @returns bytes of the error at `offset`; 0 where the packet is to go on
   */
  refuse(packet: number, mtu: number, now: number): number {
    const { view } = this.#memory;
    if (!mayAnswer(view, packet)) return 0;
    const pair = digest(view, packet + ipv6.SOURCE_ADDRESS_OFFSET) ^
      Math.imul(digest(view, packet + ipv6.DESTINATION_ADDRESS_OFFSET), SPREAD);
    if (!this.#tooBig.allow(pair, now)) return 0;
    return this.#write(packet, icmpv6.TYPE_PACKET_TOO_BIG, 0, mtu);
  }

  /**
   * Writes the error about a packet that is dropped.
   *
   * @param from index of the peer that it came from; 0 for the host
   * @returns bytes of the error at `offset`; 0 where there is none
   */
  answer(packet: number, type: number, code: number, from: number, now: number): number {
    if (!mayAnswer(this.#memory.view, packet) || !this.#others.allow(from, now)) return 0;
    const length = this.#write(packet, type, code, 0);
    if (from === 0) return length;
    // To a peer as what this end is: a router with an address.
    this.#memory.bytes.set(this.#own, this.offset + ipv6.SOURCE_ADDRESS_OFFSET);
    this.#setChecksum(length);
    return length;
  }

  /**
   * In the destination's name: a host takes nothing from outside that comes from its own address, and a peer takes from
   * us what comes from those it may write to.
   */
  #write(packet: number, type: number, code: number, mtu: number): number {
    const { bytes, view } = this.#memory;
    const at = this.offset;
    const quoted = Math.min(ipv6.totalLength(view, packet), ipv6.MIN_LINK_MTU - HEADERS_SIZE);
    const length = HEADERS_SIZE + quoted;
    const message = at + ipv6.HEADER_SIZE;
    bytes.copyWithin(at + HEADERS_SIZE, packet, packet + quoted);
    view.setUint32(at, FIRST_WORD);
    view.setUint16(at + ipv6.PAYLOAD_LENGTH_OFFSET, length - ipv6.HEADER_SIZE);
    view.setUint8(at + ipv6.NEXT_HEADER_OFFSET, ipv6.PROTOCOL_ICMPV6);
    view.setUint8(at + ipv6.HOP_LIMIT_OFFSET, HOP_LIMIT);
    const [source, destination] = [ipv6.SOURCE_ADDRESS_OFFSET, ipv6.DESTINATION_ADDRESS_OFFSET];
    bytes.copyWithin(at + source, packet + destination, packet + destination + IPV6_SIZE);
    bytes.copyWithin(at + destination, packet + source, packet + source + IPV6_SIZE);
    view.setUint8(message + icmpv6.TYPE_OFFSET, type);
    view.setUint8(message + icmpv6.CODE_OFFSET, code);
    view.setUint32(message + icmpv6.MTU_OFFSET, mtu);
    this.#setChecksum(length);
    return length;
  }

  #setChecksum(length: number): void {
    const { view } = this.#memory;
    const message = this.offset + ipv6.HEADER_SIZE;
    const size = length - ipv6.HEADER_SIZE;
    view.setUint16(message + icmpv6.CHECKSUM_OFFSET, 0);
    const addresses = sum(view, this.offset + ipv6.SOURCE_ADDRESS_OFFSET, ipv6.ADDRESSES_SIZE);
    const pseudoHeader = fold(addresses + size + ipv6.PROTOCOL_ICMPV6);
    view.setUint16(
      message + icmpv6.CHECKSUM_OFFSET,
      finish(sum(view, message, size, pseudoHeader)),
    );
  }
}

/** Whether an error may be sent about a packet: not about errors (section 2.4 (e)), nor about later fragments. */
function mayAnswer(view: DataView, packet: number): boolean {
  const upper = ipv6.upperLayer(view, packet);
  if (ipv6.isLaterFragment(upper)) return false;
  if (ipv6.protocolOf(upper) !== ipv6.PROTOCOL_ICMPV6) return true;
  return !icmpv6.isError(icmpv6.type(view, packet + ipv6.headersSizeOf(upper)));
}

/** A number for the address at `at`. */
function digest(view: DataView, at: number): number {
  let number = 0;
  for (let i = 0; i < IPV6_SIZE; i += 4) {
    number = Math.imul(number, SPREAD) ^ view.getInt32(at + i);
  }
  return number;
}
