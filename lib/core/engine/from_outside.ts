/**
 * From outside: a captured packet, perhaps one of many that were merged, is checked, translated by the NAT of its
 * family, and sealed for its client; or handed over to the worker that has that client.
 */
import { MergedTo } from "../nat/inbound.ts";
import type { Nat } from "../nat/nat.ts";
import { Origin } from "../nat/slices/hand_over.ts";
import { completeChecksum, Splitter } from "../offload/splitter.ts";
import { VNET_HEADER_SIZE } from "../offload/virtio_net_header.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import type { Memory } from "../wire/memory.ts";
import type { Onward } from "./onward.ts";
import type { OutsideFamily } from "./outside_family.ts";
import type { SplitUnderWay } from "./split_under_way.ts";

/** Packets for outside. */
const MANY = 256;

export interface FromOutsideOptions {
  readonly memory: Memory;
  readonly family: OutsideFamily;
  readonly onward: Onward;
  readonly split: SplitUnderWay;
  readonly nat: Nat;
  readonly drops: DropCounters;
}

export class FromOutside {
  /** A super-packet from outside. */
  readonly split: SplitUnderWay;
  readonly #view: DataView;
  readonly #family: OutsideFamily;
  readonly #onward: Onward;
  readonly #nat: Nat;
  readonly #drops: DropCounters;

  constructor(options: FromOutsideOptions) {
    this.split = options.split;
    this.#view = options.memory.view;
    this.#family = options.family;
    this.#onward = options.onward;
    this.#nat = options.nat;
    this.#drops = options.drops;
  }

  /**
   * Takes one packet captured outside: a virtio-net header and a packet, perhaps one of many that the kernel merged.
   *
   * @param offset of the virtio-net header
   * @param length bytes, the header included; -1 for a packet that the kernel cut short
   * @param now monotonic ms
   * @param origin whether another worker has handed it over
   */
  takeCaptured(
    offset: number,
    length: number,
    now: number,
    origin: Origin = Origin.outside,
  ): void {
    const packet = offset + VNET_HEADER_SIZE;
    const packetLength = length - VNET_HEADER_SIZE;
    if (packetLength < 0) {
      this.#drops.add(DropReason.truncatedDatagram);
      return;
    }
    const isMerged = Splitter.isSuperPacket(this.#view, offset);
    // Who handed it over has checked it; a client's has the external address at either end by now.
    const reason = origin === Origin.outside
      ? this.#check(offset, packet, packetLength, isMerged)
      : DropReason.none;
    if (reason !== DropReason.none) {
      this.#drops.add(reason, packetLength);
      return;
    }
    if (isMerged) this.#takeMerged(offset, packet, now, origin);
    else this.#nat.inbound(packet, now, origin);
    const { inside } = this.#nat;
    for (let i = 0; i < inside.length; i++) this.#family.note(inside.offsets[i], now);
    this.#onward.toClients(this.#nat, now);
  }

  #check(header: number, packet: number, length: number, isMerged: boolean): DropReason {
    const reason = this.#family.check(packet, length);
    if (reason !== DropReason.none) return reason;
    if (!isMerged) {
      // The link pads short packets: only the packet's own bytes count.
      const totalLength = this.#family.totalLength(packet);
      const checksum = completeChecksum(this.#view, header, packet, totalLength);
      if (checksum !== DropReason.none) return checksum;
    }
    // RFC 2827.
    return this.#family.isFromInside(packet) ? DropReason.spoofedSource : DropReason.none;
  }

  #takeMerged(header: number, packet: number, now: number, origin: Origin): void {
    const { split } = this;
    if (origin === Origin.outside && this.#nat.passMerged(packet, header)) return;
    const totalLength = this.#family.totalLength(packet);
    const reason = split.begin(header, packet, totalLength);
    if (reason !== DropReason.none) {
      this.#drops.add(reason, totalLength);
      return;
    }
    const to = this.#nat.inboundMerged(packet, split.segmentLength, now);
    if (to === MergedTo.nowhere) {
      split.abandon();
      return;
    }
    if (to === MergedTo.outside) {
      split.begin(header, packet, totalLength);
      split.sendBy(this.#nat);
      return;
    }
    this.#family.note(packet, now);
    const peer = this.#family.peerFor(packet);
    const denied = peer === null
      ? DropReason.noRoute
      : this.#onward.judge(peer, packet, this.#nat, now);
    if (denied !== DropReason.none) {
      split.abandon();
      this.#drops.add(denied, totalLength);
      return;
    }
    // Once more: the NAT has rewritten the headers that the splitter copied.
    split.begin(header, packet, totalLength);
    split.send(peer!, now);
  }

  /** Whether what the NAT has for outside is to leave before more is taken: of copies, there is room for hundreds. */
  get hasManyOutside(): boolean {
    return this.#nat.outside.length > MANY;
  }

  /**
   * Sends clients what the NAT has for them since its packets for outside were sent: that some of them were too long.
   */
  sendRefusals(now: number): void {
    if (this.#nat.inside.length > 0) this.#onward.toClients(this.#nat, now);
  }
}
