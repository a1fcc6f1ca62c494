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
import type { Paths } from "../transport/paths.ts";
import type { Session } from "../transport/fake_tcp/session.ts";

/**
 * ms after which a flow without a datagram in either direction is over: what RFC 4787 (REQ-5) lets a NAT give UDP is
 * two minutes at least, so a client that keeps a mapping alive keeps a flow alive.
 */
export const IDLE_TIMEOUT = 180_000;

/** A conversation with one far end. */
export class RelayFlow {
  /** To the far end, from our address that it wrote to. */
  readonly path: number;
  /** What carries it; null before there is a connection. */
  session: Session | null = null;
  /** When its last datagram passed, in ms. */
  usedAt = -Infinity;
  /** Its place in its address's share. */
  place: Place<number, RelayFlow> | null = null;
  /** Its neighbours by age. */
  older: RelayFlow | null = null;
  newer: RelayFlow | null = null;

  constructor(path: number) {
    this.path = path;
  }
}

export interface RelayFlowsOptions {
  /** The most flows at a time. */
  readonly capacity: number;
  /** ms */
  readonly idleTimeout: number;
  /** Keeps the path of each flow. */
  readonly paths: Paths;
}

export class RelayFlows {
  /** Those over since the caller last emptied it, each with the session that it had. */
  readonly ended: RelayFlow[] = [];
  size = 0;
  readonly #options: RelayFlowsOptions;
  readonly #byPath = new Map<number, RelayFlow>();
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

  /** The flow of a far end, or null. */
  find(path: number): RelayFlow | null {
    return this.#byPath.get(path) ?? null;
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
  open(path: number, now: number): RelayFlow | null {
    const { paths } = this.#options;
    const flow = new RelayFlow(path);
    flow.place = this.#shares.add(paths.partyKey(path), flow);
    if (flow.place === null) return null;
    paths.retain(path);
    this.#byPath.set(path, flow);
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
    this.#byPath.delete(flow.path);
    this.#options.paths.release(flow.path);
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
}
