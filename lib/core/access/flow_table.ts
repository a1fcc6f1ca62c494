/**
 * Flow table: what is known of each flow, in a memory of fixed size, shared fairly by those that flows are counted to.
 *
 * Each owner has its flows in the order in which they were last used. In a full table the owner with the most loses
 * its oldest: so one who begins flows without end loses its own, and takes none of another's part.
 *
 * One thread writes a table. Others may read it where it lies in shared memory (`look()`): the first word is odd while
 * flows are put in or taken out, and another after that than before: so a reader knows whether it has read a whole.
 */
import { hash } from "../wire/hash.ts";
import { IPV4_WORD } from "./inner_address.ts";
import { KEY_WORDS } from "./packet_facts.ts";

/** Flows at a time, a power of two. */
export const FLOW_CAPACITY: number = 1 << 16;

/** Words of a flow: its key, what is known of it, under which rules, until when (s), its owner, its neighbours. */
const STATE = KEY_WORDS;
const GENERATION = KEY_WORDS + 1;
const END = KEY_WORDS + 2;
const OWNER = KEY_WORDS + 3;
const OLDER = KEY_WORDS + 4;
const NEWER = KEY_WORDS + 5;
const CHAIN = KEY_WORDS + 6;
const FLOW_WORDS = KEY_WORDS + 7;
const HEADER_WORDS = 1;
/** The key's first word of ports, and the one of the kind; the last words of the addresses. */
const PORTS = 8;
const KIND = 9;
const LOWER = 3;
const HIGHER = 7;
/** Flows in one bucket that another thread looks at; by a secret seed, more than a few there are as good as never. */
const MAX_LOOKS = 64;

/** Bytes of a table for so many flows. */
export function flowTableSize(capacity: number): number {
  return 4 * (HEADER_WORDS + 2 * capacity + (capacity + 1) * FLOW_WORDS);
}

export class FlowTable {
  readonly #words: Int32Array;
  readonly #capacity: number;
  readonly #seed: number;
  /** Where flow 0, which is none, begins. */
  readonly #flows: number;
  /** The flows that come free, by their chain; those from `#unused` on have not been used yet. */
  #free = 0;
  #unused = 1;
  // By owner: its flows, the one that was used last and the one that was not for longest, its neighbours of one count.
  readonly #counts: Int32Array;
  readonly #newest: Int32Array;
  readonly #oldest: Int32Array;
  readonly #before: Int32Array;
  readonly #after: Int32Array;
  /** By count: the first of the owners with so many flows, -1 for none. */
  readonly #levels: Int32Array;
  #highest = 0;
  readonly #onEvict: ((flow: number) => void) | null;

  /**
   * @param owners they are numbers from 0 up to this, exclusive
   * @param seed random and secret, and the same for all who read the table
   * @param memory `flowTableSize(capacity)` bytes, zeros
   * @param onEvict is told of a flow that is about to be taken out of a full table
   */
  constructor(
    { capacity, owners, seed, memory, onEvict = null }: {
      capacity: number;
      owners: number;
      seed: number;
      memory?: ArrayBufferLike;
      onEvict?: ((flow: number) => void) | null;
    },
  ) {
    this.#words = new Int32Array(memory ?? new ArrayBuffer(flowTableSize(capacity)));
    this.#capacity = capacity;
    this.#seed = seed;
    this.#onEvict = onEvict;
    this.#flows = HEADER_WORDS + 2 * capacity;
    this.#counts = new Int32Array(owners);
    this.#newest = new Int32Array(owners);
    this.#oldest = new Int32Array(owners);
    this.#before = new Int32Array(owners).fill(-1);
    this.#after = new Int32Array(owners).fill(-1);
    this.#levels = new Int32Array(capacity + 2).fill(-1);
  }

  /** The flow with this key; 0 for none. */
  find(key: Int32Array): number {
    const words = this.#words;
    let flow = words[this.#bucket(key)];
    while (flow !== 0 && !this.#hasKey(flow, key)) flow = words[this.#at(flow) + CHAIN];
    return flow;
  }

  /**
   * What another thread has in this table of the flow with this key, by its state; 0 where it has none that has not
   * ended, or is just changing the table.
   */
  look(key: Int32Array, second: number): number {
    const words = this.#words;
    const turn = Atomics.load(words, 0);
    if ((turn & 1) !== 0) return 0;
    let flow = Atomics.load(words, this.#bucket(key));
    for (let looks = 0; flow > 0 && flow <= this.#capacity && looks < MAX_LOOKS; looks++) {
      const at = this.#at(flow);
      let isSame = true;
      for (let i = 0; i < KEY_WORDS; i++) {
        if (Atomics.load(words, at + i) !== key[i]) isSame = false;
      }
      const state = Atomics.load(words, at + STATE);
      const end = Atomics.load(words, at + END);
      flow = Atomics.load(words, at + CHAIN);
      if (!isSame) continue;
      return Atomics.load(words, 0) === turn && second < end ? state : 0;
    }
    return 0;
  }

  /** Puts in a flow that is not there, as its owner's newest. Takes out another in a full table. */
  add(key: Int32Array, owner: number): number {
    if (this.#free === 0 && this.#unused > this.#capacity) this.#evictFor(owner);
    const flow = this.#free !== 0 ? this.#free : this.#unused++;
    const words = this.#words;
    const at = this.#at(flow);
    if (flow === this.#free) this.#free = words[at + CHAIN];
    const bucket = this.#bucket(key);
    this.#beginChange();
    for (let i = 0; i < KEY_WORDS; i++) Atomics.store(words, at + i, key[i]);
    Atomics.store(words, at + STATE, 0);
    Atomics.store(words, at + CHAIN, words[bucket]);
    Atomics.store(words, bucket, flow);
    this.#endChange();
    words[at + OWNER] = owner;
    this.#append(flow, owner);
    this.#count(owner, 1);
    return flow;
  }

  remove(flow: number): void {
    const words = this.#words;
    const at = this.#at(flow);
    const owner = words[at + OWNER];
    let place = this.#bucketOf(flow);
    while (words[place] !== flow) place = this.#at(words[place]) + CHAIN;
    this.#beginChange();
    Atomics.store(words, place, words[at + CHAIN]);
    Atomics.store(words, at + STATE, 0);
    this.#endChange();
    words[at + CHAIN] = this.#free;
    this.#free = flow;
    this.#unlink(flow, owner);
    this.#count(owner, -1);
  }

  /** Makes a flow its owner's newest, to end at this second. */
  use(flow: number, end: number): void {
    const words = this.#words;
    const at = this.#at(flow);
    words[at + END] = end;
    const owner = words[at + OWNER];
    if (this.#newest[owner] === flow) return;
    this.#unlink(flow, owner);
    this.#append(flow, owner);
  }

  /** Copies the `KEY_WORDS` words of a flow's key to `at`. */
  copyKey(flow: number, to: Int32Array, at: number): void {
    const words = this.#words;
    const from = this.#at(flow);
    for (let i = 0; i < KEY_WORDS; i++) to[at + i] = words[from + i];
  }

  state(flow: number): number {
    return this.#words[this.#at(flow) + STATE];
  }

  setState(flow: number, state: number): void {
    Atomics.store(this.#words, this.#at(flow) + STATE, state);
  }

  /** Under which rules the state was found. */
  generation(flow: number): number {
    return this.#words[this.#at(flow) + GENERATION];
  }

  setGeneration(flow: number, generation: number): void {
    this.#words[this.#at(flow) + GENERATION] = generation;
  }

  end(flow: number): number {
    return this.#words[this.#at(flow) + END];
  }

  /** Flows of one owner. */
  countOf(owner: number): number {
    return this.#counts[owner];
  }

  #evictFor(owner: number): void {
    const isLargest = this.#counts[owner] === this.#highest;
    const flow = this.#oldest[isLargest ? owner : this.#levels[this.#highest]];
    this.#onEvict?.(flow);
    this.remove(flow);
  }

  // Where what is.

  #at(flow: number): number {
    return this.#flows + flow * FLOW_WORDS;
  }

  #hasKey(flow: number, key: Int32Array): boolean {
    const words = this.#words;
    const at = this.#at(flow);
    // Those first in which flows differ.
    return words[at + PORTS] === key[PORTS] && words[at + KIND] === key[KIND] &&
      words[at + 3] === key[3] && words[at + 7] === key[7] && words[at + 2] === key[2] &&
      words[at + 6] === key[6] && words[at + 1] === key[1] && words[at + 5] === key[5] &&
      words[at] === key[0] && words[at + 4] === key[4];
  }

  #bucket(key: Int32Array): number {
    return this.#place(key, 0);
  }

  #bucketOf(flow: number): number {
    return this.#place(this.#words, this.#at(flow));
  }

  #place(words: Int32Array, at: number): number {
    const seed = this.#seed;
    let mixed = hash(words[at + LOWER], words[at + HIGHER], seed);
    if (words[at + LOWER - 1] !== IPV4_WORD) {
      for (let i = 0; i < LOWER; i++) {
        mixed = hash(mixed ^ words[at + i], words[at + LOWER + 1 + i], seed);
      }
    }
    mixed = hash(mixed, words[at + PORTS] ^ Math.imul(words[at + KIND], 0x9e3779b1), seed);
    return HEADER_WORDS + (mixed & (2 * this.#capacity - 1));
  }

  #beginChange(): void {
    Atomics.store(this.#words, 0, (this.#words[0] + 1) | 0);
  }

  #endChange(): void {
    Atomics.store(this.#words, 0, (this.#words[0] + 1) | 0);
  }

  // Whose what is.

  #append(flow: number, owner: number): void {
    const words = this.#words;
    const at = this.#at(flow);
    const newest = this.#newest[owner];
    words[at + OLDER] = newest;
    words[at + NEWER] = 0;
    if (newest === 0) this.#oldest[owner] = flow;
    else words[this.#at(newest) + NEWER] = flow;
    this.#newest[owner] = flow;
  }

  #unlink(flow: number, owner: number): void {
    const words = this.#words;
    const at = this.#at(flow);
    const older = words[at + OLDER];
    const newer = words[at + NEWER];
    if (older === 0) this.#oldest[owner] = newer;
    else words[this.#at(older) + NEWER] = newer;
    if (newer === 0) this.#newest[owner] = older;
    else words[this.#at(newer) + OLDER] = older;
  }

  /** Moves an owner among those that have as many flows as it. */
  #count(owner: number, change: 1 | -1): void {
    const count = this.#counts[owner];
    if (count > 0) this.#leave(owner, count);
    const now = this.#counts[owner] = count + change;
    if (now > 0) this.#join(owner, now);
    if (now > this.#highest) this.#highest = now;
    else if (this.#levels[this.#highest] < 0) this.#highest = Math.max(0, this.#highest - 1);
  }

  #leave(owner: number, count: number): void {
    const before = this.#before[owner];
    const after = this.#after[owner];
    if (before < 0) this.#levels[count] = after;
    else this.#after[before] = after;
    if (after >= 0) this.#before[after] = before;
  }

  #join(owner: number, count: number): void {
    const first = this.#levels[count];
    this.#before[owner] = -1;
    this.#after[owner] = first;
    if (first >= 0) this.#before[first] = owner;
    this.#levels[count] = owner;
  }
}
