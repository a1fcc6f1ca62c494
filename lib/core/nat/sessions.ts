/**
 * The sessions: what keeps a mapping alive. Of TCP, each connection; of UDP and ICMP, one for the whole mapping. For
 * the strict kind of filtering also the remote addresses that may answer, and where clients are kept apart, the
 * forwarded ports.
 *
 * Only a client's packets make a session or keep it alive; strangers cost no memory, and no mapping is held for them
 * (RFC 4787 section 4.3). A client that has as many as it may loses its own for a new one, never another's: those first
 * that are finished, then those that were not used for longest. An established TCP connection that is in use is never
 * one of them.
 */
import { PROTOCOL_TCP } from "../wire/ipv4.ts";
import { SECOND, TCP_IN_USE_TIME } from "./constants.ts";
import { hash } from "../wire/hash.ts";
import type { MappingTable } from "./mapping_table.ts";
import {
  ANY_PORT,
  type Client,
  type Mapping,
  NatSession,
  type SessionList,
  type SessionLists,
  type Share,
} from "./records.ts";
import { LateTable, PLACES } from "./late_table.ts";
import type { FlowLedger } from "./replicas/flow_ledger.ts";
import { secondOf, TimerWheel } from "./timer_wheel.ts";

export class NatSessionTable {
  /** Takes each connection, and each mapping of UDP, that is made; null where no other NAT is to know of them. */
  ledger: FlowLedger | null = null;
  readonly #mappings: MappingTable;
  readonly #buckets: LateTable<NatSession> = new LateTable();
  readonly #wheel = new TimerWheel();
  readonly #quota: number;
  readonly #capacity: number;
  readonly #seed: number;
  /** All, and of these the ones that stand for a whole mapping of UDP or ICMP. */
  #size = 0;
  #lives = 0;
  #now = 0;
  readonly #end = (session: NatSession) => this.remove(session, this.#now);

  /**
   * @param quota sessions of one protocol that one client may hold
   * @param capacity sessions of all clients together
   */
  constructor(
    mappings: MappingTable,
    { quota, capacity, seed }: { quota: number; capacity: number; seed: number },
  ) {
    this.#mappings = mappings;
    this.#quota = quota;
    this.#capacity = capacity;
    this.#seed = seed;
  }

  /** TCP connections and permissions to answer. */
  get size(): number {
    return this.#size - this.#lives;
  }

  /** Whether there is anything that may expire. */
  get isEmpty(): boolean {
    return this.#size === 0;
  }

  /** The session of a mapping with a remote end, but for `mapping.life`; or null. It may have expired. */
  find(mapping: Mapping, remoteAddress: number, remotePort: number): NatSession | null {
    let session = this.#buckets.get(this.#bucket(mapping, remoteAddress, remotePort));
    while (
      session !== null &&
      (session.mapping !== mapping || session.remoteAddress !== remoteAddress ||
        session.remotePort !== remotePort)
    ) session = session.next;
    return session;
  }

  // What is made. Each is to be followed by `use()`, but for permissions that live as long as others refer to them.

  /**
   * Makes room for one more session of a client's, by the end of another where it has to be; whether there is. As with
   * ports, one client may hold as many as are left for others, so that something is always left.
   */
  makeRoom(share: Share, now: number): boolean {
    return this.hasRoom(share) || this.#evict(share, now);
  }

  /** Whether there is room for one more of a client's without the end of another. */
  hasRoom({ sessions }: Share): boolean {
    return sessions < this.#quota && sessions <= this.#capacity - this.#size;
  }

  /** Makes a session, expired as yet, for which there is room. */
  create(mapping: Mapping, remoteAddress: number, remotePort: number): NatSession {
    const session = this.#create(mapping, remoteAddress, remotePort);
    const bucket = this.#bucket(mapping, remoteAddress, remotePort);
    session.next = this.#buckets.get(bucket);
    this.#buckets.set(bucket, session);
    if (isConnection(session)) {
      mapping.connections++;
      this.ledger?.add(session);
    }
    return session;
  }

  /** Makes the one session of a mapping that has no others. */
  createLife(mapping: Mapping): NatSession {
    const session = this.#create(mapping, mapping.remoteAddress, mapping.remotePort);
    mapping.life = session;
    mapping.connections++;
    if (mapping.protocol !== PROTOCOL_TCP) this.#lives++;
    this.ledger?.add(session);
    return session;
  }

  #create(mapping: Mapping, remoteAddress: number, remotePort: number): NatSession {
    this.#size++;
    mapping.share.sessions++;
    this.#mappings.holds.retain(remoteAddress);
    return new NatSession(mapping, remoteAddress, remotePort);
  }

  // What is in use.

  /**
   * Takes note of one more use by the client where that changes nothing but the time of the last one, as far as the
   * session itself tells: in the second of the last use, and where nothing of the client's was used since. With many
   * clients in turn, what is around a session is in no cache.
   *
   * @param timeout for which `use()` would keep it, in the same list
   * @returns false for a use that `use()` is to take note of
   */
  isUsedAgain(session: NatSession, timeout: number, now: number): boolean {
    // Another gateway may have told how little time was left.
    if (session.timeout !== timeout) return false;
    const second = secondOf(now);
    if (session.usedSecond !== second) {
      if (session.newer !== null || now >= session.expiresAt) return false;
      session.usedSecond = second;
    }
    session.usedFraction = (now - second * SECOND) | 0;
    return true;
  }

  /**
   * Takes note of a use by the client: the session is kept for `timeout` ms from now, in the given one of its client's
   * lists.
   */
  use(session: NatSession, timeout: number, list: SessionList, now: number): void {
    const second = secondOf(now);
    // Within a second, the order in one list does not change.
    const isInPlace = session.usedSecond === second && session.list === list;
    session.usedSecond = second;
    session.usedFraction = (now - second * SECOND) | 0;
    session.timeout = timeout;
    if (!isInPlace) this.#enlist(session, list);
    this.#schedule(session);
  }

  /**
   * Keeps a session for `timeout` ms from now at most, in the given one of its client's lists. That is no use of it.
   */
  shorten(session: NatSession, timeout: number, list: SessionList, now: number): void {
    const latest = (now - session.usedAt + timeout) | 0;
    if (latest < session.timeout) session.timeout = latest;
    if (session.list !== list) this.#enlist(session, list);
    this.#schedule(session);
  }

  #enlist(session: NatSession, list: SessionList): void {
    if (session.list !== null) session.list.unlink(session);
    list.append(session);
  }

  /** Puts a session into the timer wheel, unless it stands in a slot that comes no later than its end. */
  #schedule(session: NatSession): void {
    if (session.slot < 0 || secondOf(session.expiresAt) < session.dueSecond) {
      this.#wheel.schedule(session);
    }
  }

  // What ends.

  /**
   * Ends one that the client can spare: a finished one, or else the one that was not used for longest; whether there
   * was one.
   */
  #evict({ protocol, own, shared }: Share, now: number): boolean {
    const finished = shared.finished.oldest ?? own.finished.oldest;
    const session = finished ?? older(idlest(protocol, own, now), idlest(protocol, shared, now));
    if (session === null) return false;
    this.remove(session, now);
    return true;
  }

  /** Ends the oldest finished session of a client's own ports; whether there was one. */
  evictFinished({ own }: Share, now: number): boolean {
    const session = own.finished.oldest;
    if (session === null) return false;
    this.remove(session, now);
    return true;
  }

  /**
   * Ends the session of a client's own ports that was not used for longest; whether there was one.
   *
   * @param minIdle ms for which it must not have been used
   */
  evictIdle({ protocol, own }: Share, now: number, minIdle = 0): boolean {
    const session = idlest(protocol, own, now);
    if (session === null || now - session.usedSecond * SECOND < minIdle) return false;
    this.remove(session, now);
    return true;
  }

  /** Ends a session, and its mapping with the last that keeps it alive. */
  remove(session: NatSession, now: number): void {
    const { mapping, permission } = session;
    this.#wheel.cancel(session);
    if (session.list !== null) session.list.unlink(session);
    this.#size--;
    mapping.share.sessions--;
    this.#mappings.holds.release(session.remoteAddress);
    if (permission !== null) {
      session.permission = null;
      if (--permission.references === 0) this.remove(permission, now);
    }
    if (mapping.life === session) {
      if (mapping.protocol !== PROTOCOL_TCP) this.#lives--;
    } else {
      this.#unlink(session);
      if (!isConnection(session)) return;
    }
    if (--mapping.connections === 0) this.#mappings.remove(mapping, now);
  }

  /** Ends what has expired. */
  sweep(now: number): void {
    this.#now = now;
    this.#wheel.sweep(now, this.#end);
  }

  /** Ends all that a client has. */
  release(client: Client, now: number): void {
    for (const { own, shared } of [client.tcp, client.udp, client.icmp]) {
      for (const { finished, brief, lasting } of [own, shared]) {
        for (const list of [finished, brief, lasting]) {
          while (list.oldest !== null) this.remove(list.oldest, now);
        }
      }
    }
  }

  #unlink(session: NatSession): void {
    const bucket = this.#bucket(session.mapping, session.remoteAddress, session.remotePort);
    if (this.#buckets.get(bucket) === session) {
      this.#buckets.set(bucket, session.next);
      return;
    }
    let before = this.#buckets.get(bucket);
    while (before !== null && before.next !== session) before = before.next;
    if (before !== null) before.next = session.next;
  }

  #bucket(mapping: Mapping, address: number, port: number): number {
    return hash(address, mapping.externalPort << 16 ^ port, this.#seed) & (PLACES - 1);
  }
}

/** Whether a session, not the one of a whole mapping, keeps its mapping alive. */
function isConnection({ mapping, remotePort }: NatSession): boolean {
  return mapping.protocol === PROTOCOL_TCP && remotePort !== ANY_PORT;
}

/**
 * The session that was not used for longest, but for finished ones and established TCP that is in use; null for none.
 */
function idlest(
  protocol: number,
  { brief, lasting }: SessionLists,
  now: number,
): NatSession | null {
  const established = protocol === PROTOCOL_TCP ? lasting.oldest : null;
  const isInUse = established !== null &&
    now - established.usedSecond * SECOND < TCP_IN_USE_TIME;
  return older(brief.oldest, isInUse ? null : lasting.oldest);
}

function older(a: NatSession | null, b: NatSession | null): NatSession | null {
  if (a === null || b === null) return a ?? b;
  return b.usedSecond < a.usedSecond ? b : a;
}
