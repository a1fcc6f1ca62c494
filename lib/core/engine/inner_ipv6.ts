/**
 * IPv6 inside: what from_host.ts and from_network.ts do with a packet, where it is one of IPv6 and the tunnel has an
 * IPv6 address. It has checks, a router and errors of its own; what is for outside is translated, or the host forwards
 * it.
 */
import type { AccessControl } from "../access/access_control.ts";
import type { Nat } from "../nat/nat.ts";
import type { Icmpv6Errors } from "../routing/icmpv6_errors.ts";
import type { Router6 } from "../routing/router6.ts";
import { limitSegments6 } from "../routing/segment_limit.ts";
import { RoutingVerdict } from "../routing/routing_verdict.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import { Ecn, takeOverEcn6 } from "../wire/ecn.ts";
import * as icmpv6 from "../wire/icmpv6.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { Memory } from "../wire/memory.ts";
import type { PacketQueue } from "../wire/packet_queue.ts";
import type { PacketDevice, PacketPeer } from "../wireguard/packet_peer.ts";
import { PacketDirection } from "../wireguard/packet_tap.ts";
import type { ForOutside } from "./for_outside.ts";
import type { Onward } from "./onward.ts";
import type { Shaping } from "./shaping.ts";
import type { SplitUnderWay } from "./split_under_way.ts";

export interface InnerIpv6Options {
  readonly memory: Memory;
  readonly device: PacketDevice;
  readonly router: Router6;
  readonly hostQueue: PacketQueue;
  readonly errors: Icmpv6Errors;
  readonly shaping: Shaping;
  readonly onward: Onward;
  /** Of IPv6; null where the host forwards what is for outside. */
  readonly nat: Nat | null;
  /** Takes what is for outside where another worker translates; null where none does. */
  readonly forOutside: ForOutside | null;
  /** Of super-packets from the TUN. */
  readonly split: SplitUnderWay;
  /** Null where peers have no rules. */
  readonly access: AccessControl | null;
  readonly drops: DropCounters;
}

export class InnerIpv6 {
  readonly #view: DataView;
  readonly #device: PacketDevice;
  readonly #router: Router6;
  readonly #hostQueue: PacketQueue;
  readonly #errors: Icmpv6Errors;
  readonly #shaping: Shaping;
  readonly #onward: Onward;
  readonly #nat: Nat | null;
  readonly #forOutside: ForOutside | null;
  readonly #split: SplitUnderWay;
  readonly #access: AccessControl | null;
  readonly #drops: DropCounters;

  constructor(options: InnerIpv6Options) {
    this.#view = options.memory.view;
    this.#device = options.device;
    this.#router = options.router;
    this.#hostQueue = options.hostQueue;
    this.#errors = options.errors;
    this.#shaping = options.shaping;
    this.#onward = options.onward;
    this.#nat = options.nat;
    this.#forOutside = options.forOutside;
    this.#split = options.split;
    this.#access = options.access;
    this.#drops = options.drops;
  }

  // From this host.

  /** Takes a packet of this host's, whose checksum is complete. */
  takePacket(packet: number, length: number, now: number): DropReason {
    const reason = ipv6.checkIpv6(this.#view, packet, length);
    if (reason !== DropReason.none) return reason;
    const peer = this.#router.fromHost(this.#view, packet);
    if (peer === null) return this.#withoutRoute(packet, now);
    const denied = this.#access === null ? 0 : this.#access.toPeer(peer, packet, null, now);
    if (denied !== DropReason.none) return denied;
    this.#toPeer(peer, packet, null, now);
    return DropReason.none;
  }

  /** Takes a super-packet of this host's. */
  takeMerged(header: number, packet: number, length: number, now: number): DropReason {
    const reason = ipv6.checkIpv6(this.#view, packet, length);
    if (reason !== DropReason.none) return reason;
    const peer = this.#router.fromHost(this.#view, packet);
    if (peer === null) return this.#withoutRoute(packet, now);
    const denied = this.#access === null ? 0 : this.#access.toPeer(peer, packet, null, now);
    if (denied !== DropReason.none) return denied;
    const split = this.#split;
    const splitReason = split.begin(header, packet, ipv6.totalLength(this.#view, packet));
    if (splitReason !== DropReason.none) return splitReason;
    if (split.segmentLength > mtuOf(peer) && this.#refuse(packet, peer, null, now)) {
      split.abandon();
    } else split.send(peer, now);
    return DropReason.none;
  }

  #withoutRoute(packet: number, now: number): DropReason {
    this.#answer(packet, icmpv6.CODE_NO_ROUTE, null, now);
    return DropReason.noRoute;
  }

  // From a peer.

  /** Takes a packet that has been decrypted: `length` bytes at `offset`, padding included. */
  takeFrom(
    peer: PacketPeer,
    offset: number,
    length: number,
    outerEcn: number,
    now: number,
  ): void {
    const reason = this.#judge(peer, offset, length, outerEcn);
    if (reason !== DropReason.none) {
      this.#drops.add(reason, length);
      return;
    }
    const totalLength = ipv6.totalLength(this.#view, offset);
    if (this.#shaping.admits(peer, offset, totalLength, now)) {
      this.goOn(peer, offset, totalLength, now);
    }
  }

  /** Takes a packet of a peer's that is within its rate, `length` bytes as its header says. */
  goOn(peer: PacketPeer, offset: number, length: number, now: number): void {
    const verdict = this.#router.fromPeer(peer, this.#view, offset);
    if (this.#forOutside !== null && verdict === RoutingVerdict.outside) {
      this.#forOutside.put(peer, offset, length);
      return;
    }
    const { tap } = this.#device;
    if (tap !== null) tap.take(peer, PacketDirection.inbound, offset, length);
    if (!this.#device.handAnswer(peer, offset, length, now)) {
      this.#route(peer, offset, length, verdict, now);
    }
  }

  /** Takes a packet to where the router says. */
  #route(peer: PacketPeer, offset: number, length: number, verdict: number, now: number): void {
    const to = verdict > RoutingVerdict.host && verdict < RoutingVerdict.outside
      ? this.#device.peerAt(verdict)
      : null;
    const reason = verdict < 0 ? -verdict as DropReason : this.#allowed(peer, to, offset, now);
    if (reason !== DropReason.none) {
      this.#refuseTo(peer, reason, offset, length, now);
      return;
    }
    const { meter } = this.#shaping;
    if (meter !== null) meter.count(peer, offset, length, now);
    if (to !== null) this.#forward(to, offset, peer, now);
    else if (verdict === RoutingVerdict.host) this.#toHost(offset, peer);
    else this.#toOutside(peer, offset, length, now);
  }

  /** Drops a packet of a peer's that goes nowhere, and tells the peer. */
  #refuseTo(
    peer: PacketPeer,
    reason: DropReason,
    packet: number,
    length: number,
    now: number,
  ): void {
    this.#answer(packet, codeOf(reason), peer, now);
    this.#drops.add(reason, length);
  }

  /**
   * Hands a packet to the NAT. The gateway's address outside leads to other clients by it; to services of the gateway's
   * own, no more than any other address of its outside.
   */
  #toOutside(peer: PacketPeer, offset: number, length: number, now: number): void {
    const nat = this.#nat!;
    if (nat.isForExternal(offset) && !nat.takeExternal(offset, now)) {
      this.#refuseTo(peer, DropReason.privateDestination, offset, length, now);
      return;
    }
    this.#onward.toOutside(peer, offset, nat, now);
  }

  #allowed(peer: PacketPeer, to: PacketPeer | null, packet: number, now: number): DropReason {
    const access = this.#access;
    return access === null ? DropReason.none : access.fromPeer(peer, to, packet, now);
  }

  #judge(
    peer: PacketPeer,
    offset: number,
    length: number,
    outerEcn: number,
  ): DropReason {
    const view = this.#view;
    const reason = ipv6.checkIpv6(view, offset, length);
    if (reason !== DropReason.none) return reason;
    if (outerEcn !== Ecn.notEct && !takeOverEcn6(view, offset, outerEcn)) {
      return DropReason.congestionMark;
    }
    // Cryptokey routing, as with IPv4.
    const source = offset + ipv6.SOURCE_ADDRESS_OFFSET;
    if (this.#device.allowedIps6.lookup(view, source) !== peer) return DropReason.spoofedSource;
    return this.#router.isForeignError(peer, view, offset)
      ? DropReason.foreignIcmpError
      : DropReason.none;
  }

  /** Takes a packet one hop on, from one peer to another. */
  #forward(peer: PacketPeer, packet: number, from: PacketPeer, now: number): void {
    const hopLimit = ipv6.hopLimit(this.#view, packet);
    if (hopLimit <= 1) {
      const length = this.#errors.answer(packet, icmpv6.TYPE_TIME_EXCEEDED, 0, from.index, now);
      if (length > 0) this.#shaping.send(from, this.#errors.offset, length, now);
      this.#drops.add(DropReason.ttlExceeded, ipv6.totalLength(this.#view, packet));
      return;
    }
    this.#view.setUint8(packet + ipv6.HOP_LIMIT_OFFSET, hopLimit - 1);
    this.#toPeer(peer, packet, from, now);
  }

  // From another gateway.

  /** Takes a packet for a peer, as `FromGateway.take()` does; the first gateway has taken it the hop on. */
  takeFromGateway(packet: number, length: number, gateway: number, now: number): DropReason {
    const view = this.#view;
    const reason = ipv6.checkIpv6(view, packet, length);
    if (reason !== DropReason.none) return reason;
    const { allowedIps6 } = this.#device;
    const peer = allowedIps6.lookup(view, packet + ipv6.DESTINATION_ADDRESS_OFFSET);
    if (peer === null) return DropReason.noRoute;
    if (this.#device.isElsewhere(peer, now)) return DropReason.peerElsewhere;
    const from = allowedIps6.lookup(view, packet + ipv6.SOURCE_ADDRESS_OFFSET);
    const verdict = from === null ? 0 : this.#router.fromPeer(from, view, packet);
    if (verdict < 0) return -verdict as DropReason;
    const denied = from === null
      ? this.#onward.judge(peer, packet, null, now)
      : this.#allowed(from, peer, packet, now);
    if (denied !== DropReason.none) return denied;
    if (from === null) this.#device.noteHanded(peer, packet, gateway, now);
    this.#toPeer(peer, packet, from, now);
    return DropReason.none;
  }

  /** Takes an answer of a peer's, as `FromNetwork.takeAnswer()` does. */
  takeAnswer(packet: number, length: number, now: number): DropReason {
    const view = this.#view;
    const reason = ipv6.checkIpv6(view, packet, length);
    if (reason !== DropReason.none) return reason;
    const peer = this.#device.allowedIps6.lookup(view, packet + ipv6.SOURCE_ADDRESS_OFFSET);
    if (peer === null) return DropReason.spoofedSource;
    const verdict = this.#router.fromPeer(peer, view, packet);
    this.#route(peer, packet, ipv6.totalLength(view, packet), verdict, now);
    return DropReason.none;
  }

  // Onward.

  /** Takes a packet to this host, of a peer's or an error of our own: that is no segment. */
  #toHost(offset: number, from: PacketPeer | null): void {
    const length = ipv6.totalLength(this.#view, offset);
    if (from !== null) limitSegments6(this.#view, offset, from.mtu);
    if (!this.#hostQueue.push(offset, length)) this.#drops.add(DropReason.hostQueueFull, length);
  }

  /** Seals a packet for `peer`; `from` is the peer that sent it, null the host. */
  #toPeer(peer: PacketPeer, packet: number, from: PacketPeer | null, now: number): void {
    const length = ipv6.totalLength(this.#view, packet);
    limitSegments6(this.#view, packet, from === null ? peer.mtu : Math.min(peer.mtu, from.mtu));
    if (length > mtuOf(peer) && this.#refuse(packet, peer, from, now)) return;
    this.#shaping.send(peer, packet, length, now);
  }

  /** Refuses a packet that is too long for the path to `peer`, if its sender may be told so now. */
  #refuse(packet: number, peer: PacketPeer, from: PacketPeer | null, now: number): boolean {
    const length = this.#errors.refuse(packet, mtuOf(peer), now);
    if (length === 0) return false;
    this.#drops.add(DropReason.fragmentationNeeded, ipv6.totalLength(this.#view, packet));
    this.#sendError(length, from, now);
    return true;
  }

  /** Tells the sender of a packet that it is dropped as it goes nowhere. */
  #answer(packet: number, code: number, from: PacketPeer | null, now: number): void {
    const type = icmpv6.TYPE_DESTINATION_UNREACHABLE;
    const length = this.#errors.answer(packet, type, code, from?.index ?? 0, now);
    if (length > 0) this.#sendError(length, from, now);
  }

  #sendError(length: number, to: PacketPeer | null, now: number): void {
    if (to === null) this.#toHost(this.#errors.offset, null);
    else this.#shaping.send(to, this.#errors.offset, length, now);
  }
}

/** Of the error about a packet from a peer that goes nowhere (RFC 4443 section 3.1). */
function codeOf(reason: DropReason): number {
  return reason === DropReason.noRoute || reason === DropReason.noEgress
    ? icmpv6.CODE_NO_ROUTE
    : icmpv6.CODE_PROHIBITED;
}

/**
 * Bytes that go to `peer` in one packet. Where the path takes less than every link of IPv6 has to (RFC 8200 section 5),
 * routers of IPv4 fragment the datagram outside; over IPv6 it is lost, unless the socket believes ICMPv6.
 */
function mtuOf(peer: PacketPeer): number {
  return peer.mtu < ipv6.MIN_LINK_MTU ? ipv6.MIN_LINK_MTU : peer.mtu;
}
