/**
 * Shaping: packets of peers with a rate limit, in both directions, wait here until they may go on; those of peers that
 * have used up their quota are dropped, all others pass.
 *
 * Where there is a session or none is of no concern: what a peer is sent is bounded before it is sealed or staged, and
 * what it sends when it has been opened and its source is known.
 */
import type { FlowMeter } from "../flows/flow_meter.ts";
import { Shaper, type ShaperRegion } from "../limits/shaper.ts";
import type { RateLimit } from "../limits/rate_limit.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import { Ecn, ecnOf, takeOverEcn, takeOverEcn6 } from "../wire/ecn.ts";
import { isIpv6 } from "../wire/ipv6.ts";
import type { Memory } from "../wire/memory.ts";
import type { PacketDevice, PacketPeer } from "../wireguard/packet_peer.ts";

/** Packets let go at a time: what they lead to is sent before there are more. */
export const RELEASED = 32;
/** The longest packet that waits at any MTU: a peer's own may be that of its link. */
const LEAST_SLOT = 1_536;
/** Bytes behind a packet that its padding may overwrite. */
const PADDING = 16;
/** The `size` bytes at `offset` as slots in which packets wait, at this MTU. */
export function shapingRegion(offset: number, mtu: number, size: number): ShaperRegion {
  const slotSize = (Math.max(mtu + PADDING, LEAST_SLOT) + 63) & -64;
  return { offset, slots: Math.floor(size / slotSize), slotSize };
}

export interface ShapingOptions {
  readonly memory: Memory;
  readonly device: PacketDevice;
  readonly drops: DropCounters;
  /** Where packets wait. */
  readonly shaping: ShaperRegion;
  /** Takes a packet from a peer that may go on. */
  readonly onRelease: (peer: PacketPeer, offset: number, length: number, now: number) => void;
}

export class Shaping {
  /** Counts by flow what passes, in both directions; null where nobody has asked for it. */
  meter: FlowMeter | null = null;
  readonly #device: PacketDevice;
  readonly #drops: DropCounters;
  readonly #onRelease: ShapingOptions["onRelease"];
  readonly #shaper: Shaper<PacketPeer>;

  constructor({ memory, device, drops, shaping, onRelease }: ShapingOptions) {
    this.#device = device;
    this.#drops = drops;
    this.#onRelease = onRelease;
    this.#shaper = new Shaper({
      bytes: memory.bytes,
      region: shaping,
      release: (limit, offset, length, now) => this.#release(limit, offset, length, now),
      // RFC 3168, section 5: what says of itself that it answers to a mark is marked.
      mark: (offset) =>
        ecnOf(memory.view, offset) !== Ecn.notEct &&
        (isIpv6(memory.view, offset)
          ? takeOverEcn6(memory.view, offset, Ecn.ce)
          : takeOverEcn(memory.view, offset, Ecn.ce)),
      drop: (limit, length, now) => this.#drop(limit, length, now),
    });
  }

  /** Whether a packet from a peer may go on now; else it is kept for its time, or dropped. */
  admits(peer: PacketPeer, offset: number, length: number, now: number): boolean {
    const { fromLimit } = peer;
    if (this.#isSpent(peer, length)) return false;
    return fromLimit === null || this.#shaper.take(fromLimit, offset, length, now);
  }

  /** Sends a packet to a peer, now or in its time. */
  send(peer: PacketPeer, offset: number, length: number, now: number): void {
    const { toLimit } = peer;
    if (this.#isSpent(peer, length)) return;
    if (toLimit !== null && !this.#shaper.take(toLimit, offset, length, now)) return;
    this.#send(peer, offset, length, now);
  }

  #send(peer: PacketPeer, offset: number, length: number, now: number): void {
    const { meter } = this;
    if (meter !== null) meter.count(peer, offset, length, now);
    this.#device.send(peer, offset, length, now);
  }

  #isSpent({ isSpent }: PacketPeer, length: number): boolean {
    if (isSpent) this.#drops.add(DropReason.quotaReached, length);
    return isSpent;
  }

  #drop({ owner }: RateLimit<PacketPeer>, length: number, now: number): void {
    this.#device.noteLimited(owner, now);
    this.#drops.add(DropReason.rateLimited, length);
  }

  /** When `release()` has something to do, monotonic ms; `Infinity` for never. */
  get at(): number {
    return this.#shaper.at;
  }

  /**
   * Lets some packets go on whose time has come. They lie where they are until `recycle()`.
   *
   * @returns whether there may be more
   */
  release(now: number): boolean {
    return this.#shaper.release(now, RELEASED);
  }

  #release(
    { owner, isInbound }: RateLimit<PacketPeer>,
    offset: number,
    length: number,
    now: number,
  ) {
    if (owner.isRemoved) this.#drops.add(DropReason.noRoute, length);
    else if (this.#isSpent(owner, length)) return;
    else if (isInbound) this.#onRelease(owner, offset, length, now);
    else this.#send(owner, offset, length, now);
  }

  /** What has been let go is on its way. */
  recycle(): void {
    this.#shaper.recycle();
  }
}
