/**
 * Inbound NAT: packets from outside, on their way to the client whose mapping they name; and those of other workers'
 * clients, which come as if from outside.
 */
import { DropReason } from "../wire/drop_reason.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as udp from "../wire/udp.ts";
import { Direction } from "./direction.ts";
import type { FragmentFate } from "./fragments/fragments.ts";
import { AS_IT_IS } from "./headers/address_table.ts";
import { DESTINATION, IcmpKind } from "./headers/headers.ts";
import * as icmp from "../wire/icmp.ts";
import { NatLink } from "./link.ts";
import type { Mapping } from "./records.ts";
import { Origin } from "./slices/hand_over.ts";
import { isTranslated } from "./rewrite.ts";

/** Other workers' clients all have the external address. */
const RETURNING_RECEIVERS = 1;

/** Where a super-packet goes on to. */
export const MergedTo = { nowhere: 0, inside: 1, outside: 2 } as const;
export type MergedTo = typeof MergedTo[keyof typeof MergedTo];

export class Inbound extends Direction {
  /** Where the packet that was looked at last goes, if it goes on by another link than that inside. */
  #isRelayed = false;
  /** Towards other workers' clients. */
  #returning: NatLink | null = null;

  /** Takes a packet captured outside that has passed the checks of its family. */
  translate(packet: number, origin: Origin, now: number): void {
    this.forwarder.begin();
    const length = this.headers.totalLength(packet);
    const mapping = this.#receiver(packet, length, origin, now);
    if (mapping === null) {
      if (this.#isRelayed) this.#goOutside(packet, length, now);
      return;
    }
    const fate = this.headers.isFirstFragment(packet) ? this.#fate(packet, mapping) : null;
    const waiting = fate === null ? null : this.fragments.decide(packet, fate, now);
    this.#arrive(packet, length, mapping);
    this.forwarder.forward(this.inside, packet);
    if (waiting !== null && fate !== null) this.fragments.follow(waiting, fate);
  }

  /**
   * Takes a super-packet captured outside. Its checksums are left wrong: splitting works them out again.
   *
   * @param segmentLength bytes of each packet that it will be split into
   * @returns whether it may go on, to the client that its destination now names, or outside
   */
  translateMerged(packet: number, segmentLength: number, now: number): MergedTo {
    this.forwarder.begin();
    // Whose it is has been asked for by then, see `ownerOfMerged()`.
    const mapping = this.#receiver(packet, segmentLength, Origin.captured, now);
    if (mapping === null) return this.#isRelayed ? MergedTo.outside : MergedTo.nowhere;
    this.#arrive(packet, this.headers.totalLength(packet), mapping);
    return MergedTo.inside;
  }

  /** Takes a packet between a back end outside and whom it serves, as it is to go on. */
  #goOutside(packet: number, length: number, now: number): void {
    if (this.headers.destination(packet) !== this.outside.address) {
      this.forwarder.forward(this.outside, packet);
      return;
    }
    // A client that has come by the address outside is served.
    const mapping = this.#receiver(packet, length, Origin.captured, now);
    if (mapping === null) return;
    this.#arrive(packet, length, mapping);
    this.forwarder.forward(this.inside, packet);
  }

  /**
   * The mapping that a packet from outside is for; null for one that goes no further, or is the host's, or was dealt
   * with, or goes on outside.
   */
  #receiver(packet: number, length: number, origin: Origin, now: number): Mapping | null {
    const view = this.view;
    const headers = this.headers;
    this.#isRelayed = false;
    const destination = headers.destination(packet);
    const isOwn = destination === this.outside.address;
    if (!isOwn && !this.flows.services.isVirtual(destination)) {
      // Of a client's: the address outside has changed under way.
      if (origin === Origin.hairpin) this.forwarder.drop(DropReason.natNoMapping, packet);
      return null;
    }
    const protocol = headers.protocol(packet);
    if (!isTranslated(protocol)) {
      this.forwarder.drop(DropReason.natUnsupportedProtocol, packet);
      return null;
    }
    if (headers.isLaterFragment(packet)) {
      this.fragments.later(packet, now);
      return null;
    }
    const transport = headers.transport(packet);
    const remote = headers.source(packet);
    let port: number;
    // Of an ICMP query there is none.
    let remotePort = 0;
    if (protocol === ipv4.PROTOCOL_ICMP) {
      const kind = headers.icmpKind(transport);
      if (kind === IcmpKind.error) this.#error(packet, transport, origin, now);
      // Whatever else is no answer to an echo is for the gateway itself, whose kernel sees it as well.
      if (kind !== IcmpKind.echoReply || !isOwn) return null;
      port = icmp.identifier(view, transport);
    } else {
      // UDP's ports stand where TCP's do.
      port = view.getUint16(transport + udp.DESTINATION_PORT_OFFSET);
      remotePort = view.getUint16(transport + udp.SOURCE_PORT_OFFSET);
    }
    // What another worker has handed over stays here: two that differ on whose it is would never end.
    if (this.owners !== null && origin === Origin.outside) {
      const owner = this.owners.of(protocol, port);
      if (owner !== this.owners.own) {
        this.#handOver(packet, owner, now);
        return null;
      }
    }
    const relay = this.relay;
    if (relay !== null && isOwn && relay.has(port) && protocol !== ipv4.PROTOCOL_ICMP) {
      this.#isRelayed = relay.back(packet, length, protocol, remotePort, port, now);
      return null;
    }
    const { external } = this.flows;
    const mapping = external.findInbound(packet, protocol, port, remote, remotePort, now);
    if (mapping === null) {
      if (relay !== null && relay.challenge(packet, transport, now)) return null;
      if (protocol === ipv4.PROTOCOL_TCP && isOwn && origin !== Origin.hairpin) {
        this.resets.answer(packet, transport, this.outside, now);
      }
      // An echo reply may be for the gateway itself; a segment for nobody is met with silence (RFC 5382 REQ-4).
      if (protocol !== ipv4.PROTOCOL_ICMP) external.dropUnmapped(packet, protocol, port);
      return null;
    }
    if (mapping.backEnd !== null && mapping.backEnd.isOutside) {
      this.#isRelayed = relay !== null && relay.forward(packet, length, mapping, remotePort, now);
      return null;
    }
    const isHairpin = origin === Origin.hairpin;
    if (isHairpin && !this.flows.mayBeReached(mapping, remote, remotePort)) {
      this.forwarder.drop(DropReason.clientToClientOff, packet);
      return null;
    }
    // First: whom filtering keeps out is to learn nothing from our errors, not even that there is a mapping.
    if (!this.flows.admits(mapping, packet, remote, remotePort, now)) return null;
    if (headers.hopLimit(packet) <= 1) {
      this.forwarder.refuseExpired(packet, this.outside, now);
      return null;
    }
    const from = this.outside;
    if (isHairpin) return this.#refuseReturning(packet, length, mapping, now) ? null : mapping;
    const isRefused = this.forwarder.refuseTooBig(packet, length, this.inside, from, now) ||
      this.limits.refuseTooLong(packet, length, mapping, from, now);
    return isRefused ? null : mapping;
  }

  // Other workers.

  /** The worker whose client a super-packet is for, which cannot be a fragment; this one's where it is nobody's. */
  ownerOfMerged(packet: number): number {
    const headers = this.headers;
    const port = this.view.getUint16(headers.transport(packet) + udp.DESTINATION_PORT_OFFSET);
    return this.owners!.of(headers.protocol(packet), port);
  }

  /** Gives another worker what is for one of its clients, and with a first fragment those that follow. */
  #handOver(packet: number, worker: number, now: number): void {
    const fate = this.headers.isFirstFragment(packet)
      ? { ...this.#asItCame(packet), link: null, worker }
      : null;
    const waiting = fate === null ? null : this.fragments.decide(packet, fate, now);
    this.forwarder.handOver(worker, Origin.captured, packet);
    if (waiting !== null && fate !== null) this.fragments.follow(waiting, fate);
  }

  /** An error is for the worker that has what it quotes. */
  #error(packet: number, message: number, origin: Origin, now: number): void {
    if (this.owners !== null && origin === Origin.outside) {
      const worker = this.icmp.ownerOfQuoted(packet, message, this.owners);
      if (worker !== this.owners.own) {
        this.forwarder.handOver(worker, Origin.captured, packet);
        return;
      }
    }
    this.icmp.inbound(packet, message, origin === Origin.hairpin, now);
  }

  /**
   * Refuses a packet of another worker's client that is too long for the path to this one's; that worker has the error,
   * as if a router had sent it.
   */
  #refuseReturning(packet: number, length: number, mapping: Mapping, now: number): boolean {
    const returning = this.#returning ??= new NatLink({
      mtu: this.inside.mtu,
      address: this.inside.address,
      errorReceivers: RETURNING_RECEIVERS,
    });
    if (!this.limits.refuseTooLong(packet, length, mapping, returning, now)) return false;
    const { queue } = returning;
    for (let i = 0; i < queue.length; i++) {
      const error = queue.offsets[i];
      const message = this.headers.transport(error);
      const worker = this.icmp.ownerOfQuoted(error, message, this.owners!);
      this.forwarder.handOver(worker, Origin.captured, error);
    }
    queue.clear();
    return true;
  }

  #asItCame(packet: number): Omit<FragmentFate, "link"> {
    const identification = this.headers.identification(packet);
    return { source: AS_IT_IS, destination: AS_IT_IS, identification };
  }

  #fate(packet: number, mapping: Mapping): FragmentFate {
    return {
      ...this.#asItCame(packet),
      link: this.inside,
      destination: mapping.innerAddress,
    };
  }

  /** Rewrites a packet for the client. */
  #arrive(packet: number, length: number, mapping: Mapping): void {
    const headers = this.headers;
    if (mapping.protocol === ipv4.PROTOCOL_TCP) {
      this.limits.clampMss(headers.transport(packet), mapping);
    }
    const { innerAddress, innerPort } = mapping;
    headers.rewriteEndpoint(packet, length, DESTINATION, innerAddress, innerPort);
    headers.decrementHopLimit(packet);
  }

  /** Whether a packet, as a client is to get it, has come by a forwarded port. False for later fragments. */
  isForwarded(packet: number): boolean {
    const headers = this.headers;
    const protocol = headers.protocol(packet);
    const hasPorts = protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP;
    if (!hasPorts || headers.isLaterFragment(packet)) return false;
    const port = this.view.getUint16(headers.transport(packet) + udp.DESTINATION_PORT_OFFSET);
    const { mappings } = this.flows;
    return mappings.findInner(protocol, headers.destination(packet), port)?.isStatic ?? false;
  }
}
