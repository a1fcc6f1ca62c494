/**
 * Owns the sessions: what a mapping has to do with one remote endpoint. For TCP, the state of the connection, which decides
 * how long the mapping is kept; for the strict kind of filtering, the remote addresses that may answer.
 */
import * as tcp from "../wire/tcp.ts";
import { MAX_SESSIONS, TCP_ESTABLISHED_TIMEOUT, TCP_TRANSITORY_TIMEOUT } from "./constants.ts";
import type { Mapping } from "./mapping_table.ts";

const BUCKETS = 1 << 15;

/** What of a TCP connection has been seen, by direction. */
const SYN_OUT = 1;
const SYN_IN = 2;
const FIN_OUT = 4;
const FIN_IN = 8;
const RST = 16;
const SYN_BOTH = SYN_OUT | SYN_IN;
const FIN_BOTH = FIN_OUT | FIN_IN;

export class Session {
  readonly mapping: Mapping;
  /** Host order. */
  readonly remoteAddress: number;
  /** 0 where only the address counts. */
  readonly remotePort: number;
  /** ms */
  expiresAt: number;
  /** Bits of `SYN_OUT` and the like. */
  seen = 0;
  /** Whether the client has taken part: a stranger alone cannot keep a mapping alive. */
  confirmed = false;
  next: Session | null = null;

  constructor(mapping: Mapping, remote: { address: number; port: number; expiresAt: number }) {
    this.mapping = mapping;
    this.remoteAddress = remote.address;
    this.remotePort = remote.port;
    this.expiresAt = remote.expiresAt;
  }
}

export class SessionTable {
  readonly #buckets: (Session | null)[] = new Array(BUCKETS).fill(null);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  find(mapping: Mapping, remoteAddress: number, remotePort: number): Session | null {
    let session = this.#buckets[bucketOf(mapping, remoteAddress, remotePort)];
    while (
      session !== null &&
      (session.mapping !== mapping || session.remoteAddress !== remoteAddress ||
        session.remotePort !== remotePort)
    ) session = session.next;
    return session;
  }

  /** Makes a session; null when there are too many. Existing ones never give way to a new one. */
  create(
    mapping: Mapping,
    remote: { address: number; port: number; expiresAt: number },
  ): Session | null {
    if (this.#size >= MAX_SESSIONS) return null;
    const session = new Session(mapping, remote);
    const bucket = bucketOf(mapping, remote.address, remote.port);
    session.next = this.#buckets[bucket];
    this.#buckets[bucket] = session;
    this.#size++;
    return session;
  }

  /** The client has sent something in this session: from now on it keeps the mapping alive. */
  confirm(session: Session): void {
    if (session.confirmed) return;
    session.confirmed = true;
    session.mapping.sessions++;
  }

  /** Removes what has expired, and what belongs to mappings that have. */
  sweep(now: number, isGone: (mapping: Mapping) => boolean): void {
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      let before: Session | null = null;
      for (let session = this.#buckets[bucket]; session !== null; session = session.next) {
        if (now < session.expiresAt && !isGone(session.mapping)) {
          before = session;
          continue;
        }
        if (before === null) this.#buckets[bucket] = session.next;
        else before.next = session.next;
        if (session.confirmed) session.mapping.sessions--;
        this.#size--;
      }
    }
  }
}

/**
 * Takes note of a TCP segment's flags and sets how long the session lives on (RFC 5382 REQ-5, RFC 7857 section 2).
 *
 * Established is when both sides' SYN has passed. FIN both ways or RST make it transitory again, and so does a new SYN,
 * by which the same endpoints begin anew.
 */
export function trackTcp(session: Session, flags: number, isOutbound: boolean, now: number): void {
  if ((flags & tcp.FLAG_SYN) !== 0) {
    // A SYN with ACK answers the other side's; one without begins a connection, unless the other side's crossed it.
    const closing = (session.seen & RST) !== 0 || (session.seen & FIN_BOTH) !== 0;
    if ((flags & tcp.FLAG_ACK) === 0 && closing) session.seen = 0;
    session.seen |= isOutbound ? SYN_OUT : SYN_IN;
  }
  if ((flags & tcp.FLAG_FIN) !== 0) session.seen |= isOutbound ? FIN_OUT : FIN_IN;
  if ((flags & tcp.FLAG_RST) !== 0) session.seen |= RST;
  const isEstablished = (session.seen & SYN_BOTH) === SYN_BOTH && (session.seen & RST) === 0 &&
    (session.seen & FIN_BOTH) !== FIN_BOTH;
  session.expiresAt = now + (isEstablished ? TCP_ESTABLISHED_TIMEOUT : TCP_TRANSITORY_TIMEOUT);
}

function bucketOf(mapping: Mapping, address: number, port: number): number {
  const mixed = Math.imul(address ^ (mapping.externalPort << 16) ^ port, 0x9e3779b1);
  return (mixed >>> 17) & (BUCKETS - 1);
}
