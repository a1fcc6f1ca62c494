/**
 * Path watch: when the path to a peer is looked at again in the midst of a session.
 *
 * What the first link takes, or which one that is, changes with a notification of the kernel's: the path is then asked
 * for at once, and looked at if it takes other packets than at the last look. What a router behind it takes changes
 * unannounced: data leaves without DF and is cut up there. So while packets flow, the length in use is probed again
 * from time to time, with DF, and the greatest one with it, as the path may have grown (RFC 8899 section 5.3.3).
 */
import type { PathMtuSearch } from "./path_mtu.ts";
import type { Peer } from "../peer.ts";
import { NEVER } from "../timers.ts";

/** ms between two walks through all peers. */
const WALK_INTERVAL = 2_500;
/** ms after a look from which on the path of a peer in use is probed again. */
const CONFIRM_AFTER = 10_000;
/** Bytes since that look that make a path one in use: heartbeats do not. */
const LEAST_BYTES = 2_000;

/** How a path was at the last look. */
interface Seen {
  /** What its first link takes; null where no route led there. */
  pathMtu: number | null;
  at: number;
  bytes: number;
}

export class PathWatch {
  readonly #search: PathMtuSearch;
  readonly #peers: () => Iterable<Peer>;
  readonly #seen = new WeakMap<Peer, Seen>();
  #walkAt = NEVER;
  /** Of the peers whose first link is still to be asked for; null for none. */
  #unasked: Iterator<Peer> | null = null;
  /** Whether there was another notification since it began. */
  #hasChanged = false;

  constructor(search: PathMtuSearch, peers: () => Iterable<Peer>) {
    this.#search = search;
    this.#peers = peers;
  }

  /** Takes what the first link of a path took when it was looked at. */
  looked(peer: Peer, pathMtu: number | null, now: number): void {
    this.#seen.set(peer, { pathMtu, at: now, bytes: bytesOf(peer) });
    if (this.#walkAt === NEVER) this.#walkAt = now + WALK_INTERVAL;
  }

  /** Interfaces, addresses or routes have changed. */
  networkChanged(): void {
    if (this.#unasked === null) this.#unasked = this.#peers()[Symbol.iterator]();
    else this.#hasChanged = true;
  }

  /** When `next()` or `poll()` has something to do, monotonic ms; `Infinity` for never. */
  pollAt(): number {
    return this.#unasked === null ? this.#walkAt : 0;
  }

  /** A peer whose first link is to be asked for now; `asked()` must follow. Null when there is none. */
  next(): Peer | null {
    while (this.#unasked !== null) {
      const { done, value } = this.#unasked.next();
      if (!done) {
        if (value.current !== null && this.#seen.has(value)) return value;
        continue;
      }
      this.#unasked = this.#hasChanged ? this.#peers()[Symbol.iterator]() : null;
      this.#hasChanged = false;
    }
    return null;
  }

  /** Takes what the first link takes; the path is looked at if that is something else than before. */
  asked(peer: Peer, pathMtu: number | null, now: number): void {
    // Between two routes there may be none: the next notification brings the new one.
    if (pathMtu === null || this.#seen.get(peer)?.pathMtu === pathMtu) return;
    this.#search.start(peer, now);
  }

  /** Has the paths in use looked at whose time has come. Costs one comparison when it is not time. */
  poll(now: number): void {
    if (now < this.#walkAt) return;
    this.#walkAt = NEVER;
    for (const peer of this.#peers()) {
      const seen = this.#seen.get(peer);
      if (seen === undefined || peer.current === null) continue;
      this.#walkAt = now + WALK_INTERVAL;
      const isInUse = bytesOf(peer) - seen.bytes >= LEAST_BYTES;
      if (isInUse && now - seen.at >= CONFIRM_AFTER) this.#search.confirm(peer, now);
    }
  }
}

function bytesOf({ sentBytes, receivedBytes }: Peer): number {
  return sentBytes + receivedBytes;
}
