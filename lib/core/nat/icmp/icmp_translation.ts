/**
 * ICMP translation of errors that pass through (RFC 5508 section 4; of ICMPv6 in the same way): each quotes the
 * beginning of the packet that it is about, which has to be put back as its sender knows it, and is addressed by that.
 *
 * An error neither makes nor ends nor refreshes a mapping, whatever it says (REQ-6; RFC 4787 REQ-12; RFC 5382 REQ-10):
 * anybody can forge one.
 */
import { DropReason } from "../../wire/drop_reason.ts";
import * as icmp from "../../wire/icmp.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import type { Flows } from "../flows.ts";
import type { Forwarder } from "../forwarder.ts";
import { DESTINATION, type End, type Headers, IcmpKind, SOURCE } from "../headers/headers.ts";
import type { NatLink } from "../link.ts";
import type { MappingTable } from "../mapping_table.ts";
import { ANY_PORT, type Mapping } from "../records.ts";
import { Origin } from "../slices/hand_over.ts";
import type { Relay } from "../services/relay.ts";
import type { Owners } from "../slices/owners.ts";

export interface IcmpTranslatorOptions {
  readonly headers: Headers;
  readonly forwarder: Forwarder;
  readonly flows: Flows;
  readonly clientOf: (address: number) => unknown;
  readonly owners: Owners | null;
  readonly relay: Relay | null;
}

/** Takes packets whose ICMP type is an error's, by the offsets of the packet and of the ICMP message. */
export class IcmpTranslator {
  readonly #view: DataView;
  readonly #headers: Headers;
  readonly #forwarder: Forwarder;
  readonly #flows: Flows;
  readonly #mappings: MappingTable;
  readonly #clientOf: (address: number) => unknown;
  readonly #owners: Owners | null;
  readonly #relay: Relay | null;

  constructor(view: DataView, options: IcmpTranslatorOptions) {
    this.#view = view;
    this.#headers = options.headers;
    this.#forwarder = options.forwarder;
    this.#flows = options.flows;
    this.#mappings = options.flows.mappings;
    this.#clientOf = options.clientOf;
    this.#owners = options.owners;
    this.#relay = options.relay;
  }

  /** The worker whose client sent what an error quotes; this one where that cannot be told. */
  ownerOfQuoted(packet: number, message: number, owners: Owners): number {
    const headers = this.#headers;
    const quoted = message + icmp.HEADER_SIZE;
    if (!headers.isQuotable(quoted, packet + headers.totalLength(packet))) return owners.own;
    return owners.of(headers.protocol(quoted), this.#portOf(quoted, SOURCE));
  }

  /**
   * A router's or a server's error about a packet of a client's (REQ-4); or one of another worker's client, which comes
   * as if from outside.
   */
  inbound(packet: number, message: number, isHairpin: boolean, now: number): void {
    const headers = this.#headers;
    const quoted = this.#quoted(packet, message, IcmpKind.echo);
    if (quoted < 0) return;
    const { outside, inside } = this.#forwarder;
    if (this.#relay !== null && this.#isRelayed(this.#relay, packet, quoted, now)) {
      headers.rewriteAddress(packet, DESTINATION, headers.source(quoted));
      this.#finish(packet, message, outside);
      return;
    }
    const mapping = this.#flows.external.findSent(
      headers.source(quoted),
      headers.protocol(quoted),
      this.#portOf(quoted, SOURCE),
      headers.destination(quoted),
      this.#remotePortOf(quoted, DESTINATION),
      now,
    );
    // It may be about a packet of the gateway's own, whose kernel sees it as well.
    if (mapping === null) return;
    if (isHairpin) {
      const sender = this.#remotePortOf(quoted, DESTINATION);
      if (!this.#flows.mayBeReached(mapping, outside.address, sender)) {
        this.#forwarder.drop(DropReason.clientToClientOff, packet);
        return;
      }
    }
    const { innerAddress, innerPort } = mapping;
    const end = packet + headers.totalLength(packet);
    headers.rewriteEndpoint(quoted, end - quoted, SOURCE, innerAddress, innerPort);
    headers.rewriteAddress(packet, DESTINATION, innerAddress);
    this.#finish(packet, message, inside);
  }

  /** Whether an error is about a packet to or from a back end outside, which is put back if so. */
  #isRelayed(relay: Relay, packet: number, quoted: number, now: number): boolean {
    const headers = this.#headers;
    const protocol = headers.protocol(quoted);
    if (protocol === ipv4.PROTOCOL_ICMP) return false;
    const available = packet + headers.totalLength(packet) - quoted;
    const source = headers.source(quoted);
    const port = this.#portOf(quoted, SOURCE);
    const remotePort = this.#portOf(quoted, DESTINATION);
    if (source === this.#forwarder.outside.address && relay.has(port)) {
      return relay.restoreForward(quoted, available, remotePort, port, now);
    }
    const remote = headers.destination(quoted);
    const mapping = this.#flows.external.findSent(
      source,
      protocol,
      port,
      remote,
      remotePort,
      now,
    );
    if (mapping === null || mapping.backEnd === null || !mapping.backEnd.isOutside) return false;
    return relay.restoreBack(quoted, available, mapping, remotePort, now);
  }

  /**
   * A client's error about a packet that it got (REQ-5), from outside or, by hairpinning, from another client (REQ-7).
   */
  outbound(packet: number, message: number, now: number): void {
    const headers = this.#headers;
    const quoted = this.#quoted(packet, message, IcmpKind.echoReply);
    if (quoted < 0) return;
    const { outside, inside } = this.#forwarder;
    const receiver = headers.destination(quoted);
    const mapping = this.#receiverOf(quoted);
    // The error goes to whom the quoted packet came from, and is about the sender's own: or a client could break up
    // another's connections.
    const isOwn = headers.destination(packet) === headers.source(quoted) &&
      this.#clientOf(receiver) === this.#clientOf(headers.source(packet));
    if (mapping === null || !isOwn) {
      this.#forwarder.drop(DropReason.natNoMapping, packet);
      return;
    }
    const end = packet + headers.totalLength(packet);
    const isHairpin = this.#flows.external.isExternal(headers.source(quoted));
    const worker = isHairpin ? this.#otherOwner(quoted) : -1;
    if (worker >= 0) {
      this.#cross(packet, message, quoted, { mapping, worker });
      return;
    }
    if (isHairpin) {
      const other = this.#hairpinned(quoted, mapping, now);
      if (other === null) {
        this.#forwarder.drop(DropReason.natNoMapping, packet);
        return;
      }
      if (!this.#flows.mayReach(mapping, other, outside.address)) {
        this.#forwarder.drop(DropReason.clientToClientOff, packet);
        return;
      }
      const { innerAddress, innerPort } = other;
      headers.rewriteEndpoint(quoted, end - quoted, SOURCE, innerAddress, innerPort);
      headers.rewriteAddress(packet, DESTINATION, innerAddress);
    }
    const { externalPort } = mapping;
    const address = this.#flows.external.addressOf(mapping);
    headers.rewriteEndpoint(quoted, end - quoted, DESTINATION, address, externalPort);
    headers.rewriteAddress(packet, SOURCE, address);
    this.#finish(packet, message, isHairpin ? inside : outside);
  }

  /**
   * Whether a client's error to the external address is about a packet of another client's: else it is for the host.
   */
  isHairpin(packet: number, message: number, now: number): boolean {
    const end = packet + this.#headers.totalLength(packet);
    const quoted = message + icmp.HEADER_SIZE;
    return this.#headers.isQuotable(quoted, end) &&
      (this.#otherOwner(quoted) >= 0 ||
        this.#hairpinned(quoted, this.#receiverOf(quoted), now) !== null);
  }

  /** The other worker whose client a quoted packet came from by hairpinning; -1 for none. */
  #otherOwner(quoted: number): number {
    const protocol = this.#headers.protocol(quoted);
    if (this.#owners === null || protocol === ipv4.PROTOCOL_ICMP) return -1;
    const owner = this.#owners.of(protocol, this.#portOf(quoted, SOURCE));
    return owner === this.#owners.own ? -1 : owner;
  }

  /** Hands an error to the worker whose client sent what it quotes. */
  #cross(
    packet: number,
    message: number,
    quoted: number,
    { mapping, worker }: { mapping: Mapping; worker: number },
  ): void {
    const headers = this.#headers;
    const { address } = this.#forwarder.outside;
    if (!this.#flows.mayErrorCross(mapping, this.#portOf(quoted, SOURCE), address)) {
      this.#forwarder.drop(DropReason.clientToClientOff, packet);
      return;
    }
    const end = packet + headers.totalLength(packet);
    const { externalPort } = mapping;
    headers.rewriteEndpoint(quoted, end - quoted, DESTINATION, address, externalPort);
    headers.rewriteAddress(packet, SOURCE, address);
    headers.writeIcmpChecksum(packet, message);
    this.#forwarder.handOver(worker, Origin.hairpin, packet);
  }

  /** The mapping of a client that got a quoted packet. */
  #receiverOf(quoted: number): Mapping | null {
    const headers = this.#headers;
    return this.#mappings.findOutbound(
      headers.protocol(quoted),
      headers.destination(quoted),
      this.#portOf(quoted, DESTINATION),
      headers.source(quoted),
      this.#remotePortOf(quoted, SOURCE),
    );
  }

  /**
   * The client's mapping that a quoted packet came from by hairpinning. Queries are not hairpinned: the host answers
   * them.
   */
  #hairpinned(quoted: number, receiver: Mapping | null, now: number): Mapping | null {
    const protocol = this.#headers.protocol(quoted);
    if (protocol === ipv4.PROTOCOL_ICMP) return null;
    const { external } = this.#flows;
    return external.findSent(
      this.#headers.source(quoted),
      protocol,
      this.#portOf(quoted, SOURCE),
      receiver === null ? this.#forwarder.outside.address : external.addressOf(receiver),
      receiver === null ? ANY_PORT : receiver.externalPort,
      now,
    );
  }

  /**
   * The packet that an error quotes; -1, counted, where either is broken (REQ-3). The checksums of the message and of
   * both IP headers must be right; that of the quoted transport header cannot be checked.
   *
   * @param query the kind that a quoted message of ICMP has to be of
   */
  #quoted(packet: number, message: number, query: IcmpKind): number {
    const headers = this.#headers;
    const end = packet + headers.totalLength(packet);
    const quoted = message + icmp.HEADER_SIZE;
    if (!headers.isRoutable(message)) {
      this.#forwarder.drop(DropReason.natUnsupportedProtocol, packet);
      return -1;
    }
    const isGood = headers.isQuotable(quoted, end) && !headers.isFirstFragment(packet) &&
      (headers.protocol(quoted) !== ipv4.PROTOCOL_ICMP ||
        headers.icmpKind(headers.transport(quoted)) === query) &&
      headers.isIntact(packet, message, quoted);
    if (isGood) return quoted;
    this.#forwarder.drop(DropReason.natBadIcmp, packet);
    return -1;
  }

  /**
   * Sends the error on. Its checksum covers what it quotes, of which little is left to update: it is computed again.
   */
  #finish(packet: number, message: number, link: NatLink): void {
    const headers = this.#headers;
    if (headers.hopLimit(packet) <= 1) {
      this.#forwarder.drop(DropReason.ttlExceeded, packet);
      return;
    }
    headers.writeIcmpChecksum(packet, message);
    headers.decrementHopLimit(packet);
    this.#forwarder.forward(link, packet);
  }

  /** The port of one end of a quoted packet, or the id of a quoted ICMP query. */
  #portOf(quoted: number, end: End): number {
    const transport = this.#headers.transport(quoted);
    return this.#headers.protocol(quoted) === ipv4.PROTOCOL_ICMP
      ? icmp.identifier(this.#view, transport)
      : this.#view.getUint16(transport + 2 * end);
  }

  /** The port of the remote end of a quoted packet; 0 of an ICMP query, as its mapping has it. */
  #remotePortOf(quoted: number, end: End): number {
    return this.#headers.protocol(quoted) === ipv4.PROTOCOL_ICMP ? 0 : this.#portOf(quoted, end);
  }
}
