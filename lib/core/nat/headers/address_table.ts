/**
 * Address table: IPv6 addresses as small numbers, so that the flow tables, which compare and keep addresses as numbers,
 * serve both families, and a packet allocates nothing.
 *
 * An address is known as long as a mapping, a session or a fragment holds it, and one that a client's packet has
 * brought until the next packet. What comes from outside is looked up and never entered: strangers take no memory.
 */
import { hash } from "../../wire/hash.ts";

/** No address that is known, as in `NatSession` and `Mapping`; ends of packets that nothing has to do with. */
export const UNKNOWN = 0;
/** In place of an address that is to be written: the packet keeps its own. */
export const AS_IT_IS = -1;

const FIRST_CAPACITY = 1024;
/** Bytes of one. */
const SIZE = 16;

/** Holds the addresses that flows need, by their numbers. */
export interface AddressHolds {
  retain(address: number): void;
  release(address: number): void;
  /** Forgets what nothing holds; not to be done while a packet is under way. */
  tidy(): void;
}

/** Of IPv4, whose addresses are numbers of themselves. */
export const NO_HOLDS: AddressHolds = { retain() {}, release() {}, tidy() {} };

export class AddressTable implements AddressHolds {
  /** Random and secret: clients choose addresses. */
  readonly #seed: number;
  /** By number: the address as it stands in packets; the next number in its bucket; who holds it. */
  #view: DataView<ArrayBuffer>;
  #next: Int32Array;
  #holds: Int32Array;
  #isLoose: Uint8Array;
  #buckets: Int32Array;
  /** Numbers that nobody has held since they were entered or released, and those that are free. */
  readonly #loose: number[] = [];
  readonly #free: number[] = [];
  /** The first number that was never given. */
  #end = UNKNOWN + 1;
  /** The two that were found last: both ends of a packet are looked for more than once, and packets come in runs. */
  #last = UNKNOWN;
  #lastButOne = UNKNOWN;

  constructor(seed: number) {
    this.#seed = seed | 0;
    this.#view = new DataView(new ArrayBuffer(FIRST_CAPACITY * SIZE));
    this.#next = new Int32Array(FIRST_CAPACITY);
    this.#holds = new Int32Array(FIRST_CAPACITY);
    this.#isLoose = new Uint8Array(FIRST_CAPACITY);
    this.#buckets = new Int32Array(FIRST_CAPACITY);
  }

  /** Addresses that are known. */
  get size(): number {
    return this.#end - 1 - this.#free.length;
  }

  /** What `offsetOf()` is of; another one after an address was entered. */
  get view(): DataView {
    return this.#view;
  }

  /** Where the 16 bytes of an address are; those of no known one are zero. */
  offsetOf(address: number): number {
    return address > UNKNOWN ? address * SIZE : UNKNOWN;
  }

  /** The number of the address at `at`; `UNKNOWN` where nothing holds it. */
  find(view: DataView, at: number): number {
    const word0 = view.getInt32(at);
    const word1 = view.getInt32(at + 4);
    const word2 = view.getInt32(at + 8);
    const word3 = view.getInt32(at + 12);
    const last = this.#last;
    if (last !== UNKNOWN && this.#is(last, word0, word1, word2, word3)) return last;
    const lastButOne = this.#lastButOne;
    if (lastButOne !== UNKNOWN && this.#is(lastButOne, word0, word1, word2, word3)) {
      return lastButOne;
    }
    let number = this.#buckets[this.#bucket(word0, word1, word2, word3)];
    while (number !== UNKNOWN && !this.#is(number, word0, word1, word2, word3)) {
      number = this.#next[number];
    }
    if (number !== UNKNOWN) {
      this.#lastButOne = last;
      this.#last = number;
    }
    return number;
  }

  #is(number: number, word0: number, word1: number, word2: number, word3: number): boolean {
    const at = number * SIZE;
    // The last word first: it is the one in which most differ.
    return this.#view.getInt32(at + 12) === word3 && this.#view.getInt32(at + 8) === word2 &&
      this.#view.getInt32(at + 4) === word1 && this.#view.getInt32(at) === word0;
  }

  /** The number of the address at `at`, which is known from now on: until the next `tidy()` if nothing holds it. */
  enter(view: DataView, at: number): number {
    const known = this.find(view, at);
    if (known !== UNKNOWN) return known;
    const number = this.#free.pop() ?? this.#end++;
    if (number === this.#next.length) this.#grow();
    for (let i = 0; i < SIZE; i += 4) {
      this.#view.setInt32(number * SIZE + i, view.getInt32(at + i));
    }
    this.#link(number);
    this.#loosen(number);
    return number;
  }

  retain(address: number): void {
    if (address > UNKNOWN) this.#holds[address]++;
  }

  release(address: number): void {
    if (address > UNKNOWN && --this.#holds[address] === 0) this.#loosen(address);
  }

  tidy(): void {
    while (this.#loose.length > 0) {
      const number = this.#loose.pop()!;
      this.#isLoose[number] = 0;
      if (this.#holds[number] > 0) continue;
      this.#unlink(number);
      this.#free.push(number);
    }
  }

  #loosen(number: number): void {
    if (this.#isLoose[number] !== 0) return;
    this.#isLoose[number] = 1;
    this.#loose.push(number);
  }

  #link(number: number): void {
    const bucket = this.#bucketOf(number);
    this.#next[number] = this.#buckets[bucket];
    this.#buckets[bucket] = number;
  }

  #unlink(number: number): void {
    if (this.#last === number) this.#last = UNKNOWN;
    if (this.#lastButOne === number) this.#lastButOne = UNKNOWN;
    const bucket = this.#bucketOf(number);
    if (this.#buckets[bucket] === number) {
      this.#buckets[bucket] = this.#next[number];
      return;
    }
    let before = this.#buckets[bucket];
    while (this.#next[before] !== number) before = this.#next[before];
    this.#next[before] = this.#next[number];
  }

  /** Doubles the room. As many as hold addresses: sessions and mappings, whose number is bounded. */
  #grow(): void {
    const capacity = 2 * this.#next.length;
    const view = new DataView(new ArrayBuffer(capacity * SIZE));
    new Uint8Array(view.buffer).set(new Uint8Array(this.#view.buffer));
    const grown = (words: Int32Array) => {
      const more = new Int32Array(capacity);
      more.set(words);
      return more;
    };
    const isLoose = new Uint8Array(capacity);
    isLoose.set(this.#isLoose);
    this.#view = view;
    this.#next = grown(this.#next);
    this.#holds = grown(this.#holds);
    this.#isLoose = isLoose;
    this.#buckets = new Int32Array(capacity);
    // None is free now, and the last one has no address yet.
    for (let number = UNKNOWN + 1; number < this.#end - 1; number++) this.#link(number);
  }

  #bucketOf(number: number): number {
    const at = number * SIZE;
    return this.#bucket(
      this.#view.getInt32(at),
      this.#view.getInt32(at + 4),
      this.#view.getInt32(at + 8),
      this.#view.getInt32(at + 12),
    );
  }

  #bucket(word0: number, word1: number, word2: number, word3: number): number {
    const network = hash(word0, word1, this.#seed);
    return hash(hash(word2, word3, network), network, this.#seed) & (this.#buckets.length - 1);
  }
}
