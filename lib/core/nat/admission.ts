/**
 * Admission of new flows: which port a client's flow gets, and what of the client's own ends for it when it has all
 * that it may.
 *
 * In this order:
 *
 * 1. a port of its own, the mapping endpoint-independent (RFC 4787 REQ-1), while the client is within its quota and its
 *    share;
 * 2. a port that it used before and that is at rest, or that a finished flow of its own gives back;
 * 3. a shared port, the mapping for this remote end alone (RFC 7857 section 3): TCP and well-known services of UDP, to
 *    which a mapping's independence means little, before others, for which a mapping that was idle for two minutes ends
 *    first;
 * 4. the port of its longest idle flow.
 *
 * Nothing here takes from another client, and every step takes constant time.
 */
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../wire/ipv4.ts";
import { MAX_EVICTIONS, MAX_SESSIONS, MIN_UDP_TIMEOUT, SESSIONS_PER_PORT } from "./constants.ts";
import type { MappingTable } from "./mapping_table.ts";
import type { PortAllocator } from "./port_allocator.ts";
import type { Mapping, NatSession, Share } from "./records.ts";
import { NatSessionTable } from "./sessions.ts";

/** Ports below are those of well-known services. */
export const FIRST_REGISTERED_PORT = 1024;

/** Why a flow could not be made. */
export type NatRefusal = "quota" | "ports";

/** A flow's ends; addresses are signed. The remote port of an ICMP query is 0. */
export interface FlowEnds {
  readonly protocol: number;
  readonly innerAddress: number;
  readonly innerPort: number;
  readonly remoteAddress: number;
  readonly remotePort: number;
}

export class Admission {
  readonly sessions: NatSessionTable;
  readonly #mappings: MappingTable;
  readonly #quota: number;
  #now = 0;
  readonly #end = (session: NatSession) => this.sessions.remove(session, this.#now);

  /**
   * @param quota ports of one protocol that one client may hold
   * @param workers that have the sessions of all clients together
   */
  constructor(mappings: MappingTable, quota: number, seed: number, workers = 1) {
    this.#mappings = mappings;
    this.#quota = quota;
    this.sessions = new NatSessionTable(mappings, {
      quota: quota * SESSIONS_PER_PORT,
      capacity: Math.floor(MAX_SESSIONS / workers),
      seed,
    });
  }

  /**
   * Makes the mapping, and its first session, of a flow whose inner endpoint has none; both are as good as expired yet.
   */
  open(ends: FlowEnds, now: number): NatSession | NatRefusal {
    const { protocol, innerAddress, remoteAddress, remotePort } = ends;
    const share = this.#mappings.share(protocol, innerAddress);
    if (!this.sessions.makeRoom(share, now)) return "quota";
    this.#now = now;
    const mapping = this.#map(share, ends, now);
    if (mapping === null) return "ports";
    return protocol === PROTOCOL_TCP && !mapping.isShared
      ? this.sessions.create(mapping, remoteAddress, remotePort)
      : this.sessions.createLife(mapping);
  }

  /**
   * Makes one more session of a mapping; null when its client has too many that are in use, or it ended to make room.
   */
  add(mapping: Mapping, remoteAddress: number, remotePort: number, now: number): NatSession | null {
    if (!this.sessions.makeRoom(mapping.share, now) || mapping.isRemoved) return null;
    return this.sessions.create(mapping, remoteAddress, remotePort);
  }

  #map(share: Share, ends: FlowEnds, now: number): Mapping | null {
    const { protocol, innerAddress, innerPort, remotePort } = ends;
    const allocator = this.#mappings.allocator(protocol);
    const isWellKnown = protocol === PROTOCOL_UDP && remotePort < FIRST_REGISTERED_PORT;
    const isFlexible = protocol === PROTOCOL_TCP || isWellKnown;
    // A quarter is kept for what peers talk to directly, games and calls: DNS questions alone would take all.
    const quota = isWellKnown ? this.#quota - (this.#quota >> 2) : this.#quota;
    const isWithinShare = allocator.isWithinShare(share);
    let port = -1;
    if (isWithinShare && share.held < quota) port = allocator.allocate(innerPort, now);
    // One that has more than its share gives it back bit by bit.
    const sharesFirst = isFlexible && !isWithinShare;
    if (port < 0 && sharesFirst) {
      const shared = this.#share(share, ends);
      if (shared !== null) return shared;
    }
    if (port < 0) port = this.#reuse(share, allocator, now);
    if (port < 0 && !isFlexible && this.sessions.evictIdle(share, now, MIN_UDP_TIMEOUT)) {
      port = allocator.reuse(share);
    }
    if (port < 0 && !sharesFirst) {
      const shared = this.#share(share, ends);
      if (shared !== null) return shared;
    }
    if (port < 0) port = this.#evict(share, allocator, now);
    if (port < 0) return null;
    return this.#mappings.create(share, { innerAddress, innerPort, externalPort: port });
  }

  /** A port that the client has at rest, or that its finished flows give back; -1 where there is none. */
  #reuse(share: Share, allocator: PortAllocator, now: number): number {
    let port = allocator.reuse(share);
    for (let count = 0; port < 0 && count < MAX_EVICTIONS; count++) {
      if (!this.sessions.evictFinished(share, now)) break;
      port = allocator.reuse(share);
    }
    return port;
  }

  /** A port that the client's longest idle flows give back; -1 where none of them does. */
  #evict(share: Share, allocator: PortAllocator, now: number): number {
    let port = -1;
    for (let count = 0; port < 0 && count < MAX_EVICTIONS; count++) {
      if (!this.sessions.evictIdle(share, now)) break;
      port = allocator.reuse(share);
    }
    return port;
  }

  #share(share: Share, ends: FlowEnds): Mapping | null {
    const { innerAddress, innerPort, remoteAddress, remotePort } = ends;
    const externalPort = this.#mappings.chooseShared(share, remoteAddress, remotePort, this.#end);
    if (externalPort < 0) return null;
    const endpoint = { innerAddress, innerPort, externalPort };
    return this.#mappings.createShared(share, endpoint, remoteAddress, remotePort);
  }
}
