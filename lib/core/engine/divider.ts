/**
 * Divider: what is longer than the path to a peer takes is divided inside the tunnel, if it is IPv4 without DF.
 *
 * Outside, the host's kernel divides what is longer than its first link takes, and routers of IPv4 what is longer than
 * the next one does; those of IPv6 divide nothing (RFC 8200 section 5), and many networks drop fragments of either. The
 * fragments here are packets like others to all of them, and the host that the packet is for puts them together.
 */
import { fragmentStep, writeFragment } from "../nat/fragments/division.ts";
import type { SendQueue } from "../transport/send_queue.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { Memory } from "../wire/memory.ts";
import type { PacketPeer } from "../wireguard/packet_peer.ts";
import { RELEASED, type Shaping } from "./shaping.ts";

/** The longest fragment: at a greater MTU they could be longer. */
const MAX_FRAGMENT_SIZE = 9_000;
/** Bytes of memory: a fragment, and room for the padding that sealing writes behind it. */
export const DIVIDER_SCRATCH_SIZE: number = MAX_FRAGMENT_SIZE + 16;
/** Bytes of a fragment that are not payload, at most: the longest header, and what a unit of eight leaves over. */
const MAX_OVERHEAD = 60 + 7;

export interface DividerOptions {
  readonly memory: Memory;
  /** Offset of `DIVIDER_SCRATCH_SIZE` bytes, a multiple of 4. */
  readonly scratch: number;
  readonly shaping: Shaping;
  readonly sendQueue: SendQueue;
  readonly drops: DropCounters;
}

export class Divider {
  /** Called where the send queue has no room for all fragments of a packet: what is in it is to be sent first. */
  onFull: ((now: number) => void) | null = null;
  readonly #memory: Memory;
  readonly #scratch: number;
  readonly #shaping: Shaping;
  readonly #sendQueue: SendQueue;
  readonly #drops: DropCounters;

  constructor({ memory, scratch, shaping, sendQueue, drops }: DividerOptions) {
    this.#memory = memory;
    this.#scratch = scratch;
    this.#shaping = shaping;
    this.#sendQueue = sendQueue;
    this.#drops = drops;
  }

  /**
   * Sends `peer` a packet that the path does not take in one piece: in fragments, all of them or none. What may not be
   * divided goes as it is, in fragments outside where that can be.
   *
   * @param length bytes, as the packet's header says
   */
  send(peer: PacketPeer, packet: number, length: number, now: number): void {
    const { view } = this.#memory;
    if (ipv6.isIpv6(view, packet) || ipv4.dontFragment(view, packet)) {
      this.#shaping.send(peer, packet, length, now);
      return;
    }
    const step = fragmentStep(view, packet, Math.min(peer.mtu, MAX_FRAGMENT_SIZE));
    if (step === 0) {
      this.#drops.add(DropReason.tooBig, length);
      return;
    }
    const payloadSize = length - ipv4.headerSize(view, packet);
    const fragments = Math.ceil(payloadSize / step);
    // The engine keeps room for as many datagrams as the kernel merges, not for what they come to in fragments.
    // What is released in the same round and goes whole does not look for room either.
    if (this.#sendQueue.free < fragments + RELEASED) this.onFull?.(now);
    if (this.#sendQueue.free < fragments) {
      this.#drops.add(DropReason.sendQueueFull, length);
      return;
    }
    const { meter } = this.#shaping;
    // Of its fragments, a flow's figures have the first one alone: the others name no ports.
    if (meter !== null && !peer.isSpent) meter.count(peer, packet, payloadSize - step, now);
    for (let from = 0; from < payloadSize; from += step) {
      const size = writeFragment(this.#memory, this.#scratch, packet, from, step);
      this.#shaping.send(peer, this.#scratch, size, now);
    }
  }
}

/** Fragments of a packet of that many bytes, at most. */
export function mostFragments(length: number, mtu: number): number {
  return Math.ceil(length / (Math.min(mtu, MAX_FRAGMENT_SIZE) - MAX_OVERHEAD));
}
