/** Session table: finds connections by their four-tuples in constant time. */
import { hash } from "../../wire/hash.ts";
import type { FourTuple } from "./four_tuple.ts";
import { type Session, SessionState } from "./session.ts";

const BUCKETS = 1 << 12;

/** Bytes of the longest pair of addresses. */
const MAX_PAIR_SIZE = 32;

export class SessionTable {
  readonly #buckets: (Session | null)[] = new Array(BUCKETS).fill(null);
  readonly #sessions = new Set<Session>();
  readonly #byNumber = new Map<number, Session>();
  /** An int32 that wraps around, when all that had the first ones are long over. */
  #lastNumber = 0;
  readonly #seed: number;
  /** The addresses of a four-tuple that is looked for. */
  readonly #pair = new DataView(new ArrayBuffer(MAX_PAIR_SIZE));

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

  /**
   * The connection, or null.
   *
   * @param remote,local where in `view` the two addresses stand, in network order
   * @param size bytes of each: 4 or 16
   */
  find(
    view: DataView,
    remote: number,
    local: number,
    size: number,
    remotePort: number,
    localPort: number,
  ): Session | null {
    let session = this.#buckets[this.#bucket(view, remote, local, size, remotePort, localPort)];
    while (
      session !== null &&
      (session.remotePort !== remotePort || session.localPort !== localPort ||
        !hasAddresses(session, view, remote, local, size))
    ) session = session.next;
    return session;
  }

  /** The same by a four-tuple. */
  ofTuple(tuple: FourTuple): Session | null {
    const size = this.#writePair(tuple);
    return this.find(this.#pair, 0, size, size, tuple.remotePort, tuple.localPort);
  }

  /** The connection with this number, or null: it may be over. */
  numbered(number: number): Session | null {
    return this.#byNumber.get(number) ?? null;
  }

  /** Adds a connection whose four-tuple is nobody else's. */
  add(session: Session): void {
    this.#lastNumber = (this.#lastNumber + 1) | 0;
    session.number = this.#lastNumber;
    this.#byNumber.set(session.number, session);
    const bucket = this.#bucketOf(session);
    session.next = this.#buckets[bucket];
    this.#buckets[bucket] = session;
    this.#sessions.add(session);
  }

  /** Removes a connection, which is over; false if it was already. */
  remove(session: Session): boolean {
    if (!this.#sessions.delete(session)) return false;
    this.#byNumber.delete(session.number);
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

  #bucketOf(tuple: FourTuple): number {
    const size = this.#writePair(tuple);
    return this.#bucket(this.#pair, 0, size, size, tuple.remotePort, tuple.localPort);
  }

  /** Writes both addresses side by side. Returns the bytes of each. */
  #writePair({ addresses }: FourTuple): number {
    for (let i = 0; i < addresses.length; i++) this.#pair.setInt32(4 * i, addresses[i]);
    return 2 * addresses.length;
  }

  /** Strangers choose most of what is hashed. */
  #bucket(
    view: DataView,
    remote: number,
    local: number,
    size: number,
    remotePort: number,
    localPort: number,
  ): number {
    let hashed = remotePort << 16 | localPort;
    for (let at = 0; at < size; at += 4) {
      hashed = hash(view.getInt32(remote + at), hashed, this.#seed);
      hashed = hash(view.getInt32(local + at), hashed, this.#seed);
    }
    return hashed & (BUCKETS - 1);
  }
}

function hasAddresses(
  { addresses }: FourTuple,
  view: DataView,
  remote: number,
  local: number,
  size: number,
): boolean {
  const words = size >> 2;
  if (addresses.length !== 2 * words) return false;
  for (let i = 0; i < words; i++) {
    if (
      addresses[i] !== view.getInt32(remote + 4 * i) ||
      addresses[words + i] !== view.getInt32(local + 4 * i)
    ) return false;
  }
  return true;
}
