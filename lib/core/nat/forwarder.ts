/**
 * Forwarder: the last step of every packet, into the queue of the link it leaves by, whole or in fragments, or back to
 * its sender as an ICMP error. What a router does, translation or not (RFC 1812, RFC 4443 section 3).
 */
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import * as ipv4 from "../wire/ipv4.ts";
import type { Memory } from "../wire/memory.ts";
import { type Headers, RefusedAs } from "./headers/headers.ts";
import type { IcmpErrorLimiter } from "./icmp/icmp_error.ts";
import type { NatLink } from "./link.ts";
import { type HandOver, NO_HEADER, type Origin } from "./slices/hand_over.ts";
import { fragmentStep, writeFragment } from "./fragments/division.ts";
import { PacketSlots } from "./fragments/packet_slots.ts";

export interface ForwarderOptions {
  readonly memory: Memory;
  readonly headers: Headers;
  readonly drops: DropCounters;
  readonly outside: NatLink;
  readonly inside: NatLink;
  /** Offset of `PacketSlots.size()` bytes, for the longer of the links' MTUs. */
  readonly generated: number;
  /** To other workers, where there are any. */
  readonly slice?: { readonly handOver: HandOver } | null;
}

export class Forwarder {
  readonly outside: NatLink;
  readonly inside: NatLink;
  readonly #memory: Memory;
  readonly #view: DataView;
  readonly #headers: Headers;
  readonly #drops: DropCounters;
  readonly #slots: PacketSlots;
  readonly #handOver: HandOver | null;

  constructor(options: ForwarderOptions) {
    const { memory, outside, inside } = options;
    this.outside = outside;
    this.inside = inside;
    this.#memory = memory;
    this.#view = memory.view;
    this.#headers = options.headers;
    this.#drops = options.drops;
    this.#slots = new PacketSlots(options.generated, Math.max(outside.mtu, inside.mtu));
    this.#handOver = options.slice?.handOver ?? null;
  }

  /** To be called before each packet: once both queues have been drained, the memory of what was made is free. */
  begin(): void {
    if (this.outside.queue.length === 0 && this.inside.queue.length === 0) this.#slots.clear();
  }

  /** Sends a packet by `link`, in fragments where it is too long and may be (RFC 4787 REQ-13a). */
  forward(link: NatLink, packet: number): void {
    const headers = this.#headers;
    if (headers.totalLength(packet) <= link.mtu) this.#push(link, packet);
    else if (headers.mayBeDivided(packet)) this.#fragment(link, packet);
    // A first fragment has been refused by `refuseTooBig()`, and about later ones there are no errors.
    else this.drop(DropReason.fragmentationNeeded, packet);
  }

  /**
   * Gives a packet to another worker, which forwards it.
   *
   * @param header offset of its virtio-net header, if it has one that says anything
   */
  handOver(worker: number, origin: Origin, packet: number, header: number = NO_HEADER): void {
    const length = this.#headers.totalLength(packet);
    if (this.#handOver?.put(worker, origin, header, packet, length)) return;
    this.#drops.add(DropReason.sendQueueFull, length);
  }

  /** Bytes of the longest packet that `restore()` takes. */
  get maxCopySize(): number {
    return this.#slots.maxSize;
  }

  /** A copy of `packet`, in memory that is good until the queues are drained; -1 when there is none left. */
  restore(packet: Uint8Array): number {
    const slot = this.#slots.take();
    if (slot >= 0) this.#memory.bytes.set(packet, slot);
    else this.#drops.add(DropReason.sendQueueFull, packet.length);
    return slot;
  }

  /** Memory for a packet that is made here, good until the queues are drained; -1 when there is none left. */
  room(): number {
    return this.#slots.take();
  }

  /** Sends a copy of a packet that is not too long for `link`. */
  forwardCopy(link: NatLink, packet: number, length: number): void {
    const slot = length > link.mtu ? -1 : this.#slots.take();
    if (slot < 0) {
      this.#drops.add(length > link.mtu ? DropReason.tooBig : DropReason.sendQueueFull, length);
      return;
    }
    this.#memory.bytes.copyWithin(slot, packet, packet + length);
    this.#push(link, slot);
  }

  drop(reason: DropReason, packet: number): void {
    this.#drops.add(reason, this.#headers.totalLength(packet));
  }

  /** Counts a packet that is no more than copies of its fragments, of so many bytes together. */
  dropCopy(reason: DropReason, bytes: number): void {
    this.#drops.add(reason, bytes);
  }

  // Refusals: the packet is dropped, and its sender, who is on link `to`, told.

  /**
   * Refuses a packet that `onward` does not take, and that may not be divided (RFC 4787 REQ-13).
   *
   * @param length bytes; of a super-packet, those of each packet that it stands for
   * @returns whether it was refused
   */
  refuseTooBig(packet: number, length: number, onward: NatLink, to: NatLink, now: number): boolean {
    if (length <= onward.mtu || this.#headers.mayBeDivided(packet)) return false;
    this.#answer(to, packet, RefusedAs.tooBig, onward.mtu, to.limiter, now);
    this.drop(DropReason.fragmentationNeeded, packet);
    return true;
  }

  /**
   * Refuses a packet that the path to a client does not take in one piece and that may not be divided, if its sender
   * may be told so now; else it goes on, in fragments outside the tunnel, so that a sender who never receives it is not
   * cut off.
   *
   * @param mtu bytes of that path
   * @returns whether it was refused
   */
  refuseForPath(packet: number, mtu: number, to: NatLink, now: number): boolean {
    if (this.#headers.mayBeDivided(packet)) return false;
    if (!this.#answer(to, packet, RefusedAs.tooBig, mtu, to.pathLimiter, now)) return false;
    this.drop(DropReason.fragmentationNeeded, packet);
    return true;
  }

  /**
   * Makes the error about a packet on its way out that `from` has turned out not to take, as if a router there had sent
   * it.
   *
   * @returns its offset; -1 where none may be sent
   */
  tooBigError(packet: number, from: NatLink, now: number): number {
    if (this.#headers.mayBeDivided(packet)) return -1;
    return this.#errorAbout(packet, RefusedAs.tooBig, from.mtu, from, from.limiter, now);
  }

  /** Refuses a packet whose time to live ends here. */
  refuseExpired(packet: number, to: NatLink, now: number): void {
    this.#answer(to, packet, RefusedAs.expired, 0, to.limiter, now);
    this.drop(DropReason.ttlExceeded, packet);
  }

  /** Refuses a packet of a protocol that is not carried. */
  refuseProtocol(packet: number, to: NatLink, now: number): void {
    this.#answer(to, packet, RefusedAs.protocol, 0, to.limiter, now);
    this.drop(DropReason.natUnsupportedProtocol, packet);
  }

  /** Refuses a packet for which there are no means left (RFC 5508 REQ-8). */
  refuseForQuota(packet: number, reason: DropReason, to: NatLink, now: number): void {
    this.#answer(to, packet, RefusedAs.prohibited, 0, to.limiter, now);
    this.drop(reason, packet);
  }

  /** Tells the sender of a packet, who is on link `to`, if it may be told; whether it was. */
  #answer(
    to: NatLink,
    packet: number,
    refusal: RefusedAs,
    mtu: number,
    limiter: IcmpErrorLimiter,
    now: number,
  ): boolean {
    const error = this.#errorAbout(packet, refusal, mtu, to, limiter, now);
    if (error < 0) return false;
    this.#push(to, error);
    return true;
  }

  /** Makes the error about a packet, from our address on a link. Returns its offset; -1 where none may be sent. */
  #errorAbout(
    packet: number,
    refusal: RefusedAs,
    mtu: number,
    { address }: NatLink,
    limiter: IcmpErrorLimiter,
    now: number,
  ): number {
    const headers = this.#headers;
    if (!headers.mayAnswer(packet) || !limiter.allow(headers.senderKey(packet), now)) return -1;
    const slot = this.#slots.take();
    if (slot >= 0) headers.writeError(slot, packet, refusal, mtu, address);
    return slot;
  }

  #fragment(link: NatLink, packet: number): void {
    const view = this.#view;
    const step = fragmentStep(view, packet, link.mtu);
    if (step === 0) {
      this.drop(DropReason.tooBig, packet);
      return;
    }
    const payloadSize = ipv4.totalLength(view, packet) - ipv4.headerSize(view, packet);
    for (let from = 0; from < payloadSize; from += step) {
      const slot = this.#slots.take();
      if (slot < 0) {
        this.drop(DropReason.sendQueueFull, packet);
        return;
      }
      writeFragment(this.#memory, slot, packet, from, step);
      this.#push(link, slot);
    }
  }

  #push(link: NatLink, packet: number): void {
    const length = this.#headers.totalLength(packet);
    if (!link.queue.push(packet, length)) this.#drops.add(DropReason.sendQueueFull, length);
  }
}
