/**
 * From the host: what is read from the TUN, a packet or a super-packet that is to be split, is checked, and sealed for
 * the peer that the router finds.
 */
import type { InboundFlows } from "../access/inbound_flows.ts";
import { completeChecksum, Splitter } from "../offload/splitter.ts";
import { VNET_HEADER_SIZE } from "../offload/virtio_net_header.ts";
import type { Router } from "../routing/router.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import * as ipv4 from "../wire/ipv4.ts";
import type { Memory } from "../wire/memory.ts";
import type { PacketPeer } from "../wireguard/packet_peer.ts";
import type { InnerIpv6 } from "./inner_ipv6.ts";
import type { Onward } from "./onward.ts";
import type { SplitUnderWay } from "./split_under_way.ts";

export interface FromHostOptions {
  readonly memory: Memory;
  readonly router: Router;
  readonly inboundFlows: InboundFlows;
  readonly onward: Onward;
  /** Null where the tunnel carries no IPv6. */
  readonly ipv6: InnerIpv6 | null;
  readonly split: SplitUnderWay;
  readonly drops: DropCounters;
}

export class FromHost {
  /** A super-packet from the TUN. */
  readonly split: SplitUnderWay;
  readonly #memory: Memory;
  readonly #view: DataView;
  readonly #router: Router;
  readonly #inboundFlows: InboundFlows;
  readonly #onward: Onward;
  readonly #ipv6: InnerIpv6 | null;
  readonly #drops: DropCounters;

  constructor(options: FromHostOptions) {
    this.split = options.split;
    this.#memory = options.memory;
    this.#view = options.memory.view;
    this.#router = options.router;
    this.#inboundFlows = options.inboundFlows;
    this.#onward = options.onward;
    this.#ipv6 = options.ipv6;
    this.#drops = options.drops;
  }

  /**
   * Takes one read from the TUN: a virtio-net header and a packet, or a super-packet that is to be split. Up to 15
   * bytes behind it may be overwritten with padding.
   *
   * @param offset of the virtio-net header
   * @param length bytes read, the header included
   * @param now monotonic ms
   */
  takeRead(offset: number, length: number, now: number): void {
    const packet = offset + VNET_HEADER_SIZE;
    const packetLength = length - VNET_HEADER_SIZE;
    const reason = packetLength < 0
      ? DropReason.badTunRead
      : Splitter.isSuperPacket(this.#view, offset)
      ? this.#takeMerged(offset, packet, packetLength, now)
      : this.#takePacket(offset, packet, packetLength, now);
    this.#drops.add(reason, packetLength < 0 ? length : packetLength);
  }

  #takePacket(header: number, packet: number, length: number, now: number): DropReason {
    const checksum = completeChecksum(this.#view, header, packet, length);
    if (checksum !== DropReason.none) return checksum;
    const reason = ipv4.checkIpv4(this.#memory, packet, length);
    if (reason !== DropReason.none) {
      return reason === DropReason.ipv6 && this.#ipv6 !== null
        ? this.#ipv6.takePacket(packet, length, now)
        : reason;
    }
    const peer = this.#peerFor(packet);
    if (peer === null) return DropReason.noRoute;
    const denied = this.#onward.judge(peer, packet, null, now);
    if (denied !== DropReason.none) return denied;
    if (this.#router.isForwardedByHost) this.#noteInbound(packet, now);
    this.#onward.toPeer(peer, packet, null, now);
    return DropReason.none;
  }

  #takeMerged(header: number, packet: number, length: number, now: number): DropReason {
    const reason = ipv4.checkIpv4(this.#memory, packet, length);
    if (reason !== DropReason.none) {
      return reason === DropReason.ipv6 && this.#ipv6 !== null
        ? this.#ipv6.takeMerged(header, packet, length, now)
        : reason;
    }
    const peer = this.#peerFor(packet);
    if (peer === null) return DropReason.noRoute;
    const denied = this.#onward.judge(peer, packet, null, now);
    if (denied !== DropReason.none) return denied;
    const { split } = this;
    const splitReason = split.begin(header, packet, ipv4.totalLength(this.#view, packet));
    if (splitReason !== DropReason.none) return splitReason;
    if (this.#router.isForwardedByHost) this.#noteInbound(packet, now);
    if (split.segmentLength > peer.mtu && this.#onward.refuse(packet, peer, null, now)) {
      split.abandon();
    } else split.send(peer, now);
    return DropReason.none;
  }

  #peerFor(packet: number): PacketPeer | null {
    return this.#router.fromHost(ipv4.destinationAddress(this.#view, packet) | 0);
  }

  /**
   * Takes note of a packet that has come from outside for a client, if its sender is one whom clients may only answer.
   */
  #noteInbound(packet: number, now: number): void {
    const source = ipv4.sourceAddress(this.#view, packet) | 0;
    if (this.#router.refuses(source)) this.#inboundFlows.note(packet, now);
  }
}
