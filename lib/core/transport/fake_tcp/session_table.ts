/** Session table: finds connections by their four-tuples in constant time. */
import { type FourTuple, type Session, SessionState } from "./session.ts";

const BUCKETS = 1 << 12;

export class SessionTable {
  readonly #buckets: (Session | null)[] = new Array(BUCKETS).fill(null);
  readonly #sessions = new Set<Session>();
  readonly #seed: number;

  /** @param seed a random uint32 that nobody outside knows, or a sender could fill one bucket on purpose */
  constructor(seed: number) {
    this.#seed = seed;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** All of them; each may be removed while they are gone through. */
  get sessions(): ReadonlySet<Session> {
    return this.#sessions;
  }

  /** The connection, or null; addresses as int32. */
  find(
    remoteAddress: number,
    remotePort: number,
    localAddress: number,
    localPort: number,
  ): Session | null {
    let session = this.#buckets[this.#bucket(remoteAddress, remotePort, localAddress, localPort)];
    while (
      session !== null &&
      (session.remotePort !== remotePort || session.remoteAddress !== remoteAddress ||
        session.localPort !== localPort || session.localAddress !== localAddress)
    ) session = session.next;
    return session;
  }

  /** Adds a connection whose four-tuple is nobody else's. */
  add(session: Session): void {
    const bucket = this.#bucketOf(session);
    session.next = this.#buckets[bucket];
    this.#buckets[bucket] = session;
    this.#sessions.add(session);
  }

  /** Removes a connection, which is over; false if it was already. */
  remove(session: Session): boolean {
    if (!this.#sessions.delete(session)) return false;
    session.state = SessionState.closed;
    session.waiting = [];
    const bucket = this.#bucketOf(session);
    let before: Session | null = null;
    let at = this.#buckets[bucket];
    while (at !== null && at !== session) {
      before = at;
      at = at.next;
    }
    if (before === null) this.#buckets[bucket] = session.next;
    else before.next = session.next;
    return true;
  }

  #bucketOf({ remoteAddress, remotePort, localAddress, localPort }: FourTuple): number {
    return this.#bucket(remoteAddress, remotePort, localAddress, localPort);
  }

  /** Strangers choose most of what is hashed. */
  #bucket(
    remoteAddress: number,
    remotePort: number,
    localAddress: number,
    localPort: number,
  ): number {
    let mixed = Math.imul(remoteAddress ^ this.#seed, 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 15) ^ (remotePort << 16 | localPort), 0xc2b2ae35);
    mixed = Math.imul(mixed ^ (mixed >>> 13) ^ localAddress, 0x27d4eb2f);
    return (mixed ^ (mixed >>> 16)) & (BUCKETS - 1);
  }
}
