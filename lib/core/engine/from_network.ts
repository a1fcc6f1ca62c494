/**
 * From the network: a message is taken apart (UDP_GRO), each datagram authenticated and decrypted by the device, the
 * packet in it checked, and sent on to where the router says: into the TUN, to another peer, or outside through the
 * NAT.
 */
import type { AccessControl } from "../access/access_control.ts";
import type { InboundFlows } from "../access/inbound_flows.ts";
import type { Prohibition } from "../access/prohibition.ts";
import type { Nat } from "../nat/nat.ts";
import type { Router } from "../routing/router.ts";
import { RoutingVerdict } from "../routing/routing_verdict.ts";
import { NO_PATH } from "../transport/paths.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import { Ecn, takeOverEcn } from "../wire/ecn.ts";
import * as ipv4 from "../wire/ipv4.ts";
import type { Memory } from "../wire/memory.ts";
import { isTransportMessage } from "../wire/messages.ts";
import type { PacketDevice, PacketPeer } from "../wireguard/packet_peer.ts";
import { PacketDirection } from "../wireguard/packet_tap.ts";
import { receivedLength, receivedOffset, receivedPeer } from "../wireguard/received.ts";
import type { ForOutside } from "./for_outside.ts";
import type { InnerIpv6 } from "./inner_ipv6.ts";
import type { Onward } from "./onward.ts";
import type { ReceivedMessages } from "./ports.ts";
import type { Shaping } from "./shaping.ts";

export interface FromNetworkOptions {
  readonly memory: Memory;
  readonly device: PacketDevice;
  readonly router: Router;
  readonly inboundFlows: InboundFlows;
  readonly onward: Onward;
  readonly shaping: Shaping;
  /** Null where the tunnel carries no IPv6. */
  readonly ipv6: InnerIpv6 | null;
  /** Null where nothing is translated here. */
  readonly nat: Nat | null;
  /** Takes what is for outside where another worker translates; null where none does. */
  readonly forOutside: ForOutside | null;
  /** Null where peers have no rules. */
  readonly access: AccessControl | null;
  readonly prohibition: Prohibition;
  readonly drops: DropCounters;
}

export class FromNetwork {
  readonly #memory: Memory;
  readonly #view: DataView;
  readonly #device: PacketDevice;
  readonly #router: Router;
  readonly #inboundFlows: InboundFlows;
  readonly #onward: Onward;
  readonly #shaping: Shaping;
  readonly #ipv6: InnerIpv6 | null;
  readonly #nat: Nat | null;
  readonly #forOutside: ForOutside | null;
  readonly #access: AccessControl | null;
  readonly #prohibition: Prohibition;
  readonly #drops: DropCounters;

  constructor(options: FromNetworkOptions) {
    this.#memory = options.memory;
    this.#view = options.memory.view;
    this.#device = options.device;
    this.#router = options.router;
    this.#inboundFlows = options.inboundFlows;
    this.#onward = options.onward;
    this.#shaping = options.shaping;
    this.#ipv6 = options.ipv6;
    this.#nat = options.nat;
    this.#forOutside = options.forOutside;
    this.#access = options.access;
    this.#prohibition = options.prohibition;
    this.#drops = options.drops;
  }

  /**
   * Takes one message: a datagram, or several equal ones that the kernel merged, the last perhaps shorter.
   *
   * @param index in `messages`
   * @param now monotonic ms
   * @returns the index of the peer that the last authentic datagram of them was from; 0 where none was
   */
  takeMessage(messages: ReceivedMessages, index: number, now: number): number {
    const length = messages.lengths[index];
    if (length < 0) {
      this.#drops.add(DropReason.truncatedDatagram);
      return 0;
    }
    const path = messages.pathIds[index];
    if (path === NO_PATH) {
      // Taken, it would move its peer to nowhere, and a copy from port 0 of each packet would be the first to arrive.
      this.#drops.add(DropReason.noPath, length);
      return 0;
    }
    const ecn = messages.ecns[index];
    const segmentSize = messages.segmentSizes[index];
    const size = segmentSize > 0 ? segmentSize : length;
    const at = messages.offsets[index];
    return isTransportMessage(this.#view, at, size)
      ? this.#takeTransport(at, at + length, size, path, ecn, now)
      : this.#takeOthers(at, at + length, size, path, ecn, now);
  }

  /**
   * Takes the datagrams from `at` to `end`, of `size` bytes each but for the last: transport messages. Handshakes have
   * a function of their own, as V8 builds into this one what it has seen it call most, and 1,000 clients may connect
   * before one of them sends anything.
   */
  #takeTransport(
    at: number,
    end: number,
    size: number,
    path: number,
    ecn: number,
    now: number,
  ): number {
    let peerIndex = 0;
    do {
      const length = end - at < size ? end - at : size;
      if (!isTransportMessage(this.#view, at, length)) {
        return this.#takeOthers(at, end, size, path, ecn, now) || peerIndex;
      }
      const result = this.#device.receiveTransport(at, length, path, now);
      if (result > 0) peerIndex = this.#takeResult(result, at, ecn, now);
      at += length;
    } while (at < end);
    return peerIndex;
  }

  /** The same where the first of them is none: the kernel merges what is as long, of any kind. */
  #takeOthers(
    at: number,
    end: number,
    size: number,
    path: number,
    ecn: number,
    now: number,
  ): number {
    let peerIndex = 0;
    do {
      const length = end - at < size ? end - at : size;
      const result = this.#device.receive(at, length, path, now);
      if (result > 0) peerIndex = this.#takeResult(result, at, ecn, now);
      at += length;
    } while (at < end);
    return peerIndex;
  }

  /** Takes what came of an authentic datagram at `at`, see received.ts. Returns the index of its peer. */
  #takeResult(result: number, at: number, ecn: number, now: number): number {
    const peerIndex = receivedPeer(result);
    const length = receivedLength(result);
    if (length > 0) this.#takePacket(peerIndex, receivedOffset(at), length, ecn, now);
    return peerIndex;
  }

  #takePacket(
    peerIndex: number,
    offset: number,
    length: number,
    outerEcn: number,
    now: number,
  ): void {
    const reason = ipv4.checkIpv4(this.#memory, offset, length);
    if (reason !== DropReason.none) {
      if (reason !== DropReason.ipv6 || this.#ipv6 === null) this.#drops.add(reason, length);
      else this.#ipv6.takeFrom(this.#device.peerAt(peerIndex)!, offset, length, outerEcn, now);
      return;
    }
    if (outerEcn !== Ecn.notEct && !takeOverEcn(this.#view, offset, outerEcn)) {
      this.#drops.add(DropReason.congestionMark, length);
      return;
    }
    const peer = this.#device.peerAt(peerIndex)!;
    // Addresses go from function to function as int32: as uint32, those above 2^31 would be objects on the heap.
    const source = ipv4.sourceAddress(this.#view, offset) | 0;
    // Cryptokey routing: without this, any peer could speak for any other, or for the gateway itself.
    if (!this.#owns(peer, source)) {
      this.#drops.add(DropReason.spoofedSource, length);
      return;
    }
    if (this.#router.isForeignError(peer, this.#view, offset)) {
      this.#drops.add(DropReason.foreignIcmpError, length);
      return;
    }
    const totalLength = ipv4.totalLength(this.#view, offset);
    if (this.#shaping.admits(peer, offset, totalLength, now)) {
      this.goOn(peer, offset, totalLength, now);
    }
  }

  /**
   * Whether a source address (int32) is a peer's. Most packets have the one of the packet before: the walk through the
   * trie, ten steps with 1,000 peers, is for those that have not, or when prefixes have changed since.
   */
  #owns(peer: PacketPeer, source: number): boolean {
    const { allowedIps } = this.#device;
    if (peer.source === source && peer.sourceAsOf === allowedIps.changes) return true;
    if (allowedIps.lookup(source) !== peer) return false;
    peer.source = source;
    peer.sourceAsOf = allowedIps.changes;
    return true;
  }

  /** Takes a packet of a peer's that is within its rate, `length` bytes as its header says. */
  goOn(peer: PacketPeer, offset: number, length: number, now: number): void {
    const destination = ipv4.destinationAddress(this.#view, offset) | 0;
    const verdict = this.#router.fromPeer(peer, destination);
    if (this.#forOutside !== null && isForOutside(verdict)) {
      this.#forOutside.put(peer, offset, length);
      return;
    }
    const { tap } = this.#device;
    if (tap !== null) {
      tap.take(peer, PacketDirection.inbound, offset, length);
    }
    if (!this.#device.handAnswer(peer, offset, length, now)) {
      this.#route(peer, offset, length, verdict, now);
    }
  }

  /**
   * Takes an answer of a peer's that another gateway has handed back, `length` bytes with padding: that one has checked
   * its source, and this one knows what it is about.
   */
  takeAnswer(offset: number, length: number, now: number): void {
    this.#drops.add(this.#takeAnswer(offset, length, now), length);
  }

  #takeAnswer(offset: number, length: number, now: number): DropReason {
    const reason = ipv4.checkIpv4(this.#memory, offset, length);
    if (reason === DropReason.ipv6 && this.#ipv6 !== null) {
      return this.#ipv6.takeAnswer(offset, length, now);
    }
    if (reason !== DropReason.none) return reason;
    const source = ipv4.sourceAddress(this.#view, offset) | 0;
    const peer = this.#device.allowedIps.lookup(source);
    if (peer === null) return DropReason.spoofedSource;
    const destination = ipv4.destinationAddress(this.#view, offset) | 0;
    const verdict = this.#router.fromPeer(peer, destination);
    this.#route(peer, offset, ipv4.totalLength(this.#view, offset), verdict, now);
    return DropReason.none;
  }

  /** Takes a packet to where the router says. */
  #route(peer: PacketPeer, offset: number, length: number, verdict: number, now: number): void {
    if (verdict < 0 && !this.#isAnswer(-verdict as DropReason, offset, now)) {
      this.#drops.add(-verdict as DropReason, length);
      return;
    }
    const to = verdict > RoutingVerdict.host && verdict < RoutingVerdict.outside
      ? this.#device.peerAt(verdict)
      : null;
    if (this.#access !== null) {
      const denied = this.#access.fromPeer(peer, to, offset, now);
      if (denied !== DropReason.none) {
        this.#drops.add(denied, length);
        this.#prohibit(peer, offset, now);
        return;
      }
    }
    const { meter } = this.#shaping;
    if (meter !== null) meter.count(peer, offset, length, now);
    if (to !== null) this.#onward.toPeer(to, offset, peer, now);
    else if (verdict === RoutingVerdict.host) this.#onward.toHost(offset, peer);
    else if (verdict < 0 && this.#router.isForwardedByHost) this.#onward.toHost(offset, peer);
    else this.#toOutside(peer, offset, length, now);
  }

  /** Whether a client's packet that the router refuses is for outside and an answer. */
  #isAnswer(reason: DropReason, offset: number, now: number): boolean {
    return isForOutside(-reason) &&
      (this.#inboundFlows.admits(offset, now) || (this.#nat?.answers(offset, now) ?? false));
  }

  /** Tells the sender that it may not go there, if it may be told so now. */
  #prohibit(peer: PacketPeer, offset: number, now: number): void {
    const length = this.#prohibition.answer(offset, peer.index, now);
    if (length > 0) this.#shaping.send(peer, this.#prohibition.offset, length, now);
  }

  /** Hands a packet to the NAT, or to this host where it is for a service of the gateway's on its address outside. */
  #toOutside(peer: PacketPeer, offset: number, length: number, now: number): void {
    const nat = this.#nat;
    if (nat === null) {
      this.#drops.add(DropReason.noEgress, length);
      return;
    }
    if (nat.isForExternal(offset) && !nat.takeExternal(offset, now)) {
      this.#onward.toHost(offset, peer);
      return;
    }
    this.#onward.toOutside(peer, offset, nat, now);
  }
}

/** Whether this is the verdict on a packet for outside, be it that only an answer may go there. */
function isForOutside(verdict: number): boolean {
  return verdict === RoutingVerdict.outside || verdict === -DropReason.privateDestination ||
    verdict === -DropReason.egressDenied;
}
