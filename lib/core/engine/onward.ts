/** Onward: where packets go when it is known where: into the queue for the host, sealed for a peer, or outside. */
import type { AccessControl } from "../access/access_control.ts";
import type { Nat } from "../nat/nat.ts";
import type { Mapping } from "../nat/records.ts";
import type { PathAdvice } from "../routing/path_advice.ts";
import { limitSegments } from "../routing/segment_limit.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { PacketQueue } from "../wire/packet_queue.ts";
import type { PacketDevice } from "../wireguard/packet_peer.ts";
import type { PacketPeer } from "../wireguard/packet_peer.ts";
import type { Divider } from "./divider.ts";
import type { Shaping } from "./shaping.ts";

export interface OnwardOptions {
  readonly view: DataView;
  readonly device: PacketDevice;
  readonly shaping: Shaping;
  readonly divider: Divider;
  readonly hostQueue: PacketQueue;
  readonly advice: PathAdvice;
  /** Null where peers have no rules. */
  readonly access: AccessControl | null;
  readonly drops: DropCounters;
}

export class Onward {
  readonly #view: DataView;
  readonly #device: PacketDevice;
  readonly #shaping: Shaping;
  readonly #divider: Divider;
  readonly #hostQueue: PacketQueue;
  readonly #advice: PathAdvice;
  readonly #access: AccessControl | null;
  readonly #drops: DropCounters;

  constructor(options: OnwardOptions) {
    this.#view = options.view;
    this.#device = options.device;
    this.#shaping = options.shaping;
    this.#divider = options.divider;
    this.#hostQueue = options.hostQueue;
    this.#advice = options.advice;
    this.#access = options.access;
    this.#drops = options.drops;
  }

  /** Takes a packet of a peer's to this host, which may forward it. */
  toHost(offset: number, from: PacketPeer): void {
    limitSegments(this.#view, offset, from.mtu);
    this.#toHost(offset);
  }

  #toHost(offset: number): void {
    const length = ipv4.totalLength(this.#view, offset);
    if (!this.#hostQueue.push(offset, length)) this.#drops.add(DropReason.hostQueueFull, length);
  }

  /**
   * Sends the packet at `offset` to `peer`, as long as its header says; `from` is the peer that sent it, null the
   * host.
   */
  toPeer(peer: PacketPeer, offset: number, from: PacketPeer | null, now: number): void {
    const length = ipv4.totalLength(this.#view, offset);
    limitSegments(this.#view, offset, from === null ? peer.mtu : Math.min(peer.mtu, from.mtu));
    if (length <= peer.mtu) this.#shaping.send(peer, offset, length, now);
    else if (!this.refuse(offset, peer, from, now)) this.#divider.send(peer, offset, length, now);
  }

  /**
   * Refuses a packet that is too long for the path to `peer`, if its sender, another peer or the host, may be told so
   * now.
   */
  refuse(packet: number, peer: PacketPeer, from: PacketPeer | null, now: number): boolean {
    const length = this.#advice.refuse(packet, peer.mtu, now);
    if (length === 0) return false;
    this.#drops.add(DropReason.fragmentationNeeded, ipv4.totalLength(this.#view, packet));
    if (from === null) this.#toHost(this.#advice.offset);
    else this.#shaping.send(from, this.#advice.offset, length, now);
    return true;
  }

  /** Hands the packet at `offset`, of a peer's, to the NAT, and sends on what that has for clients then. */
  toOutside(peer: PacketPeer, offset: number, nat: Nat, now: number): void {
    // Nobody else writes it: packets of a flow come in runs, and each leaves as the one before it.
    const flow = nat.outbound(offset, now, peer.flow as Mapping | null);
    if (flow !== null && peer.flow !== flow) peer.flow = flow;
    this.toClients(nat, now);
  }

  /** Sends what the NAT has for clients: packets, fragments, ICMP errors. */
  toClients(nat: Nat, now: number): void {
    const { inside } = nat;
    for (let i = 0; i < inside.length; i++) {
      const offset = inside.offsets[i];
      const peer = this.#peerFor(offset);
      const reason = peer === null ? DropReason.noRoute : this.judge(peer, offset, nat, now);
      const length = inside.lengths[i];
      if (reason !== DropReason.none) this.#drops.add(reason, length);
      else if (length <= peer!.mtu) this.#shaping.send(peer!, offset, length, now);
      else this.#divider.send(peer!, offset, length, now);
    }
    inside.clear();
  }

  #peerFor(packet: number): PacketPeer | null {
    const view = this.#view;
    const { allowedIps, allowedIps6 } = this.#device;
    return ipv6.isIpv6(view, packet)
      ? allowedIps6.lookup(view, packet + ipv6.DESTINATION_ADDRESS_OFFSET)
      : allowedIps.lookup(ipv4.destinationAddress(view, packet) | 0);
  }

  /** Judges a packet from the host, or from outside by the NAT, for a peer by the rules of that peer. */
  judge(peer: PacketPeer, packet: number, nat: Nat | null, now: number): DropReason {
    const access = this.#access;
    return access === null ? DropReason.none : access.toPeer(peer, packet, nat, now);
  }
}
