/**
 * NAT: packets of clients on their way out and the answers on their way in, rewritten in place.
 *
 * Endpoint-independent mapping and, by default, filtering (RFC 4787), TCP by RFC 5382 and 7857, ICMP by RFC 5508, quotas by
 * RFC 6888. No I/O and no clock: packets are offsets in the packet memory, what becomes of them is left in two queues,
 * `outside` and `inside`, which the caller drains after each call.
 *
 * Whatever comes from outside, forged or not, makes no mapping and no session, and keeps none alive.
 */
import type { PortRange } from "../wire/port_range.ts";
import { DropReason } from "../wire/drop_reason.ts";
import * as icmp from "../wire/icmp.ts";
import * as ipv4 from "../wire/ipv4.ts";
import type { PacketQueue } from "../wire/packet_queue.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";
import { destinationAddress, sourceAddress } from "./addresses.ts";
import type { NatUsage } from "./clients.ts";
import {
  ICMP_ERROR_RECEIVERS_INSIDE,
  ICMP_ERROR_RECEIVERS_OUTSIDE,
  SWEEP_INTERVAL,
} from "./constants.ts";
import { Flows } from "./flows.ts";
import { Forwarder } from "./forwarder.ts";
import { type FragmentFate, Fragments } from "./fragments/fragments.ts";
import { IcmpTranslator } from "./icmp/icmp_translation.ts";
import { Identifications } from "./fragments/identifications.ts";
import { Link } from "./link.ts";
import type { Mapping } from "./mapping_table.ts";
import type { NatOptions } from "./nat_options.ts";
import { PacketSlots } from "./fragments/packet_slots.ts";
import {
  clampMss,
  decrementTimeToLive,
  DESTINATION,
  isAtomic,
  isLaterFragment,
  rewriteEndpoint,
  rewriteIdentification,
  SOURCE,
} from "./rewrite.ts";

/** IPv4 and TCP headers without options: what the MSS leaves out of the MTU. */
const MSS_OVERHEAD = ipv4.MIN_HEADER_SIZE + tcp.MIN_HEADER_SIZE;
/** What every path takes (RFC 791 section 3.1): packets up to this need not be asked about. */
const MIN_PATH_MTU = 576;

export class Nat {
  /** Packets for the raw socket. */
  readonly outside: PacketQueue;
  /** Packets for clients, by their destination address. */
  readonly inside: PacketQueue;

  readonly #view: DataView;
  readonly #ports: PortRange;
  readonly #mtuOf: (address: number) => number;
  readonly #outside: Link;
  readonly #inside: Link;
  readonly #forwarder: Forwarder;
  readonly #flows: Flows;
  readonly #icmp: IcmpTranslator;
  readonly #identifications: Identifications;
  /** Of clients, and from outside. */
  readonly #outboundFragments: Fragments;
  readonly #inboundFragments: Fragments;
  #sweepAt = -Infinity;

  constructor(options: NatOptions) {
    const { memory, random, clientOf = (address: number) => address } = options;
    this.#view = memory.view;
    this.#ports = options.ports;
    this.#mtuOf = options.mtuOf ?? (() => options.innerMtu);
    this.#outside = new Link({
      mtu: options.externalMtu,
      address: options.externalAddress,
      errorReceivers: ICMP_ERROR_RECEIVERS_OUTSIDE,
    });
    this.#inside = new Link({
      mtu: options.innerMtu,
      address: options.innerAddress,
      errorReceivers: ICMP_ERROR_RECEIVERS_INSIDE,
    });
    this.outside = this.#outside.queue;
    this.inside = this.#inside.queue;
    const forwarder = new Forwarder({ ...options, outside: this.#outside, inside: this.#inside });
    this.#forwarder = forwarder;
    this.#flows = new Flows({ ...options, clientOf }, forwarder);
    this.#icmp = new IcmpTranslator(memory.view, { forwarder, flows: this.#flows, clientOf });
    this.#identifications = new Identifications(random());
    const fragments = (isOutbound: boolean) =>
      new Fragments(memory, { forwarder, clientOf, isOutbound, seed: random() });
    this.#outboundFragments = fragments(true);
    this.#inboundFragments = fragments(false);
  }

  /** Bytes of packet memory that `NatOptions.generated` must name. `mtu` is the larger of the two. */
  static generatedSize(mtu: number): number {
    return PacketSlots.size(mtu);
  }

  get mappingCount(): number {
    return this.#flows.mappings.size;
  }

  get sessionCount(): number {
    return this.#flows.sessions.size;
  }

  /** What a client holds; `identity` is what `clientOf` names it by. */
  usageOf(identity: unknown): NatUsage {
    return this.#flows.mappings.clients.get(identity)?.usage ?? { ports: 0, sessions: 0 };
  }

  /** Whether one client may reach another by the external address, from now on. */
  set clientToClient(allowed: boolean) {
    this.#flows.clientToClient = allowed;
  }

  /** Host order. */
  get externalAddress(): number {
    return this.#outside.address >>> 0;
  }

  /** Follows a change of the gateway's address outside. Mappings keep their ports, fragments on their way out are lost. */
  set externalAddress(address: number) {
    this.#outside.address = address | 0;
    this.#outboundFragments.clear();
  }

  /** Follows a change of what the link outside takes, as far as there is memory for packets of that length. */
  set externalMtu(mtu: number) {
    this.#outside.mtu = Math.min(mtu, this.#forwarder.maxCopySize);
  }

  /**
   * Tells the client whose packet has left the queue outside, and was refused there as too long for the link. To be called
   * before the next packet.
   */
  refuseSent(packet: number, now: number): void {
    const error = this.#forwarder.tooBigError(packet, this.#outside, now);
    if (error >= 0) this.#icmp.inbound(error, error + ipv4.MIN_HEADER_SIZE);
  }

  /**
   * Takes on a client's packet to the gateway's own external address, for `outbound()`, or leaves it to the host: the first
   * fragment decides for those that follow, so that it is to be called once for each packet.
   *
   * @returns whether it is the NAT's concern
   */
  takeExternal(packet: number, now: number): boolean {
    const view = this.#view;
    if (isLaterFragment(view, packet)) return !this.#outboundFragments.isForeign(packet, now);
    const isOurs = this.#ownsPort(packet);
    if (!isOurs && ipv4.moreFragments(view, packet)) {
      const source = sourceAddress(view, packet);
      const destination = destinationAddress(view, packet);
      const identification = ipv4.identification(view, packet);
      this.#outboundFragments.decide(
        packet,
        { link: null, source, destination, identification },
        now,
      );
    }
    return isOurs;
  }

  #ownsPort(packet: number): boolean {
    const view = this.#view;
    const transport = packet + ipv4.headerSize(view, packet);
    const protocol = ipv4.protocol(view, packet);
    if (protocol === ipv4.PROTOCOL_ICMP) {
      return icmp.isError(icmp.type(view, transport)) && this.#icmp.isHairpin(packet, transport);
    }
    if (protocol !== ipv4.PROTOCOL_TCP && protocol !== ipv4.PROTOCOL_UDP) return false;
    const port = view.getUint16(transport + udp.DESTINATION_PORT_OFFSET);
    return (port >= this.#ports.first && port <= this.#ports.last) ||
      this.#flows.mappings.findExternal(protocol, port) !== null;
  }

  // From a client.

  /** Takes a packet of a client that has passed `checkIpv4`. `now` is monotonic ms. */
  outbound(packet: number, now: number): void {
    const view = this.#view;
    this.#forwarder.begin();
    if (ipv4.timeToLive(view, packet) <= 1) {
      this.#forwarder.refuseExpired(packet, this.#inside, now);
      return;
    }
    if (isLaterFragment(view, packet)) {
      if (isCarried(ipv4.protocol(view, packet))) this.#outboundFragments.later(packet, now);
      else this.#forwarder.drop(DropReason.natUnsupportedProtocol, packet);
      return;
    }
    const transport = packet + ipv4.headerSize(view, packet);
    switch (ipv4.protocol(view, packet)) {
      case ipv4.PROTOCOL_TCP: {
        const mapping = this.#flows.outboundTcp(packet, transport, now);
        if (mapping === null) return;
        this.#clampMss(transport, mapping);
        this.#depart(packet, mapping, tcp.destinationPort(view, transport), now);
        break;
      }
      case ipv4.PROTOCOL_UDP: {
        const mapping = this.#flows.outboundUdp(packet, transport, now);
        if (mapping === null) return;
        this.#depart(packet, mapping, udp.destinationPort(view, transport), now);
        break;
      }
      case ipv4.PROTOCOL_ICMP:
        this.#outboundIcmp(packet, transport, now);
        break;
      default:
        this.#forwarder.refuseProtocol(packet, this.#inside, now);
    }
  }

  #outboundIcmp(packet: number, message: number, now: number): void {
    const view = this.#view;
    const type = icmp.type(view, message);
    if (icmp.isError(type)) {
      this.#icmp.outbound(packet, message);
      return;
    }
    // Of queries, echo alone; and one to the external address is the host's to answer.
    const isHairpin = destinationAddress(view, packet) === this.#outside.address;
    if (type !== icmp.TYPE_ECHO || isHairpin) {
      this.#forwarder.drop(DropReason.natUnsupportedProtocol, packet);
      return;
    }
    const mapping = this.#flows.outboundEcho(packet, message, now);
    if (mapping !== null) this.#depart(packet, mapping, 0, now);
  }

  /** Sends a client's packet on: outside, or back to another client (or itself) by that one's external endpoint. */
  #depart(packet: number, mapping: Mapping, remotePort: number, now: number): void {
    const view = this.#view;
    const isHairpin = destinationAddress(view, packet) === this.#outside.address;
    const onward = isHairpin ? this.#inside : this.#outside;
    const length = ipv4.totalLength(view, packet);
    if (this.#forwarder.refuseTooBig(packet, length, onward, this.#inside, now)) return;
    let destination = destinationAddress(view, packet);
    let target: Mapping | null = null;
    if (isHairpin) {
      target = this.#hairpinTarget(packet, mapping, remotePort, now);
      if (target === null) return;
      if (this.#refusesForPath(packet, length, target, this.#inside, now)) return;
      destination = target.innerAddress;
    }
    const { address } = this.#outside;
    const isAlone = isAtomic(view, packet);
    const identification = isAlone ? 0 : this.#identifications.next(destination, mapping.protocol);
    const fate = ipv4.moreFragments(view, packet)
      ? { link: onward, source: address, destination, identification }
      : null;
    const waiting = fate === null ? null : this.#outboundFragments.decide(packet, fate, now);

    rewriteEndpoint(view, packet, length, SOURCE, address, mapping.externalPort);
    if (target !== null) {
      rewriteEndpoint(view, packet, length, DESTINATION, target.innerAddress, target.innerPort);
    }
    if (!isAlone) rewriteIdentification(view, packet, identification);
    decrementTimeToLive(view, packet);
    this.#forwarder.forward(onward, packet);
    if (waiting !== null && fate !== null) this.#outboundFragments.follow(waiting, fate);
  }

  /** The mapping by which one client reaches another, seen with its own external endpoint (RFC 4787 REQ-9). */
  #hairpinTarget(packet: number, source: Mapping, port: number, now: number): Mapping | null {
    const { protocol, externalPort } = source;
    const { address } = this.#outside;
    const target = this.#flows.findInbound(protocol, port, address, externalPort, now);
    if (target === null) {
      this.#forwarder.drop(DropReason.natNoMapping, packet);
      return null;
    }
    if (!this.#flows.mayHairpin(source, target, address, now)) {
      this.#forwarder.drop(DropReason.clientToClientOff, packet);
      return null;
    }
    return this.#flows.admits(target, packet, address, externalPort, now) ? target : null;
  }

  // From outside.

  /** Takes a packet captured outside that has passed `checkIpv4`. */
  inbound(packet: number, now: number): void {
    const view = this.#view;
    this.#forwarder.begin();
    const length = ipv4.totalLength(view, packet);
    const mapping = this.#receiver(packet, length, now);
    if (mapping === null) return;
    const fate = ipv4.moreFragments(view, packet) ? this.#inboundFate(packet, mapping) : null;
    const waiting = fate === null ? null : this.#inboundFragments.decide(packet, fate, now);
    this.#arrive(packet, length, mapping);
    this.#forwarder.forward(this.#inside, packet);
    if (waiting !== null && fate !== null) this.#inboundFragments.follow(waiting, fate);
  }

  /**
   * Takes a super-packet captured outside. Its checksums are left wrong: splitting works them out anew.
   *
   * @param segmentLength bytes of each packet that it will be split into
   * @returns whether it may go on, to the client that its destination now names
   */
  inboundMerged(packet: number, segmentLength: number, now: number): boolean {
    this.#forwarder.begin();
    const mapping = this.#receiver(packet, segmentLength, now);
    if (mapping === null) return false;
    if (segmentLength > this.#inside.mtu) {
      // Without DF each packet would have to be fragmented after it is split. TCP, whose MSS is clamped, sends no such.
      this.#forwarder.drop(DropReason.tooBig, packet);
      return false;
    }
    this.#arrive(packet, ipv4.totalLength(this.#view, packet), mapping);
    return true;
  }

  /** Whether a packet, as a client is to get it, has come by a forwarded port. Of later fragments nobody knows. */
  isForwarded(packet: number): boolean {
    const view = this.#view;
    const protocol = ipv4.protocol(view, packet);
    const hasPorts = protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP;
    if (!hasPorts || isLaterFragment(view, packet)) return false;
    const transport = packet + ipv4.headerSize(view, packet);
    const port = view.getUint16(transport + udp.DESTINATION_PORT_OFFSET);
    const { mappings } = this.#flows;
    return mappings.findInner(protocol, destinationAddress(view, packet), port)?.isStatic ?? false;
  }

  /** The mapping that a packet from outside is for; null for one that goes no further, or is the host's, or was dealt with. */
  #receiver(packet: number, length: number, now: number): Mapping | null {
    const view = this.#view;
    if (destinationAddress(view, packet) !== this.#outside.address) return null;
    const protocol = ipv4.protocol(view, packet);
    if (!isCarried(protocol)) {
      this.#forwarder.drop(DropReason.natUnsupportedProtocol, packet);
      return null;
    }
    if (isLaterFragment(view, packet)) {
      this.#inboundFragments.later(packet, now);
      return null;
    }
    const transport = packet + ipv4.headerSize(view, packet);
    const remote = sourceAddress(view, packet);
    let port: number;
    // Of an ICMP query there is none.
    let remotePort = 0;
    if (protocol === ipv4.PROTOCOL_ICMP) {
      const type = icmp.type(view, transport);
      if (icmp.isError(type)) this.#icmp.inbound(packet, transport);
      // Whatever else is no answer to an echo is for the gateway itself, whose kernel sees it as well.
      if (type !== icmp.TYPE_ECHO_REPLY) return null;
      port = icmp.identifier(view, transport);
    } else {
      // UDP's ports stand where TCP's do.
      port = view.getUint16(transport + udp.DESTINATION_PORT_OFFSET);
      remotePort = view.getUint16(transport + udp.SOURCE_PORT_OFFSET);
    }
    const mapping = this.#flows.findInbound(protocol, port, remote, remotePort, now);
    if (mapping === null) {
      // An echo reply may be for the gateway itself; a segment for nobody is met with silence (RFC 5382 REQ-4).
      if (protocol !== ipv4.PROTOCOL_ICMP) this.#forwarder.drop(DropReason.natNoMapping, packet);
      return null;
    }
    // First: whom filtering keeps out is to learn nothing from our errors, not even that there is a mapping.
    if (!this.#flows.admits(mapping, packet, remote, remotePort, now)) return null;
    if (ipv4.timeToLive(view, packet) <= 1) {
      this.#forwarder.refuseExpired(packet, this.#outside, now);
      return null;
    }
    const from = this.#outside;
    const isRefused = this.#forwarder.refuseTooBig(packet, length, this.#inside, from, now) ||
      this.#refusesForPath(packet, length, mapping, from, now);
    return isRefused ? null : mapping;
  }

  /** Refuses a packet from link `from` that is too long for the path to the client. */
  #refusesForPath(
    packet: number,
    length: number,
    { innerAddress }: Mapping,
    from: Link,
    now: number,
  ): boolean {
    if (length <= MIN_PATH_MTU) return false;
    const mtu = this.#mtuOf(innerAddress);
    return length > mtu && this.#forwarder.refuseForPath(packet, mtu, from, now);
  }

  /** Keeps a client and whom it talks to from segments that the path to the client does not take. */
  #clampMss(segment: number, { innerAddress }: Mapping): void {
    if ((tcp.flags(this.#view, segment) & tcp.FLAG_SYN) === 0) return;
    const mtu = Math.min(this.#inside.mtu, this.#mtuOf(innerAddress));
    clampMss(this.#view, segment, mtu - MSS_OVERHEAD);
  }

  #inboundFate(packet: number, mapping: Mapping): FragmentFate {
    return {
      link: this.#inside,
      source: sourceAddress(this.#view, packet),
      destination: mapping.innerAddress,
      identification: ipv4.identification(this.#view, packet),
    };
  }

  /** Rewrites a packet for the client. */
  #arrive(packet: number, length: number, mapping: Mapping): void {
    const view = this.#view;
    if (mapping.protocol === ipv4.PROTOCOL_TCP) {
      this.#clampMss(packet + ipv4.headerSize(view, packet), mapping);
    }
    rewriteEndpoint(view, packet, length, DESTINATION, mapping.innerAddress, mapping.innerPort);
    decrementTimeToLive(view, packet);
  }

  /** Takes all its mappings from a client that is gone; `identity` is what `clientOf` names it by. */
  releaseClient(identity: unknown, now: number): void {
    this.#flows.release(identity, now);
  }

  // Time.

  /** When `poll()` has something to do, monotonic ms. */
  pollAt(): number {
    const isIdle = this.#flows.isIdle &&
      this.#outboundFragments.size === 0 && this.#inboundFragments.size === 0;
    return isIdle ? Infinity : this.#sweepAt;
  }

  /** Removes what has expired. Costs one comparison when it is not time. */
  poll(now: number): void {
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + SWEEP_INTERVAL;
    this.#flows.sweep(now);
    this.#outboundFragments.sweep(now);
    this.#inboundFragments.sweep(now);
  }
}

/**
 * Whether packets of a protocol are translated. One without ports, as GRE, ESP, 6in4, or with ports that the gateway's own
 * stack hands out as well, as SCTP, is not: a client's could not be told from the gateway's own, so that a client could read
 * what comes for a tunnel of the gateway's, and send into it under the gateway's address.
 */
function isCarried(protocol: number): boolean {
  return protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP ||
    protocol === ipv4.PROTOCOL_ICMP;
}
