/**
 * From another gateway of the fleet: packets for peers that have their session here. The gateway that a packet came to
 * first, from a peer, its host or outside, has judged it, and so does this one, by the same rules: its copy of them may
 * be newer, and what it lets pass it takes note of, so that answers of the peer pass here.
 *
 * What is for a peer that has left meanwhile is dropped: no packet is handed over twice, and none goes in circles.
 */
import type { AccessControl } from "../access/access_control.ts";
import type { Router } from "../routing/router.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import * as ipv4 from "../wire/ipv4.ts";
import type { Memory } from "../wire/memory.ts";
import type { PacketDevice, PacketPeer } from "../wireguard/packet_peer.ts";
import type { InnerIpv6 } from "./inner_ipv6.ts";
import type { Onward } from "./onward.ts";

/** A packet that gateways hand each other. */
export interface HandedPacket {
  offset: number;
  length: number;
  isAnswer: boolean;
}

export interface FromGatewayOptions {
  readonly memory: Memory;
  readonly device: PacketDevice;
  readonly router: Router;
  readonly onward: Onward;
  /** Null where the tunnel carries no IPv6. */
  readonly ipv6: InnerIpv6 | null;
  /** Null where peers have no rules. */
  readonly access: AccessControl | null;
  readonly drops: DropCounters;
}

export class FromGateway {
  readonly #options: FromGatewayOptions;

  constructor(options: FromGatewayOptions) {
    this.#options = options;
  }

  /** Takes a packet of `length` bytes from this gateway. Up to 15 bytes behind it may be overwritten with padding. */
  take(packet: number, length: number, gateway: number, now: number): void {
    this.#options.drops.add(this.#take(packet, length, gateway, now), length);
  }

  #take(packet: number, length: number, gateway: number, now: number): DropReason {
    const { memory, device, ipv6, onward } = this.#options;
    const reason = ipv4.checkIpv4(memory, packet, length);
    if (reason === DropReason.ipv6 && ipv6 !== null) {
      return ipv6.takeFromGateway(packet, length, gateway, now);
    }
    if (reason !== DropReason.none) return reason;
    const destination = ipv4.destinationAddress(memory.view, packet) | 0;
    const peer = device.allowedIps.lookup(destination);
    if (peer === null) return DropReason.noRoute;
    if (device.isElsewhere(peer, now)) return DropReason.peerElsewhere;
    const from = device.allowedIps.lookup(ipv4.sourceAddress(memory.view, packet) | 0);
    const denied = from === null
      ? onward.judge(peer, packet, null, now)
      : this.#judge(from, peer, packet, destination, now);
    if (denied !== DropReason.none) return denied;
    if (from === null) device.noteHanded(peer, packet, gateway, now);
    onward.toPeer(peer, packet, from, now);
    return DropReason.none;
  }

  /** Judges a packet from one peer to another. */
  #judge(
    from: PacketPeer,
    to: PacketPeer,
    packet: number,
    destination: number,
    now: number,
  ): DropReason {
    const { access, router } = this.#options;
    const verdict = router.fromPeer(from, destination);
    if (verdict < 0) return -verdict as DropReason;
    return access === null ? DropReason.none : access.fromPeer(from, to, packet, now);
  }
}
