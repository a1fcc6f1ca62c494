/**
 * External ports of one protocol that stand for one inner endpoint each: which are free, at rest or taken, and the
 * choice among the free.
 *
 * The choice is random, so that a port cannot be guessed (RFC 6056, RFC 6888 REQ-15), within two bounds that
 * applications rely on: ports below 1,024 stay below where the range allows (RFC 4787 REQ-3a), and an even port stays
 * even, an odd one odd (REQ-4). Every call takes constant time, however few ports are left: clients could use up the
 * processor otherwise as soon as they have used up the ports.
 *
 * A port that was given back rests for two minutes while others are free (RFC 6888 REQ-8), and until then it counts
 * against the client that used it: or a client that comes and goes would take all ports within seconds. That client may
 * have it back at any time; others get ports at rest, the oldest first, when no other is left.
 */
import { PORT_REST_TIME } from "./constants.ts";
import type { Share } from "./records.ts";
import { isSharedPort } from "./shared_ports.ts";
import { type PortSlice, SlicePorts } from "./slices/port_slice.ts";

const FIRST_UNPRIVILEGED = 1024;
/** Bit of a pool's index that is set for ports from 1,024 on; the lowest bit is the parity. */
const UNPRIVILEGED = 2;

/** Free ports of one kind, in no order. */
interface Pool {
  readonly ports: Uint16Array;
  count: number;
}

export class PortAllocator {
  readonly #slice: SlicePorts;
  readonly #pools: readonly Pool[];
  /** Of each free port, by its place in the slice, where it is in its pool. */
  readonly #positions: Uint16Array;
  #free = 0;
  /**
   * Ports at rest, by their place in the slice: whose each is, when it has rested, ms, and its neighbours (-1: none) in
   * two lists, that of all and its owner's. As all rest alike, both are in the order of release.
   */
  readonly #owners: (Share | null)[];
  readonly #restedAt: Float64Array;
  readonly #older: Int32Array;
  readonly #newer: Int32Array;
  readonly #ownOlder: Int32Array;
  readonly #ownNewer: Int32Array;
  #oldest = -1;
  #newest = -1;
  #resting = 0;
  readonly #random: () => number;

  /** @param random draws an unsigned 32-bit number */
  constructor(ports: PortSlice, random: () => number) {
    const slice = this.#slice = new SlicePorts(ports);
    const { size } = slice;
    this.#random = random;
    this.#pools = Array.from({ length: 4 }, () => ({ ports: new Uint16Array(size), count: 0 }));
    this.#positions = new Uint16Array(size);
    this.#owners = new Array(size).fill(null);
    this.#restedAt = new Float64Array(size);
    this.#older = new Int32Array(size);
    this.#newer = new Int32Array(size);
    this.#ownOlder = new Int32Array(size);
    this.#ownNewer = new Int32Array(size);
    for (let place = 0; place < size; place++) {
      const port = slice.portAt(place);
      if (this.#isManaged(port)) this.#put(port);
    }
  }

  /**
   * Whether a client holds no more than is left for others: each then gets its part of the range without a list of who
   * is there, the first a half, two a third each, and however many a few take, something is left for one more.
   */
  isWithinShare(share: Share): boolean {
    return share.held <= this.#free + this.#resting - share.resting;
  }

  /** Takes a port for the inner port `wanted`, in need one that is at rest; -1 when all are taken. */
  allocate(wanted: number, now: number): number {
    this.wake(now);
    const best = poolOf(wanted);
    // Where no port is as it should be, any is better than none: the parity is given up first, then the class.
    for (let change = 0; change < this.#pools.length; change++) {
      const pool = this.#pools[best ^ change];
      if (pool.count > 0) return this.#draw(pool);
    }
    return this.#oldest < 0 ? -1 : this.#slice.portAt(this.#rouse(this.#oldest));
  }

  /** Takes the port that a client gave back longest ago, if it is still at rest; -1 where there is none. */
  reuse(share: Share): number {
    return share.oldestResting < 0 ? -1 : this.#slice.portAt(this.#rouse(share.oldestResting));
  }

  /** Takes a given port; false when it is not free. One outside the slice, or a shared one, is no concern of ours. */
  take(port: number): boolean {
    if (!this.#isManaged(port)) return true;
    const pool = this.#pools[poolOf(port)];
    const at = this.#positions[this.#slice.placeOf(port)];
    if (at >= pool.count || pool.ports[at] !== port) return false;
    this.#take(pool, at);
    return true;
  }

  /** Takes a given port of those that are given out, also one at rest; false when it is none, or not free. */
  claim(port: number): boolean {
    if (!this.#isManaged(port)) return false;
    const place = this.#slice.placeOf(port);
    if (this.#owners[place] === null) return this.take(port);
    this.#rouse(place);
    return true;
  }

  /** Gives a port of a client's back; it rests first. */
  release(port: number, share: Share, now: number): void {
    if (!this.#isManaged(port)) return;
    const at = this.#slice.placeOf(port);
    this.#owners[at] = share;
    this.#restedAt[at] = now + PORT_REST_TIME;
    this.#older[at] = this.#newest;
    this.#newer[at] = -1;
    if (this.#newest < 0) this.#oldest = at;
    else this.#newer[this.#newest] = at;
    this.#newest = at;
    this.#ownOlder[at] = share.newestResting;
    this.#ownNewer[at] = -1;
    if (share.newestResting < 0) share.oldestResting = at;
    else this.#ownNewer[share.newestResting] = at;
    share.newestResting = at;
    share.resting++;
    this.#resting++;
  }

  /** Puts the ports that have rested long enough back among the free. */
  wake(now: number): void {
    while (this.#oldest >= 0 && now >= this.#restedAt[this.#oldest]) {
      this.#put(this.#slice.portAt(this.#rouse(this.#oldest)));
    }
  }

  #isManaged(port: number): boolean {
    return this.#slice.has(port) && !isSharedPort(this.#slice, port);
  }

  /** Ends a port's rest. Returns its place. */
  #rouse(at: number): number {
    const share = this.#owners[at]!;
    const [older, newer] = [this.#older[at], this.#newer[at]];
    if (older < 0) this.#oldest = newer;
    else this.#newer[older] = newer;
    if (newer < 0) this.#newest = older;
    else this.#older[newer] = older;
    const [ownOlder, ownNewer] = [this.#ownOlder[at], this.#ownNewer[at]];
    if (ownOlder < 0) share.oldestResting = ownNewer;
    else this.#ownNewer[ownOlder] = ownNewer;
    if (ownNewer < 0) share.newestResting = ownOlder;
    else this.#ownOlder[ownNewer] = ownOlder;
    this.#owners[at] = null;
    share.resting--;
    this.#resting--;
    return at;
  }

  #draw(pool: Pool): number {
    return this.#take(pool, this.#random() % pool.count);
  }

  #take(pool: Pool, at: number): number {
    const port = pool.ports[at];
    const last = pool.ports[--pool.count];
    pool.ports[at] = last;
    this.#positions[this.#slice.placeOf(last)] = at;
    this.#free--;
    return port;
  }

  #put(port: number): void {
    const pool = this.#pools[poolOf(port)];
    this.#positions[this.#slice.placeOf(port)] = pool.count;
    pool.ports[pool.count++] = port;
    this.#free++;
  }
}

function poolOf(port: number): number {
  return (port < FIRST_UNPRIVILEGED ? 0 : UNPRIVILEGED) | (port & 1);
}
