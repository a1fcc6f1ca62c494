/**
 * Flows of a relay: which conversation by UDP rides on which connection, which are idle, and which are evicted when
 * there are too many. It does no I/O: flows that are over wait in `ended` for the caller to let go of what it holds for
 * them.
 *
 * Nothing here can be authenticated, so flows count for their far end's address: one who opens many loses his own. A
 * flow that was answered is worth more than one that was not: a service as WireGuard's does not answer strangers.
 *
 * UDP has no end that could be seen, so a flow ends by silence, or with its connection.
 */
import { FairShares, type Place } from "../limits/fair_shares.ts";
import type { Session } from "../transport/fake_tcp/session.ts";

/**
 * ms after which a flow without a datagram in either direction is over: what RFC 4787 (REQ-5) lets a NAT give UDP is
 * two minutes at least, so a client that keeps a mapping alive keeps a flow alive.
 */
export const IDLE_TIMEOUT = 180_000;

const BUCKETS = 1 << 10;

/** A conversation with one far end. Addresses as int32, host order. */
export class RelayFlow {
  /** The far end, and our address that it wrote to. */
  readonly address: number;
  readonly port: number;
  readonly source: number;
  /** What carries it; null before there is a connection. */
  session: Session | null = null;
  /** When its last datagram passed, in ms. */
  usedAt = -Infinity;
  /** Its place in its address's share. */
  place: Place<number, RelayFlow> | null = null;
  /** Its neighbours by age, and the next in its bucket, in the table. */
  older: RelayFlow | null = null;
  newer: RelayFlow | null = null;
  next: RelayFlow | null = null;

  constructor(address: number, port: number, source: number) {
    this.address = address;
    this.port = port;
    this.source = source;
  }
}

export interface RelayFlowsOptions {
  /** The most flows at a time. */
  readonly capacity: number;
  /** ms */
  readonly idleTimeout: number;
  /** A random uint32 that nobody outside knows, or a sender could fill one bucket on purpose. */
  readonly seed: number;
}

export class RelayFlows {
  /** Those over since the caller last emptied it, each with the session that it had. */
  readonly ended: RelayFlow[] = [];
  size = 0;
  readonly #options: RelayFlowsOptions;
  readonly #buckets: (RelayFlow | null)[] = new Array(BUCKETS).fill(null);
  readonly #bySession = new Map<Session, RelayFlow>();
  readonly #shares: FairShares<number, RelayFlow>;
  /** Both ends of the list by age: the flow idle for longest, the one used last. */
  #oldest: RelayFlow | null = null;
  #newest: RelayFlow | null = null;

  constructor(options: RelayFlowsOptions) {
    this.#options = options;
    this.#shares = new FairShares({
      capacity: options.capacity,
      evict: (flow) => this.end(flow),
    });
  }

  /** The flow of a far end, or null; addresses as int32. */
  find(address: number, port: number, source: number): RelayFlow | null {
    let flow = this.#buckets[this.#bucket(address, port, source)];
    while (
      flow !== null && (flow.port !== port || flow.address !== address || flow.source !== source)
    ) flow = flow.next;
    return flow;
  }

  /** The flow that a connection carries, or null. */
  carriedBy(session: Session): RelayFlow | null {
    return this.#bySession.get(session) ?? null;
  }

  /**
   * Begins a flow that there is not yet. Where there are too many, the one idle for longest of the address with the
   * most is evicted.
   *
   * @returns null where each address has its one flow, all of them answered
   */
  open(address: number, port: number, source: number, now: number): RelayFlow | null {
    const flow = new RelayFlow(address, port, source);
    flow.place = this.#shares.add(address, flow);
    if (flow.place === null) return null;
    const bucket = this.#bucket(address, port, source);
    flow.next = this.#buckets[bucket];
    this.#buckets[bucket] = flow;
    flow.usedAt = now;
    this.#append(flow);
    this.size++;
    return flow;
  }

  /** Has a flow carried by this connection from now on. */
  carry(flow: RelayFlow, session: Session): void {
    if (flow.session !== null) this.#bySession.delete(flow.session);
    flow.session = session;
    this.#bySession.set(session, flow);
  }

  /** Takes note that a datagram of a flow passes. */
  use(flow: RelayFlow, now: number): void {
    flow.usedAt = now;
    this.#shares.touch(flow.place!);
    if (flow === this.#newest) return;
    this.#unlink(flow);
    this.#append(flow);
  }

  /** Takes note that a datagram of a flow was answered. */
  answered(flow: RelayFlow): void {
    this.#shares.prove(flow.place!);
  }

  /** Ends a flow. */
  end(flow: RelayFlow): void {
    this.#shares.remove(flow.place!);
    if (flow.session !== null) this.#bySession.delete(flow.session);
    this.#unlink(flow);
    const bucket = this.#bucket(flow.address, flow.port, flow.source);
    let before: RelayFlow | null = null;
    let at = this.#buckets[bucket];
    while (at !== null && at !== flow) {
      before = at;
      at = at.next;
    }
    if (before === null) this.#buckets[bucket] = flow.next;
    else before.next = flow.next;
    this.size--;
    this.ended.push(flow);
  }

  /** When `poll()` has something to do; `Infinity` for never. */
  pollAt(): number {
    return this.#oldest === null ? Infinity : this.#oldest.usedAt + this.#options.idleTimeout;
  }

  /** Ends the flows that have been idle for too long. */
  poll(now: number): void {
    while (now >= this.pollAt()) this.end(this.#oldest!);
  }

  #append(flow: RelayFlow): void {
    flow.older = this.#newest;
    flow.newer = null;
    if (this.#newest === null) this.#oldest = flow;
    else this.#newest.newer = flow;
    this.#newest = flow;
  }

  #unlink(flow: RelayFlow): void {
    if (flow.older === null) this.#oldest = flow.newer;
    else flow.older.newer = flow.newer;
    if (flow.newer === null) this.#newest = flow.older;
    else flow.newer.older = flow.older;
  }

  /** Strangers choose most of what is hashed. */
  #bucket(address: number, port: number, source: number): number {
    let mixed = Math.imul(address ^ this.#options.seed, 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 15) ^ port, 0xc2b2ae35);
    mixed = Math.imul(mixed ^ (mixed >>> 13) ^ source, 0x27d4eb2f);
    return (mixed ^ (mixed >>> 16)) & (BUCKETS - 1);
  }
}
