/**
 * ICMP translation of errors that pass through (RFC 5508 section 4): each quotes the beginning of the packet that it is
 * about, which has to be put back as its sender knows it, and is addressed by that.
 *
 * An error neither makes nor ends nor refreshes a mapping, whatever it says (REQ-6; RFC 4787 REQ-12; RFC 5382 REQ-10):
 * anybody can forge one.
 */
import { finish, sum } from "../../wire/checksum.ts";
import { DropReason } from "../../wire/drop_reason.ts";
import * as icmp from "../../wire/icmp.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import { destinationAddress, sourceAddress } from "../addresses.ts";
import type { Flows } from "../flows.ts";
import type { Forwarder } from "../forwarder.ts";
import type { NatLink } from "../link.ts";
import type { MappingTable } from "../mapping_table.ts";
import { ANY_PORT, type Mapping } from "../records.ts";
import { Origin } from "../slices/hand_over.ts";
import type { Relay } from "../services/relay.ts";
import type { Owners } from "../slices/owners.ts";
import {
  decrementTimeToLive,
  DESTINATION,
  type End,
  isLaterFragment,
  rewriteAddress,
  rewriteEndpoint,
  SOURCE,
} from "../rewrite.ts";

/** Bytes of the quoted transport header: what every error has (RFC 792), and where the ports are. */
const QUOTED_TRANSPORT_SIZE = 8;

export interface IcmpTranslatorOptions {
  readonly forwarder: Forwarder;
  readonly flows: Flows;
  readonly clientOf: (address: number) => unknown;
  readonly owners: Owners | null;
  readonly relay: Relay | null;
}

/** Takes packets whose ICMP type is an error's, by the offsets of the packet and of the ICMP message. */
export class IcmpTranslator {
  readonly #view: DataView;
  readonly #forwarder: Forwarder;
  readonly #flows: Flows;
  readonly #mappings: MappingTable;
  readonly #clientOf: (address: number) => unknown;
  readonly #owners: Owners | null;
  readonly #relay: Relay | null;

  constructor(view: DataView, options: IcmpTranslatorOptions) {
    this.#view = view;
    this.#forwarder = options.forwarder;
    this.#flows = options.flows;
    this.#mappings = options.flows.mappings;
    this.#clientOf = options.clientOf;
    this.#owners = options.owners;
    this.#relay = options.relay;
  }

  /** The worker whose client sent what an error quotes; this one where that cannot be told. */
  ownerOfQuoted(packet: number, message: number, owners: Owners): number {
    const view = this.#view;
    const quoted = message + icmp.HEADER_SIZE;
    if (!isQuotable(view, quoted, packet + ipv4.totalLength(view, packet))) return owners.own;
    return owners.of(ipv4.protocol(view, quoted), portOf(view, quoted, SOURCE));
  }

  /**
   * A router's or a server's error about a packet of a client's (REQ-4); or one of another worker's client, which comes
   * as if from outside.
   */
  inbound(packet: number, message: number, isHairpin: boolean, now: number): void {
    const view = this.#view;
    const quoted = this.#quoted(packet, message, icmp.TYPE_ECHO);
    if (quoted < 0) return;
    const { outside, inside } = this.#forwarder;
    if (this.#relay !== null && this.#isRelayed(this.#relay, packet, quoted, now)) {
      rewriteAddress(view, packet, DESTINATION, sourceAddress(view, quoted));
      this.#finish(packet, message, outside);
      return;
    }
    const mapping = this.#flows.external.findSent(
      sourceAddress(view, quoted),
      ipv4.protocol(view, quoted),
      portOf(view, quoted, SOURCE),
      destinationAddress(view, quoted),
      remotePortOf(view, quoted, DESTINATION),
      now,
    );
    // It may be about a packet of the gateway's own, whose kernel sees it as well.
    if (mapping === null) return;
    if (isHairpin) {
      const sender = remotePortOf(view, quoted, DESTINATION);
      if (!this.#flows.mayBeReached(mapping, outside.address, sender)) {
        this.#forwarder.drop(DropReason.clientToClientOff, packet);
        return;
      }
    }
    const { innerAddress, innerPort } = mapping;
    const end = packet + ipv4.totalLength(view, packet);
    rewriteEndpoint(view, quoted, end - quoted, SOURCE, innerAddress, innerPort);
    rewriteAddress(view, packet, DESTINATION, innerAddress);
    this.#finish(packet, message, inside);
  }

  /** Whether an error is about a packet to or from a back end outside, which is put back if so. */
  #isRelayed(relay: Relay, packet: number, quoted: number, now: number): boolean {
    const view = this.#view;
    const protocol = ipv4.protocol(view, quoted);
    if (protocol === ipv4.PROTOCOL_ICMP) return false;
    const available = packet + ipv4.totalLength(view, packet) - quoted;
    const source = sourceAddress(view, quoted);
    const port = portOf(view, quoted, SOURCE);
    const remotePort = portOf(view, quoted, DESTINATION);
    if (source === this.#forwarder.outside.address && relay.has(port)) {
      return relay.restoreForward(quoted, available, remotePort, port, now);
    }
    const remote = destinationAddress(view, quoted);
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
    const view = this.#view;
    const quoted = this.#quoted(packet, message, icmp.TYPE_ECHO_REPLY);
    if (quoted < 0) return;
    const { outside, inside } = this.#forwarder;
    const receiver = destinationAddress(view, quoted);
    const mapping = this.#receiverOf(quoted);
    // The error goes to whom the quoted packet came from, and is about the sender's own: or a client could break up
    // another's connections.
    const isOwn = destinationAddress(view, packet) === sourceAddress(view, quoted) &&
      this.#clientOf(receiver) === this.#clientOf(sourceAddress(view, packet));
    if (mapping === null || !isOwn) {
      this.#forwarder.drop(DropReason.natNoMapping, packet);
      return;
    }
    const end = packet + ipv4.totalLength(view, packet);
    const isHairpin = this.#flows.external.isExternal(sourceAddress(view, quoted));
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
      rewriteEndpoint(view, quoted, end - quoted, SOURCE, innerAddress, innerPort);
      rewriteAddress(view, packet, DESTINATION, innerAddress);
    }
    const { externalPort } = mapping;
    const address = this.#flows.external.addressOf(mapping);
    rewriteEndpoint(view, quoted, end - quoted, DESTINATION, address, externalPort);
    rewriteAddress(view, packet, SOURCE, address);
    this.#finish(packet, message, isHairpin ? inside : outside);
  }

  /**
   * Whether a client's error to the external address is about a packet of another client's: else it is for the host.
   */
  isHairpin(packet: number, message: number, now: number): boolean {
    const view = this.#view;
    const end = packet + ipv4.totalLength(view, packet);
    const quoted = message + icmp.HEADER_SIZE;
    return isQuotable(view, quoted, end) &&
      (this.#otherOwner(quoted) >= 0 ||
        this.#hairpinned(quoted, this.#receiverOf(quoted), now) !== null);
  }

  /** The other worker whose client a quoted packet came from by hairpinning; -1 for none. */
  #otherOwner(quoted: number): number {
    const view = this.#view;
    const protocol = ipv4.protocol(view, quoted);
    if (this.#owners === null || protocol === ipv4.PROTOCOL_ICMP) return -1;
    const owner = this.#owners.of(protocol, portOf(view, quoted, SOURCE));
    return owner === this.#owners.own ? -1 : owner;
  }

  /** Hands an error to the worker whose client sent what it quotes. */
  #cross(
    packet: number,
    message: number,
    quoted: number,
    { mapping, worker }: { mapping: Mapping; worker: number },
  ): void {
    const view = this.#view;
    const { address } = this.#forwarder.outside;
    if (!this.#flows.mayErrorCross(mapping, portOf(view, quoted, SOURCE), address)) {
      this.#forwarder.drop(DropReason.clientToClientOff, packet);
      return;
    }
    const end = packet + ipv4.totalLength(view, packet);
    const { externalPort } = mapping;
    rewriteEndpoint(view, quoted, end - quoted, DESTINATION, address, externalPort);
    rewriteAddress(view, packet, SOURCE, address);
    this.#writeChecksum(packet, message);
    this.#forwarder.handOver(worker, Origin.hairpin, packet);
  }

  /** The mapping of a client that got a quoted packet. */
  #receiverOf(quoted: number): Mapping | null {
    const view = this.#view;
    return this.#mappings.findOutbound(
      ipv4.protocol(view, quoted),
      destinationAddress(view, quoted),
      portOf(view, quoted, DESTINATION),
      sourceAddress(view, quoted),
      remotePortOf(view, quoted, SOURCE),
    );
  }

  /**
   * The client's mapping that a quoted packet came from by hairpinning. Queries are not hairpinned: the host answers
   * them.
   */
  #hairpinned(quoted: number, receiver: Mapping | null, now: number): Mapping | null {
    const view = this.#view;
    const protocol = ipv4.protocol(view, quoted);
    if (protocol === ipv4.PROTOCOL_ICMP) return null;
    const { external } = this.#flows;
    return external.findSent(
      sourceAddress(view, quoted),
      protocol,
      portOf(view, quoted, SOURCE),
      receiver === null ? this.#forwarder.outside.address : external.addressOf(receiver),
      receiver === null ? ANY_PORT : receiver.externalPort,
      now,
    );
  }

  /**
   * The packet that an error quotes; -1, counted, where either is broken (REQ-3). The checksums of the message and of
   * both IP headers must be right; that of the quoted transport header cannot be checked. Redirects and source quenches
   * are between neighbours (RFC 1812 section 5.2.7.2) or obsolete (RFC 6633), and go no further.
   */
  #quoted(packet: number, message: number, query: number): number {
    const view = this.#view;
    const end = packet + ipv4.totalLength(view, packet);
    const quoted = message + icmp.HEADER_SIZE;
    const type = icmp.type(view, message);
    if (type === icmp.TYPE_REDIRECT || type === icmp.TYPE_SOURCE_QUENCH) {
      this.#forwarder.drop(DropReason.natUnsupportedProtocol, packet);
      return -1;
    }
    const isGood = isQuotable(view, quoted, end) && !ipv4.moreFragments(view, packet) &&
      (ipv4.protocol(view, quoted) !== ipv4.PROTOCOL_ICMP ||
        icmp.type(view, quoted + ipv4.headerSize(view, quoted)) === query) &&
      finish(sum(view, quoted, ipv4.headerSize(view, quoted))) === 0 &&
      finish(sum(view, message, end - message)) === 0;
    if (isGood) return quoted;
    this.#forwarder.drop(DropReason.natBadIcmp, packet);
    return -1;
  }

  /**
   * Sends the error on. Its checksum covers what it quotes, of which little is left to update: it is computed again.
   */
  #finish(packet: number, message: number, link: NatLink): void {
    const view = this.#view;
    if (ipv4.timeToLive(view, packet) <= 1) {
      this.#forwarder.drop(DropReason.ttlExceeded, packet);
      return;
    }
    this.#writeChecksum(packet, message);
    decrementTimeToLive(view, packet);
    this.#forwarder.forward(link, packet);
  }

  #writeChecksum(packet: number, message: number): void {
    const view = this.#view;
    const length = packet + ipv4.totalLength(view, packet) - message;
    const at = message + icmp.CHECKSUM_OFFSET;
    view.setUint16(at, 0);
    view.setUint16(at, finish(sum(view, message, length)));
  }
}

/**
 * Whether there is a packet at `quoted` of a protocol that is translated, with so much of it that its ports are there.
 */
function isQuotable(view: DataView, quoted: number, end: number): boolean {
  const available = end - quoted;
  if (available < ipv4.MIN_HEADER_SIZE || ipv4.version(view, quoted) !== 4) return false;
  const headerSize = ipv4.headerSize(view, quoted);
  const protocol = ipv4.protocol(view, quoted);
  return headerSize >= ipv4.MIN_HEADER_SIZE && available >= headerSize + QUOTED_TRANSPORT_SIZE &&
    !isLaterFragment(view, quoted) &&
    (protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP ||
      protocol === ipv4.PROTOCOL_ICMP);
}

/** The port of one end of a quoted packet, or the id of a quoted ICMP query. */
function portOf(view: DataView, quoted: number, end: End): number {
  const transport = quoted + ipv4.headerSize(view, quoted);
  return ipv4.protocol(view, quoted) === ipv4.PROTOCOL_ICMP
    ? icmp.identifier(view, transport)
    : view.getUint16(transport + 2 * end);
}

/** The port of the remote end of a quoted packet; 0 of an ICMP query, as its mapping has it. */
function remotePortOf(view: DataView, quoted: number, end: End): number {
  return ipv4.protocol(view, quoted) === ipv4.PROTOCOL_ICMP ? 0 : portOf(view, quoted, end);
}
