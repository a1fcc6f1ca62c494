/**
 * Path table: outer endpoints by a small integer, so that what a datagram needs to travel is one number on its way
 * through the core.
 *
 * A path is the far end's socket address, our own address that it writes to, and the transport. Its number is that of a
 * slot of 64 bytes (path_slot.ts), in which the socket address stands as the kernel takes it.
 *
 * Whoever can send us a datagram has a path made, so slots of paths that nobody holds are used again, the one unused
 * for longest first, and strangers share a few hundred. Who stays is held: `retain()` by the peer that is there. A path
 * in the send queue is pinned until the queue has been empty: its datagram must not leave for another place.
 */
import { hash } from "../wire/hash.ts";
import { isIpv6 } from "../wire/host_address.ts";
import type { SocketAddress } from "../wire/socket_address.ts";
import {
  copySlot6,
  hashOfSlot6,
  IDENTITY_SIZE,
  IPV4_PREFIX,
  isSlot6,
  PATH_ADDRESS_OFFSET,
  PATH_PORT_OFFSET,
  PATH_SLOT_SIZE,
  PATH_SOURCE_OFFSET,
  PATH_TRANSPORT_OFFSET,
  writeSlot6,
  writeSocketAddress6,
} from "./path_slot.ts";
import { PathSlots } from "./path_slots.ts";
import type { Transport } from "./transport.ts";

/** Names no path. */
export const NO_PATH = 0;

/** Slots at first; twice as many whenever they are all in use. */
const FIRST_CAPACITY = 64;
const NONE = -1;

export interface PathsOptions {
  /** The most paths that are held at a time. */
  readonly holders: number;
  /** How many more there may be, which strangers share: more than the send queue has slots. */
  readonly unheld: number;
}

export class Paths extends PathSlots {
  readonly #unheldLimit: number;
  readonly #maxCapacity: number;
  #capacity = 0;
  /** How often each is held. */
  #holds = new Uint16Array(0);
  /** The turn of the send queue in which each was last sent to. */
  #pinnedIn = new Int32Array(0);
  #queueTurn = 1;
  /** The first path of each bucket, and the next one of each path's. */
  #buckets = new Int32Array(0);
  #next = new Int32Array(0);
  /**
   * Unheld paths in a ring, the one unused for longest first: each one's neighbours. Slot 0 stands between the newest
   * and the oldest.
   */
  #older = new Int32Array(0);
  #newer = new Int32Array(0);
  #unheldCount = 0;
  /** Slots in use; the first one is `NO_PATH`'s. */
  #made = 1;
  /** The one asked for last: datagrams come in runs. */
  #last = NO_PATH;
  /** The slot of IPv6 that is looked for. */
  readonly #wanted = new DataView(new ArrayBuffer(PATH_SLOT_SIZE));

  constructor({ holders, unheld }: PathsOptions) {
    super();
    this.#unheldLimit = unheld;
    this.#maxCapacity = 1 + holders + unheld;
    this.#grow(Math.min(FIRST_CAPACITY, this.#maxCapacity));
  }

  #grow(capacity: number): void {
    const { bytes } = this;
    this.bytes = new Uint8Array(capacity * PATH_SLOT_SIZE);
    this.bytes.set(bytes);
    this.view = new DataView(this.bytes.buffer);
    this.#holds = grown(this.#holds, new Uint16Array(capacity));
    this.#pinnedIn = grown(this.#pinnedIn, new Int32Array(capacity));
    this.#older = grown(this.#older, new Int32Array(capacity));
    this.#newer = grown(this.#newer, new Int32Array(capacity));
    this.#capacity = capacity;
    this.#buckets = new Int32Array(2 ** Math.ceil(Math.log2(capacity))).fill(NONE);
    this.#next = new Int32Array(capacity).fill(NONE);
    for (let path = 1; path < this.#made; path++) this.#link(path);
  }

  /**
   * Takes 32 random bits that nobody outside knows, so that nobody can fill one bucket on purpose. No path may exist
   * yet.
   */
  seedWith(seed: number): void {
    if (this.#made === 1) this.seed = seed;
  }

  /** How many paths there are, held or not. */
  get size(): number {
    return this.#made - 1;
  }

  /**
   * The path of an IPv4 endpoint. It lasts until as many others have been asked for as strangers share, less those that
   * are pinned; an owner that keeps it calls `retain()`.
   *
   * @param address,port the far end, host order; addresses as int32 or uint32
   * @param source our own address; 0 lets the kernel choose
   * @param guess a path, which is looked at first: the search for it costs more, most of all where the table is in no
   *   cache
   * @returns `NO_PATH` for port 0, and where all that there may be are held or pinned
   */
  intern(
    address: number,
    port: number,
    source: number,
    transport: Transport,
    guess: number = this.#last,
  ): number {
    if (port === 0) return NO_PATH;
    const known = this.#is(guess, address | 0, port, source | 0, transport)
      ? guess
      : this.#find(address | 0, port, source | 0, transport);
    if (known === NO_PATH) return this.#last = this.#add(address, port, source, transport);
    if (this.#holds[known] === 0) this.#used(known);
    return this.#last = known;
  }

  /**
   * The same of an IPv6 endpoint, whose `struct sockaddr_in6` stands at `name` of `from`.
   *
   * @param source where in `from` our own address stands, 16 bytes; less than 0 lets the kernel choose
   */
  internName6(
    from: DataView,
    name: number,
    source: number,
    transport: Transport,
    guess: number = this.#last,
  ): number {
    if (from.getUint16(name + PATH_PORT_OFFSET) === 0) return NO_PATH;
    copySlot6(this.#wanted, from, name, source, transport);
    return this.#internWanted(guess);
  }

  /**
   * The same of an address as words of 32 bits.
   *
   * @param words the far end's address, four of them; ours, four more
   * @param hasSource whether ours matters
   */
  internWords6(words: Int32Array, port: number, hasSource: boolean, transport: Transport): number {
    writeSlot6(this.#wanted, words, port, hasSource, transport);
    return this.#internWanted(this.#last);
  }

  /** Loads what `intern()` needs of a path; the result means nothing. */
  prefetch(path: number): number {
    return this.view.getInt32(path * PATH_SLOT_SIZE) ^ this.#holds[path];
  }

  #internWanted(guess: number): number {
    const known = this.#isWanted(guess) ? guess : this.#findWanted();
    if (known === NO_PATH) return this.#last = this.#addWanted();
    return this.#lastUsed(known);
  }

  /** The same of an endpoint by value, of either family, from the address that the kernel chooses. */
  internEnd({ address, port }: SocketAddress, transport: Transport): number {
    if (!isIpv6(address)) return this.intern(address, port, 0, transport);
    const name = new DataView(new ArrayBuffer(PATH_SLOT_SIZE));
    writeSocketAddress6(name, 0, address, port);
    return this.internName6(name, 0, -1, transport);
  }

  #lastUsed(path: number): number {
    if (this.#holds[path] === 0) this.#used(path);
    return this.#last = path;
  }

  #add(address: number, port: number, source: number, transport: number): number {
    const path = this.#takeSlot();
    if (path === NO_PATH) return NO_PATH;
    const at = path * PATH_SLOT_SIZE;
    const { view } = this;
    this.bytes.fill(0, at, at + PATH_SLOT_SIZE);
    view.setInt32(at, IPV4_PREFIX | port);
    view.setInt32(at + PATH_ADDRESS_OFFSET, address);
    view.setInt32(at + PATH_SOURCE_OFFSET, source);
    view.setUint8(at + PATH_TRANSPORT_OFFSET, transport);
    this.#link(path);
    this.#appendUnheld(path);
    return path;
  }

  #addWanted(): number {
    const path = this.#takeSlot();
    if (path === NO_PATH) return NO_PATH;
    const at = path * PATH_SLOT_SIZE;
    for (let i = 0; i < PATH_SLOT_SIZE; i += 4) {
      this.view.setInt32(at + i, this.#wanted.getInt32(i));
    }
    this.#link(path);
    this.#appendUnheld(path);
    return path;
  }

  #find(address: number, port: number, source: number, transport: number): number {
    const bucket = this.#bucket(address, port, source, transport);
    for (let path = this.#buckets[bucket]; path !== NONE; path = this.#next[path]) {
      if (this.#is(path, address, port, source, transport)) return path;
    }
    return NO_PATH;
  }

  #findWanted(): number {
    const bucket = hashOfSlot6(this.#wanted, 0, this.seed) & (this.#buckets.length - 1);
    for (let path = this.#buckets[bucket]; path !== NONE; path = this.#next[path]) {
      if (this.#isWanted(path)) return path;
    }
    return NO_PATH;
  }

  #is(path: number, address: number, port: number, source: number, transport: number): boolean {
    const { view } = this;
    const at = path * PATH_SLOT_SIZE;
    return view.getInt32(at + PATH_ADDRESS_OFFSET) === address &&
      view.getInt32(at) === (IPV4_PREFIX | port) &&
      view.getInt32(at + PATH_SOURCE_OFFSET) === source &&
      view.getUint8(at + PATH_TRANSPORT_OFFSET) === transport;
  }

  #isWanted(path: number): boolean {
    const { view } = this;
    const at = path * PATH_SLOT_SIZE;
    for (let i = 0; i < IDENTITY_SIZE; i += 4) {
      if (view.getInt32(at + i) !== this.#wanted.getInt32(i)) return false;
    }
    return true;
  }

  #bucket(address: number, port: number, source: number, transport: number): number {
    const place = hash(address, port << 1 | transport, this.seed);
    return hash(place, source, this.seed) & (this.#buckets.length - 1);
  }

  /** A slot that nobody has used, or that of the path that has been unused for longest; `NO_PATH` for none. */
  #takeSlot(): number {
    for (let left = this.#isFull() ? this.#unheldCount : 0; left > 0; left--) {
      const path = this.#newer[0];
      if (this.#pinnedIn[path] !== this.#queueTurn) {
        this.#removeUnheld(path);
        this.#unlink(path);
        return path;
      }
      this.#used(path);
    }
    if (this.#made === this.#maxCapacity) return NO_PATH;
    if (this.#made === this.#capacity) {
      this.#grow(Math.min(2 * this.#capacity, this.#maxCapacity));
    }
    return this.#made++;
  }

  /** Whether a path must go before another comes. */
  #isFull(): boolean {
    return this.#unheldCount >= this.#unheldLimit || this.#made === this.#maxCapacity;
  }

  #appendUnheld(path: number): void {
    const newest = this.#older[0];
    this.#newer[newest] = this.#older[0] = path;
    this.#older[path] = newest;
    this.#newer[path] = 0;
    this.#unheldCount++;
  }

  #removeUnheld(path: number): void {
    const older = this.#older[path];
    const newer = this.#newer[path];
    this.#newer[older] = newer;
    this.#older[newer] = older;
    this.#unheldCount--;
  }

  /** Takes note that an unheld path is in use. */
  #used(path: number): void {
    this.#removeUnheld(path);
    this.#appendUnheld(path);
  }

  #link(path: number): void {
    const bucket = this.#bucketOf(path);
    this.#next[path] = this.#buckets[bucket];
    this.#buckets[bucket] = path;
  }

  #unlink(path: number): void {
    const bucket = this.#bucketOf(path);
    if (this.#buckets[bucket] === path) {
      this.#buckets[bucket] = this.#next[path];
      return;
    }
    let before = this.#buckets[bucket];
    while (this.#next[before] !== path) before = this.#next[before];
    this.#next[before] = this.#next[path];
  }

  #bucketOf(path: number): number {
    const { view } = this;
    const at = path * PATH_SLOT_SIZE;
    if (isSlot6(view, at)) return hashOfSlot6(view, at, this.seed) & (this.#buckets.length - 1);
    return this.#bucket(
      view.getInt32(at + PATH_ADDRESS_OFFSET),
      view.getUint16(at + PATH_PORT_OFFSET),
      view.getInt32(at + PATH_SOURCE_OFFSET),
      view.getUint8(at + PATH_TRANSPORT_OFFSET),
    );
  }

  // Who keeps a path.

  /** Keeps a path until `release()`. */
  retain(path: number): void {
    if (path !== NO_PATH && this.#holds[path]++ === 0) this.#removeUnheld(path);
  }

  /** Keeps a path no more, as often as it was retained. */
  release(path: number): void {
    if (path === NO_PATH) return;
    if (--this.#holds[path] === 0) this.#appendUnheld(path);
  }

  /** Keeps a path until the send queue has been empty. */
  pin(path: number): void {
    this.#pinnedIn[path] = this.#queueTurn;
  }

  /** The send queue is empty. */
  unpinAll(): void {
    // Once in 2^32 turns, it would be the turn of those that have never been sent to.
    this.#queueTurn = (this.#queueTurn + 1) | 0 || 1;
  }

  /** The path to the same end by another transport, from the address that the kernel chooses. */
  withTransport(path: number, transport: Transport): number {
    if (this.isIpv6(path)) return this.internName6(this.view, path * PATH_SLOT_SIZE, -1, transport);
    return this.intern(this.ipv4Address(path), this.port(path), 0, transport);
  }
}

/** The elements of one array at the beginning of a longer one. */
function grown<Elements extends Uint16Array | Int32Array>(
  elements: Elements,
  into: Elements,
): Elements {
  into.set(elements);
  return into;
}
