/**
 * Resets: whose connection cannot go on here, though it did at another gateway until now, is told so by RST at its next
 * segment, in place of silence until it gives up. For a while after a take-over, and of IPv4 alone, as the address is
 * that is taken over.
 */
import * as ipv4 from "../../wire/ipv4.ts";
import type { Memory } from "../../wire/memory.ts";
import * as tcp from "../../wire/tcp.ts";
import type { Forwarder } from "../forwarder.ts";
import { beginAnswer, finishAnswer } from "../headers/tcp_answer.ts";
import { IcmpErrorLimiter } from "../icmp/icmp_error.ts";
import type { NatLink } from "../link.ts";

/** ms; TCP sends what is not acknowledged again within this, many times. */
const DURATION = 120_000;
/** ms in which the other gateway may still tell of the connection, and its segments are lost. */
const PAUSE = 300;
/** In a second, receivers on either side, and for each: an RST is no longer than what it answers. */
const RECEIVERS = 4_096;
const PER_SECOND = 1_000;

export class Resets {
  readonly #memory: Memory;
  readonly #forwarder: Forwarder;
  readonly #limiters: Map<NatLink, IcmpErrorLimiter>;
  #from = Infinity;
  #until = -Infinity;

  constructor(memory: Memory, forwarder: Forwarder) {
    this.#memory = memory;
    this.#forwarder = forwarder;
    this.#limiters = new Map(
      [forwarder.inside, forwarder.outside].map((link) => [
        link,
        new IcmpErrorLimiter(RECEIVERS, PER_SECOND),
      ]),
    );
  }

  /** For a while from now on. */
  begin(now: number): void {
    this.#from = now + PAUSE;
    this.#until = now + DURATION;
  }

  /** No more: it may go on elsewhere. */
  end(): void {
    this.#until = -Infinity;
  }

  /**
   * Resets the connection of a segment that nothing is known of, towards its sender, who is on link `to`.
   *
   * @returns whether this is a segment of a connection in such a time, and so makes no flow
   */
  answer(packet: number, transport: number, to: NatLink, now: number): boolean {
    if (now >= this.#until) return false;
    const { view } = this.#memory;
    // One that begins goes its usual way, and an RST is never answered.
    if ((tcp.flags(view, transport) & (tcp.FLAG_SYN | tcp.FLAG_RST)) !== 0) return false;
    const sender = view.getInt32(packet + ipv4.SOURCE_ADDRESS_OFFSET);
    if (now < this.#from || !this.#limiters.get(to)!.allow(sender, now)) return true;
    const slot = this.#forwarder.room();
    if (slot < 0) return true;
    this.#write(slot, packet, transport);
    this.#forwarder.forward(to, slot);
    return true;
  }

  /** RFC 9293 section 3.10.7.1: with what the segment acknowledges as its number, or an acknowledgment of it. */
  #write(at: number, packet: number, transport: number): void {
    const { view } = this.#memory;
    const isAcknowledging = (tcp.flags(view, transport) & tcp.FLAG_ACK) !== 0;
    const segment = beginAnswer(this.#memory, at, packet, transport);
    if (isAcknowledging) {
      const number = tcp.acknowledgmentNumber(view, transport);
      view.setUint32(segment + tcp.SEQUENCE_NUMBER_OFFSET, number);
      view.setUint8(segment + tcp.FLAGS_OFFSET, tcp.FLAG_RST);
    } else {
      const end = packet + ipv4.totalLength(view, packet);
      const isLast = (tcp.flags(view, transport) & tcp.FLAG_FIN) !== 0;
      const length = end - transport - tcp.headerSize(view, transport) + (isLast ? 1 : 0);
      const number = (tcp.sequenceNumber(view, transport) + length) >>> 0;
      view.setUint32(segment + tcp.ACKNOWLEDGMENT_NUMBER_OFFSET, number);
      view.setUint8(segment + tcp.FLAGS_OFFSET, tcp.FLAG_RST | tcp.FLAG_ACK);
    }
    finishAnswer(this.#memory, at);
  }
}
