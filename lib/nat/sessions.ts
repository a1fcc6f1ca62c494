/**
 * Owns the sessions: what a mapping has to do with one remote endpoint. For TCP, the state of the connection, which decides
 * how long the mapping is kept; for the strict kind of filtering, the remote addresses that may answer.
 *
 * Only a client's packets make a session or keep it alive. A stranger's may change its state, which can only shorten its
 * life; they cost no memory, and no mapping is held for them (RFC 4787 section 4.3 says why for UDP; for TCP, whatever
 * is alive acknowledges what it gets, so that outbound packets are enough).
 */
import * as tcp from "../wire/tcp.ts";
import { MAX_SESSIONS, TCP_ESTABLISHED_TIMEOUT, TCP_TRANSITORY_TIMEOUT } from "./constants.ts";
import { hash } from "./hash.ts";
import type { Client, Mapping } from "./mapping_table.ts";

const BUCKETS = 1 << 15;

/** In place of a remote port: the session stands for all ports of its address, as what filtering goes by. */
export const ANY_PORT = -1;

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
  /** Signed. */
  readonly remoteAddress: number;
  /** Or `ANY_PORT`. */
  readonly remotePort: number;
  /** ms */
  expiresAt = -Infinity;
  /** Bits of `SYN_OUT` and the like. */
  seen = 0;
  /** The next in its bucket. */
  next: Session | null = null;

  constructor(mapping: Mapping, remoteAddress: number, remotePort: number) {
    this.mapping = mapping;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
  }
}

export class SessionTable {
  readonly #buckets: (Session | null)[] = new Array(BUCKETS).fill(null);
  readonly #clientQuota: number;
  readonly #seed: number;
  #size = 0;

  /** @param clientQuota sessions that one client may hold */
  constructor(clientQuota: number, seed: number) {
    this.#clientQuota = clientQuota;
    this.#seed = seed;
  }

  get size(): number {
    return this.#size;
  }

  /** The session, or null. It may have expired. */
  find(mapping: Mapping, remoteAddress: number, remotePort: number): Session | null {
    let session = this.#buckets[this.#bucket(mapping, remoteAddress, remotePort)];
    while (
      session !== null &&
      (session.mapping !== mapping || session.remoteAddress !== remoteAddress ||
        session.remotePort !== remotePort)
    ) session = session.next;
    return session;
  }

  /** Whether a client may have one more: what exists never gives way to a new one. `null`: a client that holds nothing. */
  hasRoom(client: Client | null): boolean {
    return this.#size < MAX_SESSIONS &&
      (client === null ? 0 : client.sessions) < this.#clientQuota;
  }

  /** Makes a session, expired as yet; null when there are too many. */
  create(mapping: Mapping, remoteAddress: number, remotePort: number): Session | null {
    if (!this.hasRoom(mapping.client)) return null;
    const session = new Session(mapping, remoteAddress, remotePort);
    const bucket = this.#bucket(mapping, remoteAddress, remotePort);
    session.next = this.#buckets[bucket];
    this.#buckets[bucket] = session;
    this.#size++;
    mapping.client.sessions++;
    if (remotePort !== ANY_PORT) mapping.connections++;
    return session;
  }

  /** Removes what has expired, and what belongs to mappings that are gone. */
  sweep(now: number): void {
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      let before: Session | null = null;
      for (let session = this.#buckets[bucket]; session !== null; session = session.next) {
        if (now < session.expiresAt && !session.mapping.isRemoved) {
          before = session;
          continue;
        }
        if (before === null) this.#buckets[bucket] = session.next;
        else before.next = session.next;
        this.#size--;
        session.mapping.client.sessions--;
        if (session.remotePort !== ANY_PORT) session.mapping.connections--;
      }
    }
  }

  #bucket(mapping: Mapping, address: number, port: number): number {
    return hash(address, mapping.externalPort << 16 ^ port, this.#seed) & (BUCKETS - 1);
  }
}

/**
 * Takes note of a client's TCP segment and sets how long the session lives on (RFC 5382 REQ-5, RFC 7857 section 2).
 *
 * @param flags of the segment
 * @param isReachable whether the remote end could have opened the connection: a session that begins without a SYN of the
 * client's is then one whose handshake is over
 */
export function trackOutbound(
  session: Session,
  flags: number,
  isReachable: boolean,
  now: number,
): void {
  if (now >= session.expiresAt) {
    session.seen = (flags & tcp.FLAG_SYN) === 0 && isReachable ? SYN_BOTH : 0;
  }
  if ((flags & tcp.FLAG_RST) !== 0) {
    // A client answers by RST to what a stranger sends: that must not refresh anything (RFC 7857 section 7.1).
    session.seen |= RST;
    hasten(session, now);
    return;
  }
  if ((flags & tcp.FLAG_SYN) !== 0) {
    if (isOver(session.seen)) session.seen = 0;
    // A SYN with ACK answers the other end's.
    session.seen |= (flags & tcp.FLAG_ACK) !== 0 ? SYN_BOTH : SYN_OUT;
  } else {
    // The client goes on: an RST that came before was forged, or not for it to heed (RFC 7857 section 2.2).
    session.seen &= ~RST;
  }
  if ((flags & tcp.FLAG_FIN) !== 0) session.seen |= FIN_OUT;
  const isOpen = (session.seen & SYN_BOTH) === SYN_BOTH && !isOver(session.seen);
  session.expiresAt = now + (isOpen ? TCP_ESTABLISHED_TIMEOUT : TCP_TRANSITORY_TIMEOUT);
}

/** Takes note of a remote end's segment. It may shorten the session's life, never prolong it, nor call it back. */
export function trackInbound(session: Session, flags: number, now: number): void {
  if ((flags & tcp.FLAG_SYN) !== 0) session.seen |= SYN_IN;
  if ((flags & tcp.FLAG_FIN) !== 0) session.seen |= FIN_IN;
  if ((flags & tcp.FLAG_RST) !== 0) session.seen |= RST;
  if (isOver(session.seen)) hasten(session, now);
}

function isOver(seen: number): boolean {
  return (seen & RST) !== 0 || (seen & FIN_BOTH) === FIN_BOTH;
}

function hasten(session: Session, now: number): void {
  session.expiresAt = Math.min(session.expiresAt, now + TCP_TRANSITORY_TIMEOUT);
}
