/**
 * Owns the NAT: packets of clients on their way out and the answers on their way in, rewritten in place.
 *
 * Endpoint-independent mapping and, by default, filtering (RFC 4787), TCP by RFC 5382 and 7857, ICMP by RFC 5508, quotas by
 * RFC 6888. No I/O and no clock: packets are offsets in the packet memory, what becomes of them is left in two queues,
 * `outside` and `inside`, which the caller drains after each call.
 */
import { finish, sum } from "../wire/checksum.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import * as icmp from "../wire/icmp.ts";
import * as ipv4 from "../wire/ipv4.ts";
import type { Memory } from "../wire/memory.ts";
import { PacketQueue } from "../wire/packet_queue.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";
import { ICMP_QUERY_TIMEOUT, SWEEP_INTERVAL, UDP_TIMEOUT } from "./constants.ts";
import { forEachFragment, FragmentTable, type FragmentTrain } from "./fragments.ts";
import {
  CODE_ADMINISTRATIVELY_PROHIBITED,
  CODE_FRAGMENTATION_NEEDED,
  CODE_TIME_TO_LIVE,
  IcmpErrorLimiter,
  mayAnswer,
  writeIcmpError,
} from "./icmp_error.ts";
import { type Mapping, MappingTable } from "./mapping_table.ts";
import type { NatOptions } from "./nat_options.ts";
import { PacketSlots } from "./packet_slots.ts";
import {
  clampMss,
  decrementTimeToLive,
  DESTINATION,
  type End,
  isLaterFragment,
  rewriteAddress,
  rewriteEndpoint,
  rewriteIdentification,
  SOURCE,
} from "./rewrite.ts";
import { type Session, SessionTable, trackTcp } from "./sessions.ts";

/** Packets that wait in a queue before the caller drains it: one translated, its fragments, an error. */
const QUEUE_CAPACITY = 1024;
/** IPv4 and TCP headers without options: what the MSS leaves out of the MTU. */
const MSS_OVERHEAD = ipv4.MIN_HEADER_SIZE + tcp.MIN_HEADER_SIZE;

export class Nat {
  /** Packets for the raw socket. */
  readonly outside: PacketQueue = new PacketQueue(QUEUE_CAPACITY);
  /** Packets for clients, by their destination address. */
  readonly inside: PacketQueue = new PacketQueue(QUEUE_CAPACITY);

  readonly #memory: Memory;
  readonly #view: DataView;
  readonly #options: NatOptions;
  readonly #drops: DropCounters;
  readonly #mappings: MappingTable;
  readonly #sessions = new SessionTable();
  readonly #fragments = new FragmentTable();
  readonly #limiter = new IcmpErrorLimiter();
  readonly #slots: PacketSlots;
  #externalAddress: number;
  #identification: number;
  #sweepAt = -Infinity;

  constructor(options: NatOptions) {
    this.#memory = options.memory;
    this.#view = options.memory.view;
    this.#options = options;
    this.#drops = options.drops;
    this.#externalAddress = options.externalAddress;
    this.#identification = options.random() & 0xffff;
    this.#slots = new PacketSlots(
      options.generated,
      Math.max(options.externalMtu, options.innerMtu),
    );
    this.#mappings = new MappingTable({
      ports: options.ports,
      quota: options.clientQuota,
      random: options.random,
    });
    for (const forward of options.forwards) {
      this.#mappings.createStatic({
        protocol: forward.protocol === "tcp" ? ipv4.PROTOCOL_TCP : ipv4.PROTOCOL_UDP,
        innerAddress: forward.address,
        innerPort: forward.port,
        externalPort: forward.externalPort,
      });
    }
  }

  /** Bytes of packet memory that `NatOptions.generated` must name. */
  static generatedSize(mtu: number): number {
    return PacketSlots.size(mtu);
  }

  get mappingCount(): number {
    return this.#mappings.size;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  get externalAddress(): number {
    return this.#externalAddress;
  }

  /** Follows a change of the gateway's address outside. Mappings keep their ports. */
  set externalAddress(address: number) {
    this.#externalAddress = address;
  }

  /** Whether a packet for the gateway's own external address is the NAT's concern: else it is the host's. */
  ownsExternal(packet: number): boolean {
    const view = this.#view;
    if (isLaterFragment(view, packet)) return true;
    const transport = packet + ipv4.headerSize(view, packet);
    const protocol = ipv4.protocol(view, packet);
    if (protocol !== ipv4.PROTOCOL_TCP && protocol !== ipv4.PROTOCOL_UDP) return false;
    const port = view.getUint16(transport + udp.DESTINATION_PORT_OFFSET);
    const { first, last } = this.#options.ports;
    return (port >= first && port <= last) ||
      this.#mappings.findExternal(protocol, port) !== null;
  }

  // From a client.

  /** Takes a packet of a client that has passed `checkIpv4`. `now` is monotonic ms. */
  outbound(packet: number, now: number): void {
    const view = this.#view;
    if (ipv4.timeToLive(view, packet) <= 1) {
      this.#answer(packet, icmp.TYPE_TIME_EXCEEDED, CODE_TIME_TO_LIVE, 0, now);
      this.#drop(DropReason.ttlExceeded, packet);
      return;
    }
    if (isLaterFragment(view, packet)) {
      this.#laterFragment(packet, SOURCE, now);
      return;
    }
    const protocol = ipv4.protocol(view, packet);
    const transport = packet + ipv4.headerSize(view, packet);
    switch (protocol) {
      case ipv4.PROTOCOL_TCP:
      case ipv4.PROTOCOL_UDP:
        this.#outboundPort(packet, transport, protocol, now);
        break;
      case ipv4.PROTOCOL_ICMP:
        this.#outboundIcmp(packet, transport, now);
        break;
      default:
        this.#drop(DropReason.natUnsupportedProtocol, packet);
    }
  }

  #outboundPort(packet: number, transport: number, protocol: number, now: number): void {
    const view = this.#view;
    const isTcp = protocol === ipv4.PROTOCOL_TCP;
    const mapping = this.#mappingFor(
      packet,
      protocol,
      view.getUint16(transport + udp.SOURCE_PORT_OFFSET),
      now,
    );
    if (mapping === null) return;
    const remoteAddress = ipv4.destinationAddress(view, packet);
    const remotePort = view.getUint16(transport + udp.DESTINATION_PORT_OFFSET);
    if (isTcp) {
      const session = this.#sessionFor(mapping, remoteAddress, remotePort, now);
      if (session === null) {
        this.#drop(DropReason.natQuota, packet);
        return;
      }
      this.#sessions.confirm(session);
      trackTcp(session, tcp.flags(view, transport), true, now);
      clampMss(view, transport, this.#options.innerMtu - MSS_OVERHEAD);
    } else {
      if (!mapping.isStatic) mapping.expiresAt = now + UDP_TIMEOUT;
      if (this.#options.filtering === "address") {
        const session = this.#sessionFor(mapping, remoteAddress, 0, now);
        if (session !== null) session.expiresAt = now + UDP_TIMEOUT;
      }
    }
    if (remoteAddress === this.#externalAddress) {
      this.#hairpin(packet, mapping, remotePort, now);
      return;
    }
    if (this.#isTooBig(packet, this.#options.externalMtu, now)) return;
    this.#translate(packet, SOURCE, this.#externalAddress, mapping.externalPort, now);
  }

  #outboundIcmp(packet: number, transport: number, now: number): void {
    const view = this.#view;
    const type = icmp.type(view, transport);
    if (icmp.isError(type)) {
      this.#outboundIcmpError(packet, transport);
      return;
    }
    if (type !== icmp.TYPE_ECHO) {
      this.#drop(DropReason.natUnsupportedProtocol, packet);
      return;
    }
    const id = icmp.identifier(view, transport);
    const mapping = this.#mappingFor(packet, ipv4.PROTOCOL_ICMP, id, now);
    if (mapping === null) return;
    mapping.expiresAt = now + ICMP_QUERY_TIMEOUT;
    if (this.#isTooBig(packet, this.#options.externalMtu, now)) return;
    this.#translate(packet, SOURCE, this.#externalAddress, mapping.externalPort, now);
  }

  /** The mapping of a client's endpoint, made if there is none; null, with all that is due done, where it cannot be. */
  #mappingFor(packet: number, protocol: number, port: number, now: number): Mapping | null {
    const address = ipv4.sourceAddress(this.#view, packet);
    const found = this.#mappings.findInner(protocol, address, port);
    if (found !== null) {
      if (now < found.expiresAt) return found;
      this.#mappings.remove(found, now);
    }
    const made = this.#mappings.create(protocol, address, port, now);
    if (typeof made !== "string") return made;
    // RFC 6888 REQ-4: nothing that exists gives way for it.
    const type = icmp.TYPE_DESTINATION_UNREACHABLE;
    this.#answer(packet, type, CODE_ADMINISTRATIVELY_PROHIBITED, 0, now);
    this.#drop(made === "quota" ? DropReason.natQuota : DropReason.natPortsExhausted, packet);
    return null;
  }

  #sessionFor(mapping: Mapping, address: number, port: number, now: number): Session | null {
    const found = this.#sessions.find(mapping, address, port);
    if (found === null) {
      return this.#sessions.create(mapping, { address, port, expiresAt: now });
    }
    if (now >= found.expiresAt) found.seen = 0;
    return found;
  }

  /** One client reaches another by its external endpoint, and is seen with its own (RFC 4787 REQ-9). */
  #hairpin(packet: number, source: Mapping, port: number, now: number): void {
    const view = this.#view;
    const protocol = ipv4.protocol(view, packet);
    const target = this.#liveExternal(protocol, port, now);
    if (target === null) {
      this.#drop(DropReason.natNoMapping, packet);
      return;
    }
    const length = ipv4.totalLength(view, packet);
    rewriteEndpoint(view, packet, length, SOURCE, this.#externalAddress, source.externalPort);
    if (!this.#admits(target, packet, now)) return;
    this.#translate(packet, DESTINATION, target.innerAddress, target.innerPort, now);
  }

  /** A client's error about a packet that came in: the quoted packet is put back as the sender knows it. */
  #outboundIcmpError(packet: number, transport: number): void {
    const quoted = this.#quotedPacket(packet, transport);
    if (quoted < 0) return;
    const view = this.#view;
    const end = packet + ipv4.totalLength(view, packet);
    const port = quotedPort(view, quoted, DESTINATION);
    const mapping = this.#mappings.findInner(
      ipv4.protocol(view, quoted),
      ipv4.destinationAddress(view, quoted),
      port,
    );
    if (mapping === null) {
      this.#drop(DropReason.natNoMapping, packet);
      return;
    }
    const external = this.#externalAddress;
    rewriteEndpoint(view, quoted, end - quoted, DESTINATION, external, mapping.externalPort);
    this.#finishIcmpError(transport, end);
    rewriteAddress(view, packet, SOURCE, external);
    decrementTimeToLive(view, packet);
    this.#push(this.outside, packet);
  }

  // From outside.

  /** Takes a packet captured outside that has passed `checkIpv4` and is addressed to the external address. */
  inbound(packet: number, now: number): void {
    if (this.#inbound(packet, ipv4.totalLength(this.#view, packet), now)) {
      this.#push(this.inside, packet);
    }
  }

  /**
   * Takes a super-packet captured outside. Its checksums are left wrong: splitting works them out anew.
   *
   * @param segmentLength bytes of each packet that it will be split into
   * @returns whether it may go on, to the client that its destination now names
   */
  inboundMerged(packet: number, segmentLength: number, now: number): boolean {
    return this.#inbound(packet, segmentLength, now);
  }

  #inbound(packet: number, wireLength: number, now: number): boolean {
    const view = this.#view;
    if (ipv4.destinationAddress(view, packet) !== this.#externalAddress) return false;
    if (isLaterFragment(view, packet)) {
      this.#laterFragment(packet, DESTINATION, now);
      return false;
    }
    const transport = packet + ipv4.headerSize(view, packet);
    const protocol = ipv4.protocol(view, packet);
    let port: number;
    if (protocol === ipv4.PROTOCOL_ICMP) {
      const type = icmp.type(view, transport);
      if (icmp.isError(type)) {
        this.#inboundIcmpError(packet, transport);
        return false;
      }
      // Anything else is for the gateway itself, whose kernel sees it as well.
      if (type !== icmp.TYPE_ECHO_REPLY) return false;
      port = icmp.identifier(view, transport);
    } else {
      port = view.getUint16(transport + udp.DESTINATION_PORT_OFFSET);
    }
    const mapping = this.#liveExternal(protocol, port, now);
    if (mapping === null) {
      // An echo reply may be for the gateway itself; a segment for nobody is met with silence (RFC 5382 REQ-4).
      if (protocol !== ipv4.PROTOCOL_ICMP) this.#drop(DropReason.natNoMapping, packet);
      return false;
    }
    if (!this.#admits(mapping, packet, now)) return false;
    if (ipv4.timeToLive(view, packet) <= 1) {
      this.#answerOutside(packet, icmp.TYPE_TIME_EXCEEDED, CODE_TIME_TO_LIVE, 0, now);
      this.#drop(DropReason.ttlExceeded, packet);
      return false;
    }
    if (wireLength > this.#options.innerMtu && ipv4.dontFragment(view, packet)) {
      const type = icmp.TYPE_DESTINATION_UNREACHABLE;
      const mtu = this.#options.innerMtu;
      this.#answerOutside(packet, type, CODE_FRAGMENTATION_NEEDED, mtu, now);
      this.#drop(DropReason.fragmentationNeeded, packet);
      return false;
    }
    if (protocol === ipv4.PROTOCOL_TCP) {
      clampMss(view, transport, this.#options.innerMtu - MSS_OVERHEAD);
    }
    this.#rewriteAndForward(packet, DESTINATION, mapping.innerAddress, mapping.innerPort, now);
    if (wireLength <= this.#options.innerMtu) return true;
    if (wireLength === ipv4.totalLength(view, packet)) this.#fragment(packet, this.inside);
    return wireLength !== ipv4.totalLength(view, packet);
  }

  #liveExternal(protocol: number, port: number, now: number): Mapping | null {
    const mapping = this.#mappings.findExternal(protocol, port);
    if (mapping === null || now < mapping.expiresAt) return mapping;
    this.#mappings.remove(mapping, now);
    return null;
  }

  /** Whether the sender may use the mapping; takes note of it where that matters. What may not is dropped. */
  #admits(mapping: Mapping, packet: number, now: number): boolean {
    const view = this.#view;
    const protocol = mapping.protocol;
    const isStrict = this.#options.filtering === "address" && !mapping.isStatic;
    if (protocol === ipv4.PROTOCOL_ICMP) return true;
    const transport = packet + ipv4.headerSize(view, packet);
    const address = ipv4.sourceAddress(view, packet);
    if (protocol === ipv4.PROTOCOL_UDP) {
      if (!isStrict || this.#knows(mapping, address, 0, now)) return true;
      this.#drop(DropReason.natFiltered, packet);
      return false;
    }
    const port = tcp.sourcePort(view, transport);
    if (isStrict && !this.#knows(mapping, address, port, now)) {
      this.#drop(DropReason.natFiltered, packet);
      return false;
    }
    const session = this.#sessionFor(mapping, address, port, now);
    if (session === null) {
      this.#drop(DropReason.natQuota, packet);
      return false;
    }
    trackTcp(session, tcp.flags(view, transport), false, now);
    return true;
  }

  #knows(mapping: Mapping, address: number, port: number, now: number): boolean {
    const session = this.#sessions.find(mapping, address, port);
    return session !== null && now < session.expiresAt;
  }

  /** A router's or a server's error about a packet that went out: quoted and addressed as the client knows it. */
  #inboundIcmpError(packet: number, transport: number): void {
    const quoted = this.#quotedPacket(packet, transport);
    if (quoted < 0) return;
    const view = this.#view;
    const end = packet + ipv4.totalLength(view, packet);
    const protocol = ipv4.protocol(view, quoted);
    const port = quotedPort(view, quoted, SOURCE);
    const mapping = ipv4.sourceAddress(view, quoted) === this.#externalAddress
      ? this.#mappings.findExternal(protocol, port)
      : null;
    // It may be about a packet of the gateway's own, whose kernel sees it as well.
    if (mapping === null) return;
    const { innerAddress, innerPort } = mapping;
    rewriteEndpoint(view, quoted, end - quoted, SOURCE, innerAddress, innerPort);
    this.#finishIcmpError(transport, end);
    rewriteAddress(view, packet, DESTINATION, innerAddress);
    // RFC 5508 REQ-6: an error neither deletes a mapping nor refreshes it.
    if (ipv4.timeToLive(view, packet) > 1) {
      decrementTimeToLive(view, packet);
      this.#push(this.inside, packet);
    }
  }

  /**
   * The packet quoted in an ICMP error; -1, counted, where the error or what it quotes is broken. Checksums of both IP headers
   * and of the ICMP message must be right; that of the quoted transport header cannot be checked (RFC 5508 REQ-3).
   */
  #quotedPacket(packet: number, transport: number): number {
    const view = this.#view;
    const end = packet + ipv4.totalLength(view, packet);
    const quoted = transport + icmp.HEADER_SIZE;
    const available = end - quoted;
    const isWhole = available >= ipv4.MIN_HEADER_SIZE && ipv4.version(view, quoted) === 4 &&
      ipv4.headerSize(view, quoted) >= ipv4.MIN_HEADER_SIZE &&
      // Eight bytes of the transport header: what every error quotes, and where the ports are.
      available >= ipv4.headerSize(view, quoted) + 8 && !isLaterFragment(view, quoted) &&
      isTranslated(ipv4.protocol(view, quoted)) &&
      finish(sum(view, quoted, ipv4.headerSize(view, quoted))) === 0 &&
      finish(sum(view, transport, end - transport)) === 0;
    if (isWhole) return quoted;
    this.#drop(DropReason.natBadIcmp, packet);
    return -1;
  }

  /** An error's checksum covers what it quotes, of which little is left to update: it is worked out anew. */
  #finishIcmpError(transport: number, end: number): void {
    const view = this.#view;
    view.setUint16(transport + icmp.CHECKSUM_OFFSET, 0);
    view.setUint16(
      transport + icmp.CHECKSUM_OFFSET,
      finish(sum(view, transport, end - transport)),
    );
  }

  // Both ways.

  /** Rewrites a packet and leaves it in the queue of the side it goes to. */
  #translate(
    packet: number,
    end: End,
    address: number,
    port: number,
    now: number,
  ): void {
    this.#rewriteAndForward(packet, end, address, port, now);
    const isOutward = end === SOURCE;
    const queue = isOutward ? this.outside : this.inside;
    const mtu = isOutward ? this.#options.externalMtu : this.#options.innerMtu;
    if (ipv4.totalLength(this.#view, packet) > mtu) this.#fragment(packet, queue);
    else this.#push(queue, packet);
  }

  #rewriteAndForward(
    packet: number,
    end: End,
    address: number,
    port: number,
    now: number,
  ): void {
    const view = this.#view;
    const train = ipv4.moreFragments(view, packet)
      ? this.#fragments.train(view, packet, now)
      : null;
    rewriteEndpoint(view, packet, ipv4.totalLength(view, packet), end, address, port);
    decrementTimeToLive(view, packet);
    if (train !== null) this.#decide(train, packet, end, address);
  }

  /** The first fragment has come: those that waited follow it. */
  #decide(
    train: FragmentTrain,
    packet: number,
    end: End,
    address: number,
  ): void {
    train.isDecided = true;
    train.address = address;
    // Several clients share one address outside, so that their ids could meet (RFC 4787 section 11, RFC 6864).
    train.newIdentification = end === SOURCE ? this.#nextIdentification() : train.identification;
    rewriteIdentification(this.#view, packet, train.newIdentification);
    for (const held of this.#fragments.release(train)) {
      const slot = this.#slots.next();
      this.#memory.bytes.set(held, slot);
      this.#forwardFragment(train, slot, end);
    }
  }

  #laterFragment(packet: number, end: End, now: number): void {
    const view = this.#view;
    const train = this.#fragments.train(view, packet, now);
    if (train === null) {
      this.#drop(DropReason.natFragment, packet);
    } else if (train.isDecided) {
      this.#forwardFragment(train, packet, end);
    } else {
      const copy = this.#memory.bytes.subarray(packet, packet + ipv4.totalLength(view, packet));
      if (!this.#fragments.hold(train, copy)) this.#drop(DropReason.natFragment, packet);
    }
  }

  #forwardFragment(
    train: FragmentTrain,
    packet: number,
    end: End,
  ): void {
    const view = this.#view;
    if (ipv4.timeToLive(view, packet) <= 1) {
      this.#drop(DropReason.ttlExceeded, packet);
      return;
    }
    rewriteAddress(view, packet, end, train.address);
    rewriteIdentification(view, packet, train.newIdentification);
    decrementTimeToLive(view, packet);
    const queue = end === SOURCE ? this.outside : this.inside;
    const mtu = end === SOURCE ? this.#options.externalMtu : this.#options.innerMtu;
    if (ipv4.totalLength(view, packet) > mtu) this.#fragment(packet, queue);
    else this.#push(queue, packet);
  }

  /** Divides a packet that is too long for the next link; one with DF has been refused before. */
  #fragment(packet: number, queue: PacketQueue): void {
    const { bytes } = this.#memory;
    const view = this.#view;
    const mtu = queue === this.outside ? this.#options.externalMtu : this.#options.innerMtu;
    const flags = view.getUint16(packet + ipv4.FLAGS_OFFSET);
    const baseOffset = flags & ipv4.FRAGMENT_OFFSET_MASK;
    const header = ipv4.MIN_HEADER_SIZE;
    const divided = forEachFragment(view, packet, mtu, (at, length, isLast) => {
      const slot = this.#slots.next();
      bytes.copyWithin(slot, packet, packet + header);
      bytes.copyWithin(slot + header, packet + header + at, packet + header + at + length);
      const more = isLast ? flags & ipv4.FLAG_MORE_FRAGMENTS : ipv4.FLAG_MORE_FRAGMENTS;
      view.setUint16(slot + ipv4.TOTAL_LENGTH_OFFSET, header + length);
      view.setUint16(slot + ipv4.FLAGS_OFFSET, more | (baseOffset + (at >>> 3)));
      view.setUint16(slot + ipv4.HEADER_CHECKSUM_OFFSET, 0);
      view.setUint16(slot + ipv4.HEADER_CHECKSUM_OFFSET, finish(sum(view, slot, header)));
      this.#push(queue, slot);
    });
    if (!divided) this.#drop(DropReason.tooBig, packet);
  }

  /** Whether a packet with DF does not fit; its sender is told then. */
  #isTooBig(packet: number, mtu: number, now: number): boolean {
    const view = this.#view;
    if (ipv4.totalLength(view, packet) <= mtu || !ipv4.dontFragment(view, packet)) return false;
    const type = icmp.TYPE_DESTINATION_UNREACHABLE;
    this.#answer(packet, type, CODE_FRAGMENTATION_NEEDED, mtu, now);
    this.#drop(DropReason.fragmentationNeeded, packet);
    return true;
  }

  /** Sends a client an ICMP error about its packet, from the gateway's inner address. */
  #answer(packet: number, type: number, code: number, nextHopMtu: number, now: number): void {
    const source = this.#options.innerAddress;
    this.#sendError(this.inside, packet, { type, code, nextHopMtu, source }, now);
  }

  /** Sends a host outside an ICMP error about its packet. */
  #answerOutside(packet: number, type: number, code: number, mtu: number, now: number): void {
    const error = { type, code, nextHopMtu: mtu, source: this.#externalAddress };
    this.#sendError(this.outside, packet, error, now);
  }

  #sendError(
    queue: PacketQueue,
    packet: number,
    error: { type: number; code: number; nextHopMtu: number; source: number },
    now: number,
  ): void {
    const view = this.#view;
    if (!mayAnswer(view, packet)) return;
    if (!this.#limiter.allow(ipv4.sourceAddress(view, packet), now)) return;
    const slot = this.#slots.next();
    writeIcmpError(this.#memory, slot, packet, error);
    this.#push(queue, slot);
  }

  #push(queue: PacketQueue, packet: number): void {
    const length = ipv4.totalLength(this.#view, packet);
    if (!queue.push(packet, length)) this.#drops.add(DropReason.sendQueueFull, length);
  }

  #drop(reason: DropReason, packet: number): void {
    this.#drops.add(reason, ipv4.totalLength(this.#view, packet));
  }

  #nextIdentification(): number {
    this.#identification = (this.#identification + 1) & 0xffff;
    return this.#identification;
  }

  // Time.

  /** When `poll()` has something to do, monotonic ms. */
  pollAt(): number {
    return this.#mappings.size > 0 ? this.#sweepAt : Infinity;
  }

  /** Removes what has expired. Costs one comparison when it is not time. */
  poll(now: number): void {
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + SWEEP_INTERVAL;
    this.#sessions.sweep(now, (mapping) => isOver(mapping, now));
    for (const mapping of this.#mappings.all()) {
      if (isOver(mapping, now)) this.#mappings.remove(mapping, now);
    }
    this.#fragments.sweep(now);
  }
}

/** A TCP mapping lives as long as its sessions, others until their time-out; configured ones for ever. */
function isOver(mapping: Mapping, now: number): boolean {
  if (mapping.isStatic) return false;
  return mapping.protocol === ipv4.PROTOCOL_TCP ? mapping.sessions === 0 : now >= mapping.expiresAt;
}

function isTranslated(protocol: number): boolean {
  return protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP ||
    protocol === ipv4.PROTOCOL_ICMP;
}

/** The port of one end of a quoted packet, or the id of a quoted ICMP query. */
function quotedPort(
  view: DataView,
  quoted: number,
  end: End,
): number {
  const transport = quoted + ipv4.headerSize(view, quoted);
  return ipv4.protocol(view, quoted) === ipv4.PROTOCOL_ICMP
    ? icmp.identifier(view, transport)
    : view.getUint16(transport + 2 * end);
}
