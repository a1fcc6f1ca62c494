/**
 * SYN challenge: has who begins a connection to a published service show that it is at its address, in a flood of SYNs.
 *
 * The SYN is answered by a SYN/ACK that acknowledges less than was sent, with a secret in the lower half of the number.
 * Who has sent the SYN answers that by an RST with this number (RFC 9293 section 3.10.7.3), and sends its SYN again:
 * Linux at once, others after a second. So nothing is kept of a forged SYN, back ends never see it, and no sequence
 * number of the connection has to be translated for as long as it lives, as with SYN cookies (RFC 4987 section 3.6).
 *
 * The number is less than 2^16 below what would be right: that far back, firewalls and NATs on the way take it for an
 * old acknowledgment, which they let pass (Linux's `nf_conntrack`, MAXACKWINCONST).
 */
import * as ipv4 from "../../wire/ipv4.ts";
import type { Memory } from "../../wire/memory.ts";
import { SipHash } from "../../wire/siphash.ts";
import * as tcp from "../../wire/tcp.ts";
import type { Forwarder } from "../forwarder.ts";
import { beginAnswer, finishAnswer } from "../headers/tcp_answer.ts";
import { secondOf } from "../timer_wheel.ts";
import type { Newcomers } from "./newcomers.ts";

/** An RST so far below what was sent must be within it, or a firewall drops it. */
const WINDOW = 0xffff;
const SECRET_MASK = 0xffff;
/** Seconds for which a secret holds, and once more as long. */
const EPOCH = 64;

const DECISIVE = tcp.FLAG_SYN | tcp.FLAG_ACK | tcp.FLAG_RST | tcp.FLAG_FIN;

export interface SynChallengeOptions {
  readonly memory: Memory;
  readonly forwarder: Forwarder;
  readonly newcomers: Newcomers;
  /** 16 random bytes: who can answer some challenges must not learn how to answer those of others. */
  readonly secret: Uint8Array;
}

export class SynChallenge {
  readonly #options: SynChallengeOptions;
  readonly #hash: SipHash;

  constructor(options: SynChallengeOptions) {
    this.#options = options;
    this.#hash = new SipHash(options.secret);
  }

  /**
   * Takes a segment for a service that would have begun a connection, and may not.
   *
   * @param transport offset of its TCP header
   */
  take(packet: number, transport: number, now: number): void {
    const { memory: { view }, forwarder, newcomers } = this.#options;
    const flags = tcp.flags(view, transport) & DECISIVE;
    const second = secondOf(now);
    const remote = view.getInt32(packet + ipv4.SOURCE_ADDRESS_OFFSET);
    if (flags === tcp.FLAG_RST) {
      const shown = tcp.sequenceNumber(view, transport) & SECRET_MASK;
      const isRight = shown === this.#secret(remote, transport, second) ||
        shown === this.#secret(remote, transport, second - EPOCH);
      if (isRight) newcomers.noteAnswer(remote, now);
      return;
    }
    if (flags !== tcp.FLAG_SYN) return;
    const slot = forwarder.room();
    if (slot < 0) return;
    this.#write(slot, packet, transport, this.#secret(remote, transport, second));
    forwarder.forward(forwarder.outside, slot);
  }

  #secret(remote: number, transport: number, second: number): number {
    const { memory: { view } } = this.#options;
    const ports = tcp.sourcePort(view, transport) << 16 | tcp.destinationPort(view, transport);
    this.#hash.begin();
    this.#hash.add(remote, ports);
    this.#hash.add(Math.floor(second / EPOCH), 0);
    return this.#hash.end() & SECRET_MASK;
  }

  #write(at: number, packet: number, transport: number, secret: number): void {
    const { memory } = this.#options;
    const { view } = memory;
    const segment = beginAnswer(memory, at, packet, transport);
    const sent = tcp.sequenceNumber(view, transport);
    // The last one not above that of the SYN which ends so.
    const number = sent - (sent - secret & SECRET_MASK);
    view.setUint32(segment + tcp.ACKNOWLEDGMENT_NUMBER_OFFSET, number);
    view.setUint8(segment + tcp.FLAGS_OFFSET, tcp.FLAG_SYN | tcp.FLAG_ACK);
    view.setUint16(segment + tcp.WINDOW_OFFSET, WINDOW);
    finishAnswer(memory, at);
  }
}
