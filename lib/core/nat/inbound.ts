/** Inbound NAT: packets from outside, on their way to the client whose mapping they name. */
import { DropReason } from "../wire/drop_reason.ts";
import * as icmp from "../wire/icmp.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as udp from "../wire/udp.ts";
import { destinationAddress, sourceAddress } from "./addresses.ts";
import type { Direction } from "./direction.ts";
import type { Flows } from "./flows.ts";
import type { Forwarder } from "./forwarder.ts";
import type { FragmentFate, Fragments } from "./fragments/fragments.ts";
import type { IcmpTranslator } from "./icmp/icmp_translation.ts";
import type { NatLink } from "./link.ts";
import type { PathLimits } from "./path_limits.ts";
import type { Mapping } from "./records.ts";
import {
  decrementTimeToLive,
  DESTINATION,
  isLaterFragment,
  isTranslated,
  rewriteEndpoint,
} from "./rewrite.ts";

export class Inbound {
  readonly #view: DataView;
  readonly #outside: NatLink;
  readonly #inside: NatLink;
  readonly #forwarder: Forwarder;
  readonly #flows: Flows;
  readonly #icmp: IcmpTranslator;
  readonly #limits: PathLimits;
  readonly #fragments: Fragments;

  constructor(
    { view, outside, inside, forwarder, flows, icmp, limits, fragments }: Direction,
  ) {
    this.#view = view;
    this.#outside = outside;
    this.#inside = inside;
    this.#forwarder = forwarder;
    this.#flows = flows;
    this.#icmp = icmp;
    this.#limits = limits;
    this.#fragments = fragments;
  }

  /** Takes a packet captured outside that has passed `checkIpv4`. */
  translate(packet: number, now: number): void {
    const view = this.#view;
    this.#forwarder.begin();
    const length = ipv4.totalLength(view, packet);
    const mapping = this.#receiver(packet, length, now);
    if (mapping === null) return;
    const fate = ipv4.moreFragments(view, packet) ? this.#fate(packet, mapping) : null;
    const waiting = fate === null ? null : this.#fragments.decide(packet, fate, now);
    this.#arrive(packet, length, mapping);
    this.#forwarder.forward(this.#inside, packet);
    if (waiting !== null && fate !== null) this.#fragments.follow(waiting, fate);
  }

  /**
   * Takes a super-packet captured outside. Its checksums are left wrong: splitting works them out again.
   *
   * @param segmentLength bytes of each packet that it will be split into
   * @returns whether it may go on, to the client that its destination now names
   */
  translateMerged(packet: number, segmentLength: number, now: number): boolean {
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

  /**
   * The mapping that a packet from outside is for; null for one that goes no further, or is the host's, or was dealt
   * with.
   */
  #receiver(packet: number, length: number, now: number): Mapping | null {
    const view = this.#view;
    if (destinationAddress(view, packet) !== this.#outside.address) return null;
    const protocol = ipv4.protocol(view, packet);
    if (!isTranslated(protocol)) {
      this.#forwarder.drop(DropReason.natUnsupportedProtocol, packet);
      return null;
    }
    if (isLaterFragment(view, packet)) {
      this.#fragments.later(packet, now);
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
      this.#limits.refuseTooLong(packet, length, mapping, from, now);
    return isRefused ? null : mapping;
  }

  #fate(packet: number, mapping: Mapping): FragmentFate {
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
      this.#limits.clampMss(packet + ipv4.headerSize(view, packet), mapping);
    }
    rewriteEndpoint(view, packet, length, DESTINATION, mapping.innerAddress, mapping.innerPort);
    decrementTimeToLive(view, packet);
  }

  /** Whether a packet, as a client is to get it, has come by a forwarded port. False for later fragments. */
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
}
