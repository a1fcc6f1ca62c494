/**
 * The decision whether a packet may pass: finds or makes the mapping, and keeps mappings and sessions alive as long as
 * the RFCs ask for.
 *
 * Only clients' packets make anything here, or keep it alive, within quotas. What comes from outside, forged or not,
 * costs no memory and holds no port.
 */
import { DropReason } from "../wire/drop_reason.ts";
import * as icmp from "../wire/icmp.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";
import { Admission } from "./admission.ts";
import {
  ANSWERED_DNS_TIMEOUT,
  ICMP_QUERY_TIMEOUT,
  TCP_TRANSITORY_TIMEOUT,
  UDP_TIMEOUT,
} from "./constants.ts";
import type { Forwarder } from "./forwarder.ts";
import type { Headers } from "./headers/headers.ts";
import { MappingTable } from "./mapping_table.ts";
import type { NatOptions } from "./nat_options.ts";
import { ANY_PORT, type Mapping, type NatSession } from "./records.ts";
import { ExternalEndpoints } from "./services/external_endpoints.ts";
import { NatServices } from "./services/services.ts";
import type { NatSessionTable } from "./sessions.ts";
import type { Resets } from "./replicas/resets.ts";
import { isPlain, listOf, tcpTimeoutOf, trackInbound, trackOutbound } from "./tcp_state.ts";
import { NOT_DNS, seenBy, udpListOf, udpTimeoutOf } from "./udp_state.ts";

const SYN_ACK = tcp.FLAG_SYN | tcp.FLAG_ACK;
const PORT_DNS = 53;

/** What a packet leaves by, or may leave by; null for none. */
type Found = Mapping | null;

/** Takes packets by their offset and that of their transport header. What may not pass is dropped here, and counted. */
export class Flows {
  readonly mappings: MappingTable;
  readonly sessions: NatSessionTable;
  readonly services: NatServices;
  readonly external: ExternalEndpoints;
  /** Whether one client may reach another by the external address. */
  clientToClient: boolean;
  readonly #admission: Admission;
  readonly #resets: Resets;
  readonly #view: DataView;
  readonly #headers: Headers;
  readonly #forwarder: Forwarder;
  readonly #isStrict: boolean;
  readonly #onRefusal: (identity: unknown) => void;

  constructor(
    options: NatOptions & Required<Pick<NatOptions, "clientOf">>,
    { headers, forwarder, resets }: {
      readonly headers: Headers;
      readonly forwarder: Forwarder;
      readonly resets: Resets;
    },
  ) {
    this.#resets = resets;
    this.#view = options.memory.view;
    this.#headers = headers;
    this.#forwarder = forwarder;
    this.#isStrict = options.filtering === "address";
    this.clientToClient = options.clientToClient ?? true;
    this.#onRefusal = options.onRefusal ?? (() => {});
    const { slice, ports } = options;
    this.mappings = new MappingTable({
      ...options,
      ports: { ...ports, ...slice },
      holds: headers.holds,
    });
    this.#admission = new Admission(
      this.mappings,
      options.clientQuota,
      options.random(),
      slice?.count,
    );
    this.sessions = this.#admission.sessions;
    for (const forward of options.forwards) {
      const protocol = forward.protocol === "tcp" ? ipv4.PROTOCOL_TCP : ipv4.PROTOCOL_UDP;
      this.mappings.createStatic(protocol, {
        innerAddress: headers.numberOf(forward.address),
        innerPort: forward.port,
        externalPort: forward.externalPort,
      });
    }
    const { services = [], random } = options;
    const draw = () => services.length === 0 ? 0 : random();
    this.services = new NatServices({
      mappings: this.mappings,
      services,
      choiceSeed: options.serviceSeed ?? draw(),
      seed: draw(),
    });
    this.external = new ExternalEndpoints(this.#view, { ...this, headers, forwarder });
  }

  // From a client. Null: the packet was dropped, and the client told where that is due.

  /** The mapping by which a client's TCP segment leaves; `guess` is one that it may be, see `MappingTable`. */
  outboundTcp(packet: number, transport: number, guess: Found, now: number): Found {
    const view = this.#view;
    const flags = tcp.flags(view, transport);
    const address = this.#headers.source(packet);
    const port = tcp.sourcePort(view, transport);
    const remoteAddress = this.#headers.destination(packet);
    const remotePort = tcp.destinationPort(view, transport);
    // Answers to what may be a stranger's: if they made a session, so would a stranger.
    const isAnswer = (flags & tcp.FLAG_RST) !== 0 || (flags & SYN_ACK) === SYN_ACK;
    const mapping = this.mappings.findOutbound(
      ipv4.PROTOCOL_TCP,
      address,
      port,
      remoteAddress,
      remotePort,
      guess,
    );
    if (mapping !== null && mapping.backEnd !== null) {
      const { backEnd } = mapping;
      if (!this.services.noteOutbound(backEnd, remoteAddress, remotePort, flags, now)) {
        return this.#drop(DropReason.natNoMapping, packet);
      }
    }
    let session = mapping === null
      ? null
      : mapping.life ?? this.sessions.find(mapping, remoteAddress, remotePort);
    if (
      session !== null && isPlain(session, flags) &&
      this.sessions.isUsedAgain(session, tcpTimeoutOf(session), now)
    ) return mapping;
    if (mapping === null) {
      const { inside } = this.#forwarder;
      if (isAnswer || this.#resets.answer(packet, transport, inside, now)) {
        return this.#drop(DropReason.natNoMapping, packet);
      }
      session = this.#open(packet, ipv4.PROTOCOL_TCP, port, remotePort, now);
      if (session === null) return null;
    } else if (session === null) {
      if (isAnswer) return mapping;
      session = this.#admission.add(mapping, remoteAddress, remotePort, now);
      if (session === null && mapping.isRemoved) {
        // The session that ended for this one was its last.
        session = this.#open(packet, ipv4.PROTOCOL_TCP, port, remotePort, now);
        if (session === null) return null;
      }
      if (session === null) return this.#refuse(DropReason.natQuota, packet, now);
    }
    const used = session.mapping;
    if (this.#isStrict && session.permission === null && !used.isShared) {
      if (!this.#permitAsLongAs(session, now)) {
        this.sessions.remove(session, now);
        return this.#refuse(DropReason.natQuota, packet, now);
      }
    }
    const timeout = trackOutbound(session, flags, now);
    if (timeout > 0) this.sessions.use(session, timeout, listOf(session), now);
    else this.sessions.shorten(session, TCP_TRANSITORY_TIMEOUT, listOf(session), now);
    return used;
  }

  /**
   * Lets a connection's remote address answer, from any port, as long as the connection lives; false when there is no
   * room.
   */
  #permitAsLongAs(session: NatSession, now: number): boolean {
    const { mapping, remoteAddress } = session;
    const permission = this.sessions.find(mapping, remoteAddress, ANY_PORT) ??
      this.#admission.add(mapping, remoteAddress, ANY_PORT, now);
    if (permission === null) return false;
    permission.references++;
    session.permission = permission;
    return true;
  }

  /** The mapping by which a client's UDP datagram leaves; `guess` is one that it may be. */
  outboundUdp(packet: number, transport: number, guess: Found, now: number): Found {
    const view = this.#view;
    const port = udp.sourcePort(view, transport);
    const remotePort = udp.destinationPort(view, transport);
    const found = this.#find(packet, ipv4.PROTOCOL_UDP, port, remotePort, guess);
    if (found !== null && found.backEnd !== null) {
      const remote = this.#headers.destination(packet);
      if (!this.services.noteOutbound(found.backEnd, remote, remotePort, 0, now)) {
        return this.#drop(DropReason.natNoMapping, packet);
      }
    }
    if (found !== null && !this.#isStrict && this.#isKeptUdp(found.life, remotePort, now)) {
      return found;
    }
    const mapping = this.#renew(found, packet, ipv4.PROTOCOL_UDP, port, remotePort, now);
    if (mapping === null) return null;
    const { life } = mapping;
    if (life !== null) this.#keepUdp(life, remotePort, now);
    if (!this.#isStrict || mapping.isShared) return mapping;
    if (this.#permit(mapping, this.#headers.destination(packet), ANY_PORT, now)) return mapping;
    return this.#refuse(DropReason.natQuota, packet, now);
  }

  /**
   * Lets a remote end answer to a UDP mapping as long as it is kept by what was just sent; false when there is no room.
   */
  #permit(mapping: Mapping, address: number, port: number, now: number): boolean {
    const permission = this.sessions.find(mapping, address, port) ??
      this.#admission.add(mapping, address, port, now);
    // With a quota of next to nothing, the mapping itself may have ended for it.
    if (permission === null || mapping.isRemoved) return false;
    const { life } = mapping;
    const list = life?.list ?? mapping.lists.lasting;
    this.sessions.use(permission, life?.timeout ?? UDP_TIMEOUT, list, now);
    return true;
  }

  /** Whether a datagram is one more of its kind that changes nothing but the time of the last use. */
  #isKeptUdp(life: NatSession | null, remotePort: number, now: number): boolean {
    if (life === null || remotePort === PORT_DNS) return false;
    const seen = seenBy(remotePort);
    return (life.seen & seen) === seen &&
      this.sessions.isUsedAgain(life, udpTimeoutOf(life), now);
  }

  #keepUdp(life: NatSession, remotePort: number, now: number): void {
    if (remotePort === PORT_DNS) life.questions++;
    else life.seen |= seenBy(remotePort);
    this.sessions.use(life, udpTimeoutOf(life), udpListOf(life), now);
  }

  /** The mapping by which a client's ICMP echo leaves. */
  outboundEcho(packet: number, message: number, now: number): Mapping | null {
    const id = icmp.identifier(this.#view, message);
    const found = this.#find(packet, ipv4.PROTOCOL_ICMP, id, 0, null);
    const mapping = this.#renew(found, packet, ipv4.PROTOCOL_ICMP, id, 0, now);
    if (mapping === null) return null;
    this.sessions.use(mapping.life!, ICMP_QUERY_TIMEOUT, mapping.lists.brief, now);
    return mapping;
  }

  #find(packet: number, protocol: number, port: number, remotePort: number, guess: Found): Found {
    const address = this.#headers.source(packet);
    const mapping = this.mappings.findInner(protocol, address, port, guess);
    if (!this.mappings.mayOverlap(mapping)) return mapping;
    const remote = this.#headers.destination(packet);
    return this.mappings.findOutbound(protocol, address, port, remote, remotePort);
  }

  /** The mapping that was found, or in place of none, or of one that has expired, another. */
  #renew(
    found: Mapping | null,
    packet: number,
    protocol: number,
    port: number,
    remotePort: number,
    now: number,
  ): Mapping | null {
    if (found !== null) {
      if (found.life === null || now < found.life.expiresAt) return found;
      this.sessions.remove(found.life, now);
    }
    return this.#open(packet, protocol, port, remotePort, now)?.mapping ?? null;
  }

  /** Makes the mapping, and its first session, of an endpoint that has none. */
  #open(
    packet: number,
    protocol: number,
    innerPort: number,
    remotePort: number,
    now: number,
  ): NatSession | null {
    const innerAddress = this.#headers.source(packet);
    const remoteAddress = this.#headers.destination(packet);
    const ends = { protocol, innerAddress, innerPort, remoteAddress, remotePort };
    const opened = this.#admission.open(ends, now);
    if (typeof opened !== "string") return opened;
    const reason = opened === "quota" ? DropReason.natQuota : DropReason.natPortsExhausted;
    return this.#refuse(reason, packet, now);
  }

  // From outside, or from another client by hairpinning.

  /** Whether a remote endpoint may use the mapping; takes note of its packet if so, and drops it if not. */
  admits(
    mapping: Mapping,
    packet: number,
    remoteAddress: number,
    remotePort: number,
    now: number,
  ): boolean {
    const { protocol } = mapping;
    if (protocol === ipv4.PROTOCOL_ICMP) return true;
    if (this.#isStrict && !mapping.isStatic && !mapping.isShared) {
      const permission = this.sessions.find(mapping, remoteAddress, ANY_PORT);
      if (permission === null || (permission.references === 0 && now >= permission.expiresAt)) {
        this.#drop(DropReason.natFiltered, packet);
        return false;
      }
    }
    if (protocol === ipv4.PROTOCOL_TCP) {
      const session = mapping.life ?? this.sessions.find(mapping, remoteAddress, remotePort);
      const flags = tcp.flags(this.#view, this.#headers.transport(packet));
      if (session !== null && trackInbound(session, flags)) {
        this.sessions.shorten(session, TCP_TRANSITORY_TIMEOUT, listOf(session), now);
      }
    } else if (remotePort === PORT_DNS && mapping.life !== null) {
      this.#answered(mapping.life, now);
    }
    return true;
  }

  /**
   * Whether a client's packet may go on to another client by the external address `external`, in hairpinning. Where
   * clients are kept apart, only to a forwarded port, which the whole internet may write to, and from there back to who
   * wrote.
   */
  mayHairpin(source: Mapping, target: Mapping, external: number, now: number): boolean {
    if (!this.mayReach(source, target, external)) return false;
    if (this.clientToClient || !target.isStatic || source.isStatic) return true;
    // The answer is to find what TCP, and a mapping on a shared port, have of themselves.
    return source.protocol === ipv4.PROTOCOL_TCP || source.isShared ||
      this.#permit(source, external, target.externalPort, now);
  }

  /** Whether what a client sends may reach another by the external address, as an answer or of itself. */
  mayReach(source: Mapping, target: Mapping, external: number): boolean {
    if (source.share.client === target.share.client) return true;
    if (source.backEnd === null) return this.mayBeReached(target, external, source.externalPort);
    // A service at an address of its own is not found by the port.
    return this.clientToClient || target.isStatic || target.isShared ||
      this.sessions.find(target, external, source.externalPort) !== null;
  }

  /** The same for another client, by the port that it is seen with. */
  mayBeReached(target: Mapping, external: number, sourcePort: number): boolean {
    if (this.clientToClient || target.isStatic) return true;
    const source = this.mappings.findExternal(target.protocol, sourcePort);
    return source !== null && source.isStatic &&
      (target.isShared || this.sessions.find(target, external, sourcePort) !== null);
  }

  /**
   * Whether a client's packet may go on to another worker, whose client has the external port: as far as can be told
   * here. Of itself it may go to a forwarded port; as an answer, from one.
   */
  mayCross(source: Mapping, port: number, external: number, now: number): boolean {
    const target = this.mappings.findExternal(source.protocol, port);
    if (target !== null) return this.mayHairpin(source, target, external, now);
    return this.clientToClient || source.isStatic;
  }

  /** The same for a client's error, which makes nothing and keeps nothing alive (RFC 5508 REQ-6). */
  mayErrorCross(source: Mapping, port: number, external: number): boolean {
    const target = this.mappings.findExternal(source.protocol, port);
    if (target !== null) return this.mayReach(source, target, external);
    return this.clientToClient || source.isStatic;
  }

  /**
   * Takes note of an answer from port 53: with the last that is asked for, a mapping that only asks has done its work.
   */
  #answered(life: NatSession, now: number): void {
    if (life.questions > 0) life.questions--;
    if (life.questions > 0 || (life.seen & NOT_DNS) !== 0) return;
    this.sessions.shorten(life, ANSWERED_DNS_TIMEOUT, life.mapping.lists.finished, now);
  }

  /** When `sweep()` finds nothing. */
  get isIdle(): boolean {
    return this.mappings.dynamicSize === 0 && this.sessions.isEmpty && this.services.isIdle;
  }

  /** Removes what has expired. */
  sweep(now: number): void {
    this.sessions.sweep(now);
    this.mappings.sweep(now);
    this.services.sweep(now);
  }

  /** Removes what a client holds, sessions and mappings, but for those that are static. */
  release(identity: unknown, now: number): void {
    const client = this.mappings.clients.get(identity);
    if (client !== null) this.sessions.release(client, now);
  }

  #drop(reason: DropReason, packet: number): null {
    this.#forwarder.drop(reason, packet);
    return null;
  }

  #refuse(reason: DropReason, packet: number, now: number): null {
    this.#onRefusal(this.mappings.clients.of(this.#headers.source(packet)).identity);
    this.#forwarder.refuseForQuota(packet, reason, this.#forwarder.inside, now);
    return null;
  }
}
