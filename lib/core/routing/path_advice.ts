/**
 * Path advice: a sender inside whose packet is longer than the path to a peer takes gets ICMP "fragmentation needed"
 * (RFC 1191), in place of the packet.
 *
 * Each sender is told once a second for each destination. What it sends in the meantime goes on, in fragments outside:
 * so one who never hears of it, as behind a firewall that drops ICMP, loses a packet a second and not its connection.
 * Nobody is told of a packet without DF: it is divided (core/engine/divider.ts).
 */
import * as icmp from "../wire/icmp.ts";
import * as ipv4 from "../wire/ipv4.ts";
import type { Memory } from "../wire/memory.ts";
import {
  CODE_FRAGMENTATION_NEEDED,
  IcmpErrorLimiter,
  mayAnswer,
  writeIcmpError,
} from "../nat/icmp/icmp_error.ts";

/** Bytes of memory for an error: the longest, and room for the padding that sealing writes behind it. */
export const PATH_ADVICE_SIZE = 576 + 16;
/** Errors for one sender about one destination. */
const ERRORS_PER_SECOND = 1;
/** Pairs of sender and destination in one second. */
const MAX_PAIRS = 4096;
/** An odd number without pattern (2^32 divided by the golden ratio), so that pairs get numbers of their own. */
const SPREAD = 0x9e3779b1;

export class PathAdvice {
  /** Where the error begins. */
  readonly offset: number;
  readonly #memory: Memory;
  readonly #limiter = new IcmpErrorLimiter(MAX_PAIRS, ERRORS_PER_SECOND);

  /** @param offset of `PATH_ADVICE_SIZE` bytes, a multiple of 4 */
  constructor(memory: Memory, offset: number) {
    this.#memory = memory;
    this.offset = offset;
  }

  /**
   * Refuses a packet that must not be fragmented, and writes the error for its sender.
   *
   * @param mtu bytes that the path takes
   * @param now monotonic ms
   * @returns bytes of the error at `offset`; 0 where the packet is to go on
   */
  refuse(packet: number, mtu: number, now: number): number {
    const { view } = this.#memory;
    if (!ipv4.dontFragment(view, packet) || !mayAnswer(view, packet)) return 0;
    const sender = view.getInt32(packet + ipv4.SOURCE_ADDRESS_OFFSET);
    const destination = view.getInt32(packet + ipv4.DESTINATION_ADDRESS_OFFSET);
    if (!this.#limiter.allow(sender ^ Math.imul(destination, SPREAD), now)) return 0;
    return writeIcmpError(this.#memory, this.offset, packet, {
      type: icmp.TYPE_DESTINATION_UNREACHABLE,
      code: CODE_FRAGMENTATION_NEEDED,
      nextHopMtu: mtu,
      // In the destination's name: a host takes nothing from outside that comes from its own address, as the gateway's
      // would; and a peer takes from us what comes from those it may write to.
      source: destination,
    });
  }
}
