/**
 * Replicated flows: what a NAT tells of its flows, so that another with the same address outside can go on with them
 * when this one is gone, and how that one takes them over.
 */
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../wire/ipv4.ts";
import { TCP_ESTABLISHED_TIMEOUT, UDP_TIMEOUT } from "../constants.ts";
import type { MappingTable } from "../mapping_table.ts";
import { ANY_PORT, type Mapping, type NatSession, type SessionList } from "../records.ts";
import type { NatSessionTable } from "../sessions.ts";
import { isSharedPort } from "../shared_ports.ts";
import type { PortRange } from "../../wire/port_range.ts";
import { isOpen, listOf } from "../tcp_state.ts";
import { UDP_SEEN, udpListOf } from "../udp_state.ts";
import { FlowLedger } from "./flow_ledger.ts";
import { emptyFlowRecord, type FlowRecord } from "./flow_record.ts";
import type { Resets } from "./resets.ts";

export interface ReplicatedFlowsOptions {
  readonly mappings: MappingTable;
  readonly sessions: NatSessionTable;
  readonly resets: Resets;
  readonly ports: PortRange;
  /** Ports, of each protocol, that one client may hold. */
  readonly quota: number;
  /** Whether an address may answer only where the client has written to it. */
  readonly isStrict: boolean;
}

export class ReplicatedFlows {
  /** What is told of. */
  readonly ledger: FlowLedger = new FlowLedger();
  readonly #options: ReplicatedFlowsOptions;
  readonly #record = emptyFlowRecord();

  constructor(options: ReplicatedFlowsOptions) {
    this.#options = options;
    options.sessions.ledger = this.ledger;
  }

  /** Says what is to be known of a flow of the ledger; overwritten by the next call. */
  describe(session: NatSession, now: number): FlowRecord {
    const { mapping, seen, expiresAt } = session;
    const { protocol, isShared, externalPort, innerAddress, innerPort } = mapping;
    const isBound = protocol === PROTOCOL_TCP || isShared;
    return Object.assign(this.#record, {
      protocol,
      isShared,
      seen,
      externalPort,
      innerAddress,
      innerPort,
      remoteAddress: isBound ? session.remoteAddress : 0,
      remotePort: isBound ? session.remotePort : 0,
      timeLeft: Math.max(0, expiresAt - now),
    });
  }

  /**
   * Ends all flows that there are, as they had another address outside. Whose connection is none of those that are
   * adopted after this is reset.
   */
  begin(now: number): void {
    this.#release(now);
    this.#options.resets.begin(now);
  }

  /** Ends all flows, of which nobody is told: they go on by another NAT, and what comes for them here is late. */
  end(now: number): void {
    this.#release(now);
    this.#options.resets.end();
  }

  #release(now: number): void {
    const { mappings, sessions } = this.#options;
    for (const client of mappings.clients.all) sessions.release(client, now);
  }

  /**
   * Goes on with a flow of another NAT's; one of a client that is not known, or whose port is taken, or for which the
   * client has no room left, cannot go on.
   *
   * @returns whether it goes on here
   */
  adopt(record: FlowRecord, now: number): boolean {
    if (!isSensible(record)) return false;
    const mapping = this.#mappingFor(record);
    if (mapping === null) return false;
    const session = this.#sessionIn(mapping, record);
    session.seen = record.seen;
    this.#options.sessions.use(session, record.timeLeft, listFor(session), now);
    return true;
  }

  /** Null where there is none to be had. Nobody else's ends for it. */
  #mappingFor(record: FlowRecord): Mapping | null {
    const { mappings, sessions, ports, quota } = this.#options;
    const { protocol, innerAddress, innerPort, externalPort, remoteAddress, remotePort } = record;
    if (mappings.clients.of(innerAddress).identity === null) return null;
    const share = mappings.share(protocol, innerAddress);
    if (!sessions.hasRoom(share)) return null;
    const found = record.isShared
      ? mappings.findOutbound(protocol, innerAddress, innerPort, remoteAddress, remotePort)
      : mappings.findInner(protocol, innerAddress, innerPort);
    const endpoint = { innerAddress, innerPort, externalPort };
    if (record.isShared) {
      const isTaken = found !== null && (found.isShared || found.isStatic) ||
        mappings.findInbound(protocol, externalPort, remoteAddress, remotePort) !== null;
      if (isTaken || !isSharedPort(ports, externalPort)) return null;
      return mappings.createShared(share, endpoint, remoteAddress, remotePort);
    }
    if (found !== null) {
      // One more connection from the same port; of UDP, one mapping has all.
      const isAnother = protocol === PROTOCOL_TCP && !found.isStatic &&
        found.externalPort === externalPort &&
        sessions.find(found, remoteAddress, remotePort) === null;
      return isAnother ? found : null;
    }
    if (share.held >= quota || mappings.findExternal(protocol, externalPort) !== null) return null;
    return mappings.allocator(protocol).claim(externalPort)
      ? mappings.create(share, endpoint)
      : null;
  }

  #sessionIn(mapping: Mapping, { remoteAddress, remotePort }: FlowRecord): NatSession {
    const { sessions, isStrict } = this.#options;
    if (mapping.protocol === PROTOCOL_UDP || mapping.isShared) return sessions.createLife(mapping);
    const session = sessions.create(mapping, remoteAddress, remotePort);
    if (!isStrict) return session;
    const permission = sessions.find(mapping, remoteAddress, ANY_PORT) ??
      sessions.create(mapping, remoteAddress, ANY_PORT);
    permission.references++;
    session.permission = permission;
    return session;
  }
}

/** Whether a record can be of a flow that is told of: another may have written it. */
export function isSensible(record: FlowRecord): boolean {
  const { protocol, isShared, seen, externalPort, innerAddress, innerPort, timeLeft } = record;
  if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP) return false;
  if (externalPort === 0 || innerAddress === 0 || innerPort === 0) return false;
  const longest = protocol === PROTOCOL_TCP ? TCP_ESTABLISHED_TIMEOUT : UDP_TIMEOUT;
  if (timeLeft <= 0 || timeLeft > longest) return false;
  const isBound = protocol === PROTOCOL_TCP || isShared;
  if ((record.remoteAddress !== 0) !== isBound || (record.remotePort !== 0) !== isBound) {
    return false;
  }
  return protocol === PROTOCOL_TCP ? isOpen(seen) : seen !== 0 && (seen & ~UDP_SEEN) === 0;
}

function listFor(session: NatSession): SessionList {
  return session.mapping.protocol === PROTOCOL_TCP ? listOf(session) : udpListOf(session);
}
