/**
 * Owns the way of a packet through the core, in both directions:
 *
 * 1. from the socket: a datagram is taken apart (UDP_GRO) and authenticated and decrypted by the device;
 * 2. the inner packet is checked as IPv4, and its source against the peer's allowed IPs;
 * 3. the router decides: into the TUN, to another peer, or outwards;
 * 4. from the TUN: a packet is checked as IPv4, the router finds its peer;
 * 5. the device seals it into the send queue.
 *
 * No I/O, no clock: bytes and the time come in, effects are left in the two queues, drops are counted by reason.
 */
import { DropCounters, DropReason } from "./wire/drop_reason.ts";
import * as ipv4 from "./wire/ipv4.ts";
import type { Memory } from "./wire/memory.ts";
import { TRANSPORT_PACKET_OFFSET } from "./wire/messages.ts";
import { type Router, Verdict } from "./router.ts";
import type { Device } from "./tunnel/device.ts";
import type { PacketQueue } from "./tunnel/packet_queue.ts";

export interface PipelineOptions {
  readonly memory: Memory;
  readonly device: Device;
  readonly router: Router;
  /** Takes the packets for this host. */
  readonly hostQueue: PacketQueue;
  readonly drops: DropCounters;
}

export class Pipeline {
  readonly #memory: Memory;
  readonly #view: DataView;
  readonly #device: Device;
  readonly #router: Router;
  readonly #hostQueue: PacketQueue;
  readonly #drops: DropCounters;

  constructor(options: PipelineOptions) {
    this.#memory = options.memory;
    this.#view = options.memory.view;
    this.#device = options.device;
    this.#router = options.router;
    this.#hostQueue = options.hostQueue;
    this.#drops = options.drops;
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
      if (packetLength > 0) this.#fromPeer(at + TRANSPORT_PACKET_OFFSET, packetLength, now);
      at += datagramLength;
    } while (at < end);
  }

  /**
   * Takes one packet that the host sent into the tunnel. Up to 15 bytes behind it may be overwritten with padding.
   *
   * @param now monotonic ms
   */
  handleHostPacket(offset: number, length: number, now: number): void {
    const reason = ipv4.checkIpv4(this.#memory, offset, length);
    if (reason !== DropReason.none) {
      this.#drops.add(reason, length);
      return;
    }
    const destination = ipv4.destinationAddress(this.#view, offset);
    if (this.#router.fromHost(destination) === Verdict.peer) this.#toPeer(offset, now);
    else this.#drops.add(this.#router.reason, length);
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
