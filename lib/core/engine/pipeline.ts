/**
 * Owns the way of a packet through the core, in both directions:
 *
 * 1. from the socket: a datagram is taken apart (UDP_GRO) and authenticated and decrypted by the device;
 * 2. the inner packet is checked as IPv4, and its source against the peer's allowed IPs;
 * 3. the router decides: into the TUN, to another peer, or outwards through the NAT;
 * 4. from the TUN: a packet is checked as IPv4, the router finds its peer; a super-packet is split;
 * 5. from outside: a captured packet is checked as IPv4, the NAT finds its client;
 * 6. the device seals each packet into the send queue.
 *
 * No I/O, no clock: bytes and the time come in, effects are left in the two queues, drops are counted by reason.
 */
import { DropCounters, DropReason } from "../wire/drop_reason.ts";
import { Ecn, takeOverEcn } from "../wire/ecn.ts";
import * as ipv4 from "../wire/ipv4.ts";
import type { Memory } from "../wire/memory.ts";
import { InboundFlows } from "../access/inbound_flows.ts";
import { type Router, Verdict } from "../routing/router.ts";
import type { Nat } from "../nat/nat.ts";
import { completeChecksum, Splitter, SPLITTER_SCRATCH_SIZE } from "../offload/splitter.ts";
import { PATH_ADVICE_SIZE, PathAdvice } from "../routing/path_advice.ts";
import { VNET_HEADER_SIZE } from "../offload/virtio_net_header.ts";
import type { Device } from "../wireguard/device.ts";
import type { Carrier } from "../transport/endpoint.ts";
import type { PacketQueue } from "../wire/packet_queue.ts";
import { PacketDirection } from "../wireguard/packet_tap.ts";
import type { Peer } from "../wireguard/peer.ts";
import { receivedLength, receivedOffset, receivedPeer } from "../wireguard/received.ts";
import type { SendQueue } from "../transport/send_queue.ts";
import type { ReceivedMessages } from "./ports.ts";

export interface PipelineOptions {
  readonly memory: Memory;
  readonly device: Device;
  readonly router: Router;
  readonly sendQueue: SendQueue;
  /** Takes the packets for this host. */
  readonly hostQueue: PacketQueue;
  readonly drops: DropCounters;
  /** Translates what goes outside; null where nothing does. */
  readonly nat: Nat | null;
  /** Offset of `PIPELINE_SCRATCH_SIZE` bytes of the memory, a multiple of 64. */
  readonly scratch: number;
  /** 32 random bits, which strangers must not know. */
  readonly seed: number;
}

export const PIPELINE_SCRATCH_SIZE: number = PATH_ADVICE_SIZE + 2 * SPLITTER_SCRATCH_SIZE;

export class Pipeline {
  readonly #memory: Memory;
  readonly #view: DataView;
  readonly #device: Device;
  readonly #router: Router;
  readonly #sendQueue: SendQueue;
  readonly #hostQueue: PacketQueue;
  readonly #drops: DropCounters;
  readonly #nat: Nat | null;
  readonly #inboundFlows: InboundFlows;
  readonly #advice: PathAdvice;
  /** Super-packets under way from the TUN and from outside, and whom they are for: the router's peer may be another by now. */
  readonly #hostSplit: Splitter;
  readonly #externalSplit: Splitter;
  #hostSplitPeer: Peer | null = null;
  #externalSplitPeer: Peer | null = null;

  constructor(options: PipelineOptions) {
    this.#memory = options.memory;
    this.#view = options.memory.view;
    this.#device = options.device;
    this.#router = options.router;
    this.#sendQueue = options.sendQueue;
    this.#hostQueue = options.hostQueue;
    this.#drops = options.drops;
    this.#nat = options.nat;
    this.#inboundFlows = new InboundFlows(options.memory.view, options.seed);
    const { memory, scratch } = options;
    this.#advice = new PathAdvice(memory, scratch);
    const splitterScratch = scratch + PATH_ADVICE_SIZE;
    this.#hostSplit = new Splitter(memory, splitterScratch);
    this.#externalSplit = new Splitter(memory, splitterScratch + SPLITTER_SCRATCH_SIZE);
  }

  /**
   * Takes one message: a datagram, or several equal ones that the kernel merged, the last perhaps shorter.
   *
   * @param index in `messages`
   * @param carrier how it came
   * @param now monotonic ms
   * @returns the index of the peer that the last authentic datagram of them was from; 0 where none was
   */
  handleDatagrams(
    messages: ReceivedMessages,
    index: number,
    carrier: Carrier,
    now: number,
  ): number {
    const length = messages.lengths[index];
    if (length < 0) {
      this.#drops.add(DropReason.truncatedDatagram);
      return 0;
    }
    const address = messages.addresses[index];
    const port = messages.ports[index];
    const source = messages.sources[index];
    const ecn = messages.ecns[index];
    const segmentSize = messages.segmentSizes[index];
    const size = segmentSize > 0 ? segmentSize : length;
    let peerIndex = 0;
    let at = messages.offsets[index];
    const end = at + length;
    do {
      const datagramLength = end - at < size ? end - at : size;
      const result = this.#device.receive(at, datagramLength, address, port, source, now, carrier);
      if (result > 0) {
        peerIndex = receivedPeer(result);
        const packetLength = receivedLength(result);
        if (packetLength > 0) this.#fromPeer(peerIndex, receivedOffset(at), packetLength, ecn, now);
      }
      at += datagramLength;
    } while (at < end);
    return peerIndex;
  }

  /**
   * Takes one read from the TUN: a virtio-net header and a packet, or a super-packet that is to be split. Up to 15 bytes
   * behind it may be overwritten with padding.
   *
   * @param offset of the virtio-net header
   * @param length bytes read, the header included
   * @param now monotonic ms
   */
  handleHostRead(offset: number, length: number, now: number): void {
    const packet = offset + VNET_HEADER_SIZE;
    const packetLength = length - VNET_HEADER_SIZE;
    if (packetLength < 0) {
      this.#drops.add(DropReason.badTunRead, length);
      return;
    }
    if (!Splitter.isSuperPacket(this.#view, offset)) {
      const reason = completeChecksum(this.#view, offset, packet, packetLength);
      if (reason === DropReason.none) this.handleHostPacket(packet, packetLength, now);
      else this.#drops.add(reason, packetLength);
      return;
    }
    let reason = this.#routeFromHost(packet, packetLength);
    if (reason === DropReason.none) {
      const totalLength = ipv4.totalLength(this.#view, packet);
      reason = this.#hostSplit.begin(offset, packet, totalLength);
    }
    if (reason !== DropReason.none) {
      this.#drops.add(reason, packetLength);
      return;
    }
    if (this.#router.isForwardedByHost) this.#noteInbound(packet, now);
    const peer = this.#router.peer!;
    if (this.#hostSplit.segmentLength > peer.mtu && this.#refuse(packet, peer, null, now)) {
      this.#hostSplit.abandon();
      return;
    }
    this.#hostSplitPeer = peer;
    this.#sendSplit(this.#hostSplit, peer, now);
  }

  /** Whether packets of a super-packet wait for room in the send queue: `sendSplit()` goes on with them. */
  get hasSplit(): boolean {
    return this.#hostSplit.hasMore || this.#externalSplit.hasMore;
  }

  /** Sends the packets of super-packets under way, as many as the send queue has room for. */
  sendSplit(now: number): void {
    this.#sendSplit(this.#hostSplit, this.#hostSplitPeer, now);
    this.#sendSplit(this.#externalSplit, this.#externalSplitPeer, now);
  }

  #sendSplit(splitter: Splitter, peer: Peer | null, now: number): void {
    if (peer === null) return;
    while (this.#sendQueue.free > 0 && splitter.next()) {
      this.#device.send(peer, splitter.offset, splitter.length, now);
    }
  }

  /**
   * Takes one packet that the host sent into the tunnel. Up to 15 bytes behind it may be overwritten with padding.
   *
   * @param now monotonic ms
   */
  handleHostPacket(offset: number, length: number, now: number): void {
    const reason = this.#routeFromHost(offset, length);
    if (reason !== DropReason.none) {
      this.#drops.add(reason, length);
      return;
    }
    if (this.#router.isForwardedByHost) this.#noteInbound(offset, now);
    this.#toPeer(offset, null, now);
  }

  /** Checks a packet from the host and finds the peer it is for: the router has it then. */
  #routeFromHost(offset: number, length: number): DropReason {
    const reason = ipv4.checkIpv4(this.#memory, offset, length);
    if (reason !== DropReason.none) return reason;
    const verdict = this.#router.fromHost(ipv4.destinationAddress(this.#view, offset) | 0);
    return verdict === Verdict.peer ? DropReason.none : this.#router.reason;
  }

  /** Takes note of a packet that has come from outside for a client, if its sender is one whom clients may only answer. */
  #noteInbound(packet: number, now: number): void {
    const source = ipv4.sourceAddress(this.#view, packet) | 0;
    if (this.#router.refuses(source)) this.#inboundFlows.note(packet, now);
  }

  /**
   * The same for one that the NAT has translated: by a forwarded port alone. By any other, the sender may claim an address that
   * the client would like to reach, and is refused.
   */
  #noteForwarded(nat: Nat, packet: number, now: number): void {
    const source = ipv4.sourceAddress(this.#view, packet) | 0;
    if (!this.#router.refuses(source) || !nat.isForwarded(packet)) return;
    this.#inboundFlows.note(packet, now);
  }

  #fromPeer(
    peerIndex: number,
    offset: number,
    length: number,
    outerEcn: number,
    now: number,
  ): void {
    const reason = ipv4.checkIpv4(this.#memory, offset, length);
    if (reason !== DropReason.none) {
      this.#drops.add(reason, length);
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
    if (this.#device.allowedIps.lookup(source) !== peer) {
      this.#drops.add(DropReason.spoofedSource, length);
      return;
    }
    const { fromLimit } = peer;
    if (fromLimit !== null && !fromLimit.take(ipv4.totalLength(this.#view, offset), now)) {
      peer.rateLimited++;
      this.#drops.add(DropReason.rateLimited, length);
      return;
    }
    const { tap } = this.#device;
    if (tap !== null) {
      tap.take(peer, PacketDirection.inbound, offset, ipv4.totalLength(this.#view, offset));
    }
    switch (this.#router.fromPeer(peer, ipv4.destinationAddress(this.#view, offset) | 0)) {
      case Verdict.host:
        this.#toHost(offset);
        break;
      case Verdict.peer:
        this.#toPeer(offset, peer, now);
        break;
      case Verdict.external:
        this.#toOutside(offset, length, now);
        break;
      default:
        this.#refused(offset, length, now);
    }
  }

  /** Drops a client's packet that the router refuses, unless it is for outside and an answer. */
  #refused(offset: number, length: number, now: number): void {
    const { reason } = this.#router;
    const isForOutside = reason === DropReason.privateDestination ||
      reason === DropReason.egressDenied;
    if (!isForOutside || !this.#inboundFlows.admits(offset, now)) this.#drops.add(reason, length);
    else if (this.#router.isForwardedByHost) this.#toHost(offset);
    else this.#toOutside(offset, length, now);
  }

  /** Hands a packet to the NAT, or to this host where it is for a service of the gateway's on its address outside. */
  #toOutside(offset: number, length: number, now: number): void {
    const nat = this.#nat;
    if (nat === null) {
      this.#drops.add(DropReason.noEgress, length);
      return;
    }
    const destination = ipv4.destinationAddress(this.#view, offset);
    if (destination === nat.externalAddress && !nat.ownsExternal(offset, now)) {
      this.#toHost(offset);
      return;
    }
    nat.outbound(offset, now);
    this.#sendInside(nat, now);
  }

  /**
   * Takes one packet captured outside: a virtio-net header and a packet, perhaps one of many that the kernel merged.
   *
   * @param offset of the virtio-net header
   * @param length bytes, the header included; -1 for a packet that the kernel cut short
   * @param now monotonic ms
   */
  handleCaptured(offset: number, length: number, now: number): void {
    const nat = this.#nat;
    if (nat === null) return;
    const packet = offset + VNET_HEADER_SIZE;
    const packetLength = length - VNET_HEADER_SIZE;
    if (packetLength < 0) {
      this.#drops.add(DropReason.truncatedDatagram);
      return;
    }
    const isMerged = Splitter.isSuperPacket(this.#view, offset);
    let reason = ipv4.checkIpv4(this.#memory, packet, packetLength);
    if (reason === DropReason.none && !isMerged) {
      // The link pads short packets: only the packet's own bytes count.
      const totalLength = ipv4.totalLength(this.#view, packet);
      reason = completeChecksum(this.#view, offset, packet, totalLength);
    }
    // RFC 2827: what comes from outside could otherwise pass for another client's, or for the gateway's own answer.
    if (
      reason === DropReason.none &&
      this.#router.isInside(ipv4.sourceAddress(this.#view, packet) | 0)
    ) reason = DropReason.spoofedSource;
    if (reason !== DropReason.none) {
      this.#drops.add(reason, packetLength);
      return;
    }
    if (isMerged) this.#capturedMerged(nat, offset, packet, now);
    else nat.inbound(packet, now);
    const { inside } = nat;
    for (let i = 0; i < inside.length; i++) this.#noteForwarded(nat, inside.offsets[i], now);
    this.#sendInside(nat, now);
  }

  #capturedMerged(nat: Nat, header: number, packet: number, now: number): void {
    const splitter = this.#externalSplit;
    const totalLength = ipv4.totalLength(this.#view, packet);
    const reason = splitter.begin(header, packet, totalLength);
    if (reason !== DropReason.none) {
      this.#drops.add(reason, totalLength);
      return;
    }
    const segmentLength = splitter.segmentLength;
    if (!nat.inboundMerged(packet, segmentLength, now)) {
      splitter.abandon();
      return;
    }
    this.#noteForwarded(nat, packet, now);
    const peer = this.#device.allowedIps.lookup(ipv4.destinationAddress(this.#view, packet) | 0);
    if (peer === null) {
      splitter.abandon();
      this.#drops.add(DropReason.noRoute, totalLength);
      return;
    }
    // Once more: the NAT has rewritten the headers that the splitter copied.
    splitter.begin(header, packet, totalLength);
    this.#externalSplitPeer = peer;
    this.#sendSplit(splitter, peer, now);
  }

  /** Sends clients what the NAT has for them since its packets for outside were sent: that some of them were too long. */
  sendRefusals(now: number): void {
    if (this.#nat !== null && this.#nat.inside.length > 0) this.#sendInside(this.#nat, now);
  }

  /** Sends what the NAT has for clients: packets, fragments, ICMP errors. */
  #sendInside(nat: Nat, now: number): void {
    const { inside } = nat;
    for (let i = 0; i < inside.length; i++) {
      const offset = inside.offsets[i];
      const peer = this.#device.allowedIps.lookup(ipv4.destinationAddress(this.#view, offset) | 0);
      if (peer === null) this.#drops.add(DropReason.noRoute, inside.lengths[i]);
      else this.#device.send(peer, offset, inside.lengths[i], now);
    }
    inside.clear();
  }

  #toHost(offset: number): void {
    const length = ipv4.totalLength(this.#view, offset);
    if (!this.#hostQueue.push(offset, length)) this.#drops.add(DropReason.hostQueueFull, length);
  }

  /** Seals the packet at `offset`, of another peer's or the host's, for the router's peer, as long as its header says. */
  #toPeer(offset: number, from: Peer | null, now: number): void {
    const length = ipv4.totalLength(this.#view, offset);
    const peer = this.#router.peer!;
    if (length > peer.mtu && this.#refuse(offset, peer, from, now)) return;
    this.#device.send(peer, offset, length, now);
  }

  /** Refuses a packet that is too long for the path to `peer`, if its sender, another peer or the host, may be told so now. */
  #refuse(packet: number, peer: Peer, from: Peer | null, now: number): boolean {
    const length = this.#advice.refuse(packet, peer.mtu, now);
    if (length === 0) return false;
    this.#drops.add(DropReason.fragmentationNeeded, ipv4.totalLength(this.#view, packet));
    if (from === null) this.#toHost(this.#advice.offset);
    else this.#device.send(from, this.#advice.offset, length, now);
    return true;
  }
}
