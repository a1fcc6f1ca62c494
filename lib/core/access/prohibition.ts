/**
 * Prohibition: a peer whose packet access rules forbid is told so by ICMP "communication administratively prohibited"
 * (RFC 1812 section 5.2.7.1), so that its programs fail at once and do not wait. A peer is told so many times a second.
 */
import {
  CODE_ADMINISTRATIVELY_PROHIBITED,
  IcmpErrorLimiter,
  mayAnswer,
  writeIcmpError,
} from "../nat/icmp/icmp_error.ts";
import { MAX_PEERS } from "../limits/max_peers.ts";
import * as icmp from "../wire/icmp.ts";
import * as ipv4 from "../wire/ipv4.ts";
import type { Memory } from "../wire/memory.ts";

/** Bytes of memory for an error: the longest, and room for the padding that sealing writes behind it. */
export const PROHIBITION_SIZE: number = 576 + 16;

export class Prohibition {
  /** Where the error begins. */
  readonly offset: number;
  readonly #memory: Memory;
  /** By peer: one with many addresses must not use up what others are to be told by. */
  readonly #limiter = new IcmpErrorLimiter(MAX_PEERS);

  /** @param offset of `PROHIBITION_SIZE` bytes, a multiple of 4 */
  constructor(memory: Memory, offset: number) {
    this.#memory = memory;
    this.offset = offset;
  }

  /**
   * Writes the error about a packet.
   *
   * @param sender the index of the peer that has sent it
   * @returns its bytes at `offset`; 0 where none may be sent, or not now
   */
  answer(packet: number, sender: number, now: number): number {
    const { view } = this.#memory;
    if (!mayAnswer(view, packet)) return 0;
    if (!this.#limiter.allow(sender, now)) return 0;
    return writeIcmpError(this.#memory, this.offset, packet, {
      type: icmp.TYPE_DESTINATION_UNREACHABLE,
      code: CODE_ADMINISTRATIVELY_PROHIBITED,
      nextHopMtu: 0,
      // In the destination's name, as PathAdvice does it: the peer takes from us what comes from where it may write to.
      source: view.getInt32(packet + ipv4.DESTINATION_ADDRESS_OFFSET),
    });
  }
}
