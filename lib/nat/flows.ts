/**
 * Owns the decision whether a packet may pass: it finds or makes the mapping, and keeps mappings and sessions alive as long as
 * the RFCs ask for.
 *
 * Only clients' packets make anything here, or keep it alive, within quotas. What comes from outside, forged or not, costs
 * no memory and holds no port.
 */
import { DropReason } from "../wire/drop_reason.ts";
import * as icmp from "../wire/icmp.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";
import { destinationAddress, sourceAddress } from "./addresses.ts";
import { ICMP_QUERY_TIMEOUT, SESSIONS_PER_MAPPING, UDP_TIMEOUT } from "./constants.ts";
import type { Forwarder } from "./forwarder.ts";
import { type Mapping, MappingTable } from "./mapping_table.ts";
import type { NatOptions } from "./nat_options.ts";
import { ANY_PORT, type Session, SessionTable, trackInbound, trackOutbound } from "./sessions.ts";

const SYN_ACK = tcp.FLAG_SYN | tcp.FLAG_ACK;

/** Takes packets by their offset and that of their transport header. What may not pass is dropped here, and counted. */
export class Flows {
  readonly mappings: MappingTable;
  readonly sessions: SessionTable;
  readonly #view: DataView;
  readonly #forwarder: Forwarder;
  readonly #isStrict: boolean;

  constructor(
    options: NatOptions & Required<Pick<NatOptions, "clientOf">>,
    forwarder: Forwarder,
  ) {
    const quota = options.clientQuota;
    this.#view = options.memory.view;
    this.#forwarder = forwarder;
    this.#isStrict = options.filtering === "address";
    this.mappings = new MappingTable({ ...options, quota });
    this.sessions = new SessionTable(quota * SESSIONS_PER_MAPPING, options.random());
    for (const forward of options.forwards) {
      this.mappings.createStatic({
        protocol: forward.protocol === "tcp" ? ipv4.PROTOCOL_TCP : ipv4.PROTOCOL_UDP,
        innerAddress: forward.address | 0,
        innerPort: forward.port,
        externalPort: forward.externalPort,
      });
    }
  }

  // From a client. Null: the packet was dropped, and the client told where that is due.

  /** The mapping by which a client's TCP segment leaves. */
  outboundTcp(packet: number, transport: number, now: number): Mapping | null {
    const view = this.#view;
    const flags = tcp.flags(view, transport);
    const port = tcp.sourcePort(view, transport);
    // Answers to what may be a stranger's: if they made a session, so would a stranger.
    const isAnswer = (flags & tcp.FLAG_RST) !== 0 || (flags & SYN_ACK) === SYN_ACK;
    let mapping = this.mappings.findInner(ipv4.PROTOCOL_TCP, sourceAddress(view, packet), port);
    if (mapping === null) {
      if (isAnswer) return this.#drop(DropReason.natNoMapping, packet);
      mapping = this.#create(packet, ipv4.PROTOCOL_TCP, port, now);
      if (mapping === null) return null;
    }
    const remoteAddress = destinationAddress(view, packet);
    const remotePort = tcp.destinationPort(view, transport);
    let session = this.sessions.find(mapping, remoteAddress, remotePort);
    if (session === null) {
      if (isAnswer) return mapping;
      session = this.sessions.create(mapping, remoteAddress, remotePort);
      if (session === null) return this.#refuse(DropReason.natQuota, packet, now);
    }
    // Its own session counts as one.
    const isReachable = mapping.isStatic || mapping.connections > 1;
    trackOutbound(session, flags, isReachable, now);
    if (!this.#isStrict) return mapping;
    const permission = this.#permission(mapping, packet, now);
    if (permission === null) return null;
    permission.expiresAt = Math.max(permission.expiresAt, session.expiresAt);
    return mapping;
  }

  /** The mapping by which a client's UDP datagram leaves. */
  outboundUdp(packet: number, transport: number, now: number): Mapping | null {
    const port = udp.sourcePort(this.#view, transport);
    const mapping = this.#findOrCreate(packet, ipv4.PROTOCOL_UDP, port, now);
    if (mapping === null) return null;
    if (!mapping.isStatic) mapping.expiresAt = now + UDP_TIMEOUT;
    if (!this.#isStrict) return mapping;
    const permission = this.#permission(mapping, packet, now);
    if (permission === null) return null;
    permission.expiresAt = now + UDP_TIMEOUT;
    return mapping;
  }

  /** The mapping by which a client's ICMP echo leaves. */
  outboundEcho(packet: number, message: number, now: number): Mapping | null {
    const id = icmp.identifier(this.#view, message);
    const mapping = this.#findOrCreate(packet, ipv4.PROTOCOL_ICMP, id, now);
    if (mapping !== null) mapping.expiresAt = now + ICMP_QUERY_TIMEOUT;
    return mapping;
  }

  #findOrCreate(packet: number, protocol: number, port: number, now: number): Mapping | null {
    const address = sourceAddress(this.#view, packet);
    const mapping = this.mappings.findInner(protocol, address, port);
    if (mapping !== null) {
      if (now < mapping.expiresAt) return mapping;
      this.mappings.remove(mapping, now);
    }
    return this.#create(packet, protocol, port, now);
  }

  /** Makes the mapping of an endpoint that has none. */
  #create(packet: number, protocol: number, port: number, now: number): Mapping | null {
    const address = sourceAddress(this.#view, packet);
    // A mapping that gets no session would end at once, and leave one more port at rest with each packet.
    const needsSession = protocol === ipv4.PROTOCOL_TCP ||
      (this.#isStrict && protocol === ipv4.PROTOCOL_UDP);
    const made = needsSession && !this.sessions.hasRoom(this.mappings.client(address))
      ? "quota"
      : this.mappings.create(protocol, address, port, now);
    if (typeof made !== "string") return made;
    const reason = made === "quota" ? DropReason.natQuota : DropReason.natPortsExhausted;
    return this.#refuse(reason, packet, now);
  }

  /** The session by which the packet's receiver may answer; its time-out is the caller's to set. */
  #permission(mapping: Mapping, packet: number, now: number): Session | null {
    const address = destinationAddress(this.#view, packet);
    return this.sessions.find(mapping, address, ANY_PORT) ??
      this.sessions.create(mapping, address, ANY_PORT) ??
      this.#refuse(DropReason.natQuota, packet, now);
  }

  // From outside, or from another client by hairpinning.

  /** The mapping that an external port stands for, or null. */
  findExternal(protocol: number, port: number, now: number): Mapping | null {
    const mapping = this.mappings.findExternal(protocol, port);
    if (mapping === null || now < mapping.expiresAt) return mapping;
    this.mappings.remove(mapping, now);
    return null;
  }

  /** Whether a remote endpoint may use the mapping; takes note of its TCP segment if so, and drops the packet if not. */
  admits(
    mapping: Mapping,
    packet: number,
    remoteAddress: number,
    remotePort: number,
    now: number,
  ): boolean {
    if (mapping.protocol === ipv4.PROTOCOL_ICMP) return true;
    if (this.#isStrict && !mapping.isStatic) {
      const permission = this.sessions.find(mapping, remoteAddress, ANY_PORT);
      if (permission === null || now >= permission.expiresAt) {
        this.#drop(DropReason.natFiltered, packet);
        return false;
      }
    }
    if (mapping.protocol === ipv4.PROTOCOL_TCP) {
      const session = this.sessions.find(mapping, remoteAddress, remotePort);
      const flags = tcp.flags(this.#view, packet + ipv4.headerSize(this.#view, packet));
      if (session !== null) trackInbound(session, flags, now);
    }
    return true;
  }

  /** Removes what has expired. */
  sweep(now: number): void {
    this.sessions.sweep(now);
    for (const mapping of this.mappings.dynamic) {
      if (isOver(mapping, now)) this.mappings.remove(mapping, now);
    }
  }

  /** Removes what a client holds, sessions and mappings, but for those that are static. */
  release(identity: unknown, now: number): void {
    for (const mapping of this.mappings.dynamic) {
      if (mapping.client.identity === identity) this.mappings.remove(mapping, now);
    }
    this.sessions.sweep(now);
  }

  #drop(reason: DropReason, packet: number): null {
    this.#forwarder.drop(reason, packet);
    return null;
  }

  #refuse(reason: DropReason, packet: number, now: number): null {
    this.#forwarder.refuseForQuota(packet, reason, this.#forwarder.inside, now);
    return null;
  }
}

/** A TCP mapping lives as long as its connections, others until their time-out. */
function isOver(mapping: Mapping, now: number): boolean {
  return mapping.protocol === ipv4.PROTOCOL_TCP
    ? mapping.connections === 0
    : now >= mapping.expiresAt;
}
