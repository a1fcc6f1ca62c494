/** Outbound NAT: packets of clients, sent on outside or, by an external endpoint, back to a client (hairpin). */
import type { PortRange } from "../wire/port_range.ts";
import { DropReason } from "../wire/drop_reason.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";
import { Direction } from "./direction.ts";
import type { Identifications } from "./fragments/identifications.ts";
import { AS_IT_IS } from "./headers/address_table.ts";
import { DESTINATION, IcmpKind, SOURCE } from "./headers/headers.ts";
import type { Mapping } from "./records.ts";
import { Origin } from "./slices/hand_over.ts";
import { isTranslated } from "./rewrite.ts";

export class Outbound extends Direction {
  readonly #ports: PortRange;
  readonly #identifications: Identifications;

  constructor(
    parts: Direction,
    ports: PortRange,
    identifications: Identifications,
  ) {
    super(parts);
    this.#ports = ports;
    this.#identifications = identifications;
  }

  /**
   * Takes on a client's packet to the gateway's own external address, for `translate()`, or leaves it to the host: the
   * first fragment decides for those that follow, so that it is to be called once for each packet.
   *
   * @returns whether it is the NAT's concern
   */
  takeExternal(packet: number, now: number): boolean {
    const headers = this.headers;
    headers.enter(packet);
    if (headers.isLaterFragment(packet)) return !this.fragments.isForeign(packet, now);
    const isOurs = this.#ownsPort(packet, now);
    if (!isOurs && headers.isFirstFragment(packet)) {
      const identification = headers.identification(packet);
      const fate = { link: null, source: AS_IT_IS, destination: AS_IT_IS, identification };
      this.fragments.decide(packet, fate, now);
    }
    return isOurs;
  }

  #ownsPort(packet: number, now: number): boolean {
    const headers = this.headers;
    const transport = headers.transport(packet);
    const protocol = headers.protocol(packet);
    if (protocol === ipv4.PROTOCOL_ICMP) {
      return headers.icmpKind(transport) === IcmpKind.error &&
        this.icmp.isHairpin(packet, transport, now);
    }
    if (protocol !== ipv4.PROTOCOL_TCP && protocol !== ipv4.PROTOCOL_UDP) return false;
    const port = this.view.getUint16(transport + udp.DESTINATION_PORT_OFFSET);
    return (port >= this.#ports.first && port <= this.#ports.last) ||
      this.flows.mappings.findExternal(protocol, port) !== null;
  }

  /** Whether a client's packet is a back end's, of a flow that it was given from outside. Not for later fragments. */
  answers(packet: number, now: number): boolean {
    const view = this.view;
    const headers = this.headers;
    const protocol = headers.protocol(packet);
    const hasPorts = protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP;
    if (!hasPorts || headers.isLaterFragment(packet)) return false;
    const transport = headers.transport(packet);
    const { mappings, services } = this.flows;
    const port = view.getUint16(transport + udp.SOURCE_PORT_OFFSET);
    const mapping = mappings.findInner(protocol, headers.source(packet), port);
    if (mapping === null || mapping.backEnd === null) return false;
    const remotePort = view.getUint16(transport + udp.DESTINATION_PORT_OFFSET);
    const remote = headers.destination(packet);
    return services.hasFlow(mapping.backEnd, remote, remotePort, now);
  }

  /**
   * Takes a packet of a client that has passed the checks of its family.
   *
   * @param guess the mapping that it may leave by; null for none
   * @param now monotonic ms
   * @returns the mapping that it leaves by, of TCP and UDP
   */
  translate(packet: number, guess: Mapping | null, now: number): Mapping | null {
    const view = this.view;
    const headers = this.headers;
    headers.enter(packet);
    this.forwarder.begin();
    if (headers.hopLimit(packet) <= 1) {
      this.forwarder.refuseExpired(packet, this.inside, now);
      return null;
    }
    if (headers.isLaterFragment(packet)) {
      if (isTranslated(headers.protocol(packet))) this.fragments.later(packet, now);
      else this.forwarder.drop(DropReason.natUnsupportedProtocol, packet);
      return null;
    }
    const transport = headers.transport(packet);
    switch (headers.protocol(packet)) {
      case ipv4.PROTOCOL_TCP: {
        const mapping = this.flows.outboundTcp(packet, transport, guess, now);
        if (mapping === null) return null;
        this.limits.clampMss(transport, mapping);
        this.#depart(packet, mapping, tcp.destinationPort(view, transport), now);
        return mapping;
      }
      case ipv4.PROTOCOL_UDP: {
        const mapping = this.flows.outboundUdp(packet, transport, guess, now);
        if (mapping === null) return null;
        this.#depart(packet, mapping, udp.destinationPort(view, transport), now);
        return mapping;
      }
      case ipv4.PROTOCOL_ICMP:
        this.#outboundIcmp(packet, transport, now);
        break;
      default:
        this.forwarder.refuseProtocol(packet, this.inside, now);
    }
    return null;
  }

  #outboundIcmp(packet: number, message: number, now: number): void {
    const kind = this.headers.icmpKind(message);
    if (kind === IcmpKind.error) {
      this.icmp.outbound(packet, message, now);
      return;
    }
    // Of queries, echo alone; and one to the external address is the host's to answer.
    const isHairpin = this.flows.external.isExternal(this.headers.destination(packet));
    if (kind !== IcmpKind.echo || isHairpin) {
      this.forwarder.drop(DropReason.natUnsupportedProtocol, packet);
      return;
    }
    const mapping = this.flows.outboundEcho(packet, message, now);
    if (mapping !== null) this.#depart(packet, mapping, 0, now);
  }

  /** Sends a client's packet on: outside, or back to another client (or itself) by that one's external endpoint. */
  #depart(packet: number, mapping: Mapping, remotePort: number, now: number): void {
    const headers = this.headers;
    let destination = headers.destination(packet);
    const isHairpin = this.flows.external.isExternal(destination);
    const onward = isHairpin ? this.inside : this.outside;
    const length = headers.totalLength(packet);
    if (this.forwarder.refuseTooBig(packet, length, onward, this.inside, now)) return;
    if (isHairpin && this.owners !== null) {
      const owner = this.owners.of(mapping.protocol, remotePort);
      if (owner !== this.owners.own) {
        this.#cross(packet, mapping, remotePort, owner, now);
        return;
      }
    }
    let target: Mapping | null = null;
    if (isHairpin) {
      target = this.#hairpinTarget(packet, mapping, remotePort, now);
      if (target === null) return;
      if (target.backEnd !== null && target.backEnd.isOutside) {
        this.#relayOutside(packet, length, mapping, target, now);
        return;
      }
      if (this.limits.refuseTooLong(packet, length, target, this.inside, now)) return;
      if (target.protocol === ipv4.PROTOCOL_TCP) {
        this.limits.clampMss(headers.transport(packet), target);
      }
      destination = target.innerAddress;
    }
    const address = this.flows.external.addressOf(mapping);
    const isIdentified = headers.isIdentified(packet);
    const identification = isIdentified
      ? this.#identifications.next(destination, mapping.protocol)
      : 0;
    const fate = headers.isFirstFragment(packet)
      ? { link: onward, source: address, destination, identification }
      : null;
    const waiting = fate === null ? null : this.fragments.decide(packet, fate, now);

    headers.rewriteEndpoint(packet, length, SOURCE, address, mapping.externalPort);
    if (target !== null) {
      headers.rewriteEndpoint(packet, length, DESTINATION, target.innerAddress, target.innerPort);
    }
    if (isIdentified) headers.rewriteIdentification(packet, identification);
    headers.decrementHopLimit(packet);
    this.forwarder.forward(onward, packet);
    if (waiting !== null && fate !== null) this.fragments.follow(waiting, fate);
  }

  /** Sends a client's packet on, as it is seen outside, to a back end there of a published service. */
  #relayOutside(
    packet: number,
    length: number,
    mapping: Mapping,
    target: Mapping,
    now: number,
  ): void {
    const address = this.flows.external.addressOf(mapping);
    this.headers.rewriteEndpoint(packet, length, SOURCE, address, mapping.externalPort);
    const { externalPort } = mapping;
    if (this.relay === null || !this.relay.forward(packet, length, target, externalPort, now)) {
      return;
    }
    this.forwarder.forward(this.outside, packet);
  }

  /**
   * Hands a client's packet, as it would be seen outside, to the worker whose client it is for. One time to live and
   * the path to that client are that worker's concern.
   */
  #cross(packet: number, mapping: Mapping, remotePort: number, worker: number, now: number): void {
    const headers = this.headers;
    const { address } = this.outside;
    if (!this.flows.mayCross(mapping, remotePort, address, now)) {
      this.forwarder.drop(DropReason.clientToClientOff, packet);
      return;
    }
    const isIdentified = headers.isIdentified(packet);
    const identification = isIdentified ? this.#identifications.next(address, mapping.protocol) : 0;
    const fate = headers.isFirstFragment(packet)
      ? { link: null, source: address, destination: address, identification, worker }
      : null;
    const waiting = fate === null ? null : this.fragments.decide(packet, fate, now);
    const length = headers.totalLength(packet);
    headers.rewriteEndpoint(packet, length, SOURCE, address, mapping.externalPort);
    if (isIdentified) headers.rewriteIdentification(packet, identification);
    this.forwarder.handOver(worker, Origin.hairpin, packet);
    if (waiting !== null && fate !== null) this.fragments.follow(waiting, fate);
  }

  /** The mapping by which one client reaches another, seen with its own external endpoint (RFC 4787 REQ-9). */
  #hairpinTarget(packet: number, source: Mapping, port: number, now: number): Mapping | null {
    const { protocol, externalPort } = source;
    const { external } = this.flows;
    const address = external.addressOf(source);
    const target = external.findInbound(packet, protocol, port, address, externalPort, now);
    if (target === null) {
      external.dropUnmapped(packet, protocol, port);
      return null;
    }
    if (target.backEnd !== null && target.backEnd.isOutside) return target;
    if (!this.flows.mayHairpin(source, target, address, now)) {
      this.forwarder.drop(DropReason.clientToClientOff, packet);
      return null;
    }
    return this.flows.admits(target, packet, address, externalPort, now) ? target : null;
  }
}
