/**
 * Owns the way of a packet through the core, in both directions:
 *
 * 1. from the socket: a datagram is taken apart (UDP_GRO) and authenticated and decrypted by the device;
 * 2. the inner packet is checked as IPv4, and its source against the peer's allowed IPs;
 * 3. the router decides: into the TUN, to another peer, or outwards;
 * 4. from the TUN: a packet is checked as IPv4, the router finds its peer; a super-packet is split;
 * 5. the device seals each packet into the send queue.
 *
 * No I/O, no clock: bytes and the time come in, effects are left in the two queues, drops are counted by reason.
 */
import { DropCounters, DropReason } from "./wire/drop_reason.ts";
import * as ipv4 from "./wire/ipv4.ts";
import type { Memory } from "./wire/memory.ts";
import { type Router, Verdict } from "./router.ts";
import { completeChecksum, Splitter } from "./offload/splitter.ts";
import { VNET_HEADER_SIZE } from "./offload/virtio_net_header.ts";
import type { Device } from "./tunnel/device.ts";
import type { PacketQueue } from "./tunnel/packet_queue.ts";
import type { Peer } from "./tunnel/peer.ts";
import type { SendQueue } from "./tunnel/send_queue.ts";

export interface PipelineOptions {
  readonly memory: Memory;
  readonly device: Device;
  readonly router: Router;
  readonly sendQueue: SendQueue;
  /** Takes the packets for this host. */
  readonly hostQueue: PacketQueue;
  readonly drops: DropCounters;
  /** Offset of `SPLITTER_SCRATCH_SIZE` bytes of the memory. */
  readonly splitterScratch: number;
}

export class Pipeline {
  readonly #memory: Memory;
  readonly #view: DataView;
  readonly #device: Device;
  readonly #router: Router;
  readonly #sendQueue: SendQueue;
  readonly #hostQueue: PacketQueue;
  readonly #drops: DropCounters;
  readonly #splitter: Splitter;
  /** Whom the super-packet under way is for: the router's peer may be another by the time that it goes on. */
  #splitPeer: Peer | null = null;

  constructor(options: PipelineOptions) {
    this.#memory = options.memory;
    this.#view = options.memory.view;
    this.#device = options.device;
    this.#router = options.router;
    this.#sendQueue = options.sendQueue;
    this.#hostQueue = options.hostQueue;
    this.#drops = options.drops;
    this.#splitter = new Splitter(options.memory, options.splitterScratch);
  }

  /**
   * Takes one receive: a datagram, or several equal ones that the kernel merged, the last perhaps shorter.
   *
   * @param length bytes; -1 for a datagram that the kernel cut short
   * @param segmentSize bytes of each merged datagram but the last; 0 for a single one
   * @param address,port,source where it came from and what local address it was sent to, host order
   * @param now monotonic ms
   */
  handleDatagrams(
    offset: number,
    length: number,
    segmentSize: number,
    address: number,
    port: number,
    source: number,
    now: number,
  ): void {
    if (length < 0) {
      this.#drops.add(DropReason.truncatedDatagram);
      return;
    }
    const size = segmentSize > 0 ? segmentSize : length;
    let at = offset;
    const end = offset + length;
    do {
      const datagramLength = end - at < size ? end - at : size;
      const packetLength = this.#device.receive(at, datagramLength, address, port, source, now);
      if (packetLength > 0) this.#fromPeer(this.#device.receivedOffset, packetLength, now);
      at += datagramLength;
    } while (at < end);
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
      reason = this.#splitter.begin(offset, packet, totalLength);
    }
    if (reason !== DropReason.none) {
      this.#drops.add(reason, packetLength);
      return;
    }
    this.#splitPeer = this.#router.peer;
    this.sendSplit(now);
  }

  /** Whether packets of the last super-packet wait for room in the send queue: `sendSplit()` goes on with them. */
  get hasSplit(): boolean {
    return this.#splitter.hasMore;
  }

  /** Sends the packets of the super-packet under way, as many as the send queue has room for. */
  sendSplit(now: number): void {
    const splitter = this.#splitter;
    while (this.#sendQueue.free > 0 && splitter.next()) {
      this.#device.send(this.#splitPeer!, splitter.offset, splitter.length, now);
    }
  }

  /**
   * Takes one packet that the host sent into the tunnel. Up to 15 bytes behind it may be overwritten with padding.
   *
   * @param now monotonic ms
   */
  handleHostPacket(offset: number, length: number, now: number): void {
    const reason = this.#routeFromHost(offset, length);
    if (reason === DropReason.none) this.#toPeer(offset, now);
    else this.#drops.add(reason, length);
  }

  /** Checks a packet from the host and finds the peer it is for: the router has it then. */
  #routeFromHost(offset: number, length: number): DropReason {
    const reason = ipv4.checkIpv4(this.#memory, offset, length);
    if (reason !== DropReason.none) return reason;
    const verdict = this.#router.fromHost(ipv4.destinationAddress(this.#view, offset));
    return verdict === Verdict.peer ? DropReason.none : this.#router.reason;
  }

  #fromPeer(offset: number, length: number, now: number): void {
    const reason = ipv4.checkIpv4(this.#memory, offset, length);
    if (reason !== DropReason.none) {
      this.#drops.add(reason, length);
      return;
    }
    const peer = this.#device.receivedFrom!;
    const source = ipv4.sourceAddress(this.#view, offset);
    // Cryptokey routing: without this, any peer could speak for any other, or for the gateway itself.
    if (this.#device.allowedIps.lookup(source) !== peer) {
      this.#drops.add(DropReason.spoofedSource, length);
      return;
    }
    switch (this.#router.fromPeer(peer, ipv4.destinationAddress(this.#view, offset))) {
      case Verdict.host:
        this.#hostQueue.push(offset, ipv4.totalLength(this.#view, offset));
        break;
      case Verdict.peer:
        this.#toPeer(offset, now);
        break;
      case Verdict.external:
        this.#drops.add(DropReason.noEgress, length);
        break;
      default:
        this.#drops.add(this.#router.reason, length);
    }
  }

  /** Seals the packet at `offset` for the router's peer, cut to the length that its header gives. */
  #toPeer(offset: number, now: number): void {
    const length = ipv4.totalLength(this.#view, offset);
    this.#device.send(this.#router.peer!, offset, length, now);
  }
}
