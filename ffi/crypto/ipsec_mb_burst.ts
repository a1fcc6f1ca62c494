/**
 * IPsec-MB burst: packets to be sealed, or to be opened, that the library takes all in one call. It works through them
 * one by one; what a call saves is all that stands around the cipher.
 *
 * The library keeps its jobs in a ring of its own, `struct IMB_JOB` each. What is the same for each packet is written
 * once into every job of the ring, the rest as packets are added. A manager does one direction, so that this holds.
 */
import type { Arena } from "../arena.ts";
import { type IpsecMbLibrary, newManager } from "./ipsec_mb_library.ts";

/** `IMB_MAX_BURST_SIZE`: the most packets of a burst. */
export const MAX_BURST = 128;
/** `IMB_MAX_JOBS`: jobs of the ring. */
const RING_JOBS = 256;
const POINTER_SIZE = 8;
const TAG_SIZE = 16;

/** `IMB_CIPHER_DIRECTION`. */
export const IMB_ENCRYPT = 1;
export const IMB_DECRYPT = 2;
/** `IMB_CHAIN_ORDER`, by direction: what is authenticated is the ciphertext. */
const CHAIN_ORDER = [0, 1, 2];
/** `IMB_CIPHER_CHACHA20_POLY1305` and `IMB_AUTH_CHACHA20_POLY1305`. */
const CIPHER_MODE = 19;
const HASH_ALGORITHM = 29;
const KEY_SIZE = 32;
const NONCE_SIZE = 12;
/** `IMB_STATUS`. */
const BEING_PROCESSED = 0;
const COMPLETED = 3;

/** Fields of `struct IMB_JOB`, as indices of 32-bit words; those of 64 bits have two. */
const ENC_KEYS = 0;
const DEC_KEYS = 2;
const KEY_LENGTH = 4;
const SOURCE = 6;
const DESTINATION = 8;
const CIPHER_LENGTH = 12;
const HASH_LENGTH = 16;
const IV = 18;
const IV_LENGTH = 20;
const TAG = 22;
const TAG_LENGTH = 24;
const STATUS = 32;
const MODE = 33;
const DIRECTION = 34;
const HASH = 35;
const ORDER = 36;
/** `user_data` and `user_data2`, which the library leaves alone: the job's nonce is there. */
const NONCE = 38;
const NONCE_BYTES = 4 * NONCE;
/** Words that are written, all told. */
const JOB_WORDS = NONCE + 4;

/** An address as two 32-bit halves. */
export interface Address {
  readonly low: number;
  readonly high: number;
}

export class IpsecMbBurst {
  readonly #symbols: IpsecMbLibrary["symbols"];
  readonly #arena: Arena;
  readonly #isSealing: boolean;
  readonly #manager: Deno.PointerObject;
  /** The manager's memory, of which the jobs are a part. */
  readonly #words: Int32Array<ArrayBuffer>;
  /** Low half of its address. */
  readonly #managerLow: number;
  readonly #arenaLow: number;
  readonly #arenaHigh: number;
  /** In the arena: pointers to the jobs that come next, and a tag for each. */
  readonly #jobs: number;
  readonly #jobsPointer: Deno.PointerObject;
  readonly #tags: number;
  readonly #capacity: number;
  readonly #destinations: Int32Array;
  readonly #lengths: Int32Array;
  /** Where the tag is that came with a packet. */
  readonly #receivedTags: Int32Array;
  readonly #isRight: Uint8Array;
  #length = 0;
  #isOpen = true;

  /**
   * @param arena where packets are; some bytes of it become scratch space
   * @param capacity the most packets of a burst, a power of two up to `MAX_BURST`
   * @throws {Error} where the library has no memory, or its jobs are not where they are looked for
   */
  constructor(
    symbols: IpsecMbLibrary["symbols"],
    arena: Arena,
    { direction, capacity }: {
      readonly direction: typeof IMB_ENCRYPT | typeof IMB_DECRYPT;
      readonly capacity: number;
    },
  ) {
    const manager = newManager(symbols);
    if (manager === null) throw new Error("Cannot use libIPSec_MB: it makes no manager");
    this.#symbols = symbols;
    this.#arena = arena;
    this.#capacity = capacity;
    this.#destinations = new Int32Array(capacity);
    this.#lengths = new Int32Array(capacity);
    this.#receivedTags = new Int32Array(capacity);
    this.#isRight = new Uint8Array(capacity);
    this.#isSealing = direction === IMB_ENCRYPT;
    this.#manager = manager;
    const size = Number(symbols.imb_get_mb_mgr_size()) & ~3;
    this.#words = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(manager, size));
    this.#managerLow = pointerHalves(manager).low;
    const base = pointerHalves(arena.pointer(0));
    this.#arenaLow = base.low >>> 0;
    this.#arenaHigh = base.high;
    this.#jobs = arena.allocate(capacity * POINTER_SIZE, 64);
    this.#jobsPointer = arena.pointer(this.#jobs);
    this.#tags = arena.allocate((capacity + 1) * TAG_SIZE, 64);
    this.#prepare(direction);
  }

  /** Writes what never changes into all jobs, a burst at a time, and has each burst done with packets of 16 bytes. */
  #prepare(direction: number): void {
    const words = this.#words;
    for (let done = 0; done < RING_JOBS; done += this.#capacity) {
      this.#next();
      for (let i = 0; i < this.#capacity; i++) {
        const job = this.#job(i);
        if (job < 0 || job + JOB_WORDS > words.length) {
          throw new Error("Cannot use libIPSec_MB: its jobs are not within its manager");
        }
        // Nobody has: no associated data, offsets of 0, high halves of lengths.
        words.fill(0, job, job + JOB_WORDS);
        words[job + KEY_LENGTH] = KEY_SIZE;
        words[job + IV_LENGTH] = NONCE_SIZE;
        words[job + TAG_LENGTH] = TAG_SIZE;
        words[job + MODE] = CIPHER_MODE;
        words[job + HASH] = HASH_ALGORITHM;
        words[job + DIRECTION] = direction;
        words[job + ORDER] = CHAIN_ORDER[direction];
        const nonce = pointerHalves(
          Deno.UnsafePointer.offset(this.#manager, 4 * job + NONCE_BYTES),
        );
        words[job + IV] = nonce.low;
        words[job + IV + 1] = nonce.high;
        const pointer = Deno.UnsafePointer.offset(this.#manager, 4 * job);
        this.#symbols.imb_set_session?.(this.#manager, pointer);
        // Any bytes will do as a key: these are of the manager's own.
        const at = this.#tags + TAG_SIZE * i;
        this.add(nonce, at, at, TAG_SIZE, 0, 0);
      }
      if (!this.run()) throw new Error("Cannot use libIPSec_MB: it does not do its jobs");
    }
  }

  /**
   * Adds a packet. Its bytes, and those of its key, must stay where they are until `run()`. Of one to be sealed,
   * `destination` and `source` are the same, or do not overlap; the tag will follow the ciphertext. Of one to be
   * opened, it follows it already. A burst that is full is run first.
   *
   * @returns its number
   */
  add(
    key: Address,
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): number {
    if (this.#length === this.#capacity) this.run();
    const number = this.#length++;
    const words = this.#words;
    const job = this.#job(number);
    words[job + ENC_KEYS] = words[job + DEC_KEYS] = key.low;
    words[job + ENC_KEYS + 1] = words[job + DEC_KEYS + 1] = key.high;
    this.#point(job + SOURCE, source);
    this.#point(job + DESTINATION, destination);
    words[job + CIPHER_LENGTH] = words[job + HASH_LENGTH] = length;
    words[job + STATUS] = BEING_PROCESSED;
    words[job + NONCE + 1] = counterLow;
    words[job + NONCE + 2] = counterHigh;
    this.#point(job + TAG, this.#isSealing ? destination + length : this.#tags + TAG_SIZE * number);
    this.#destinations[number] = destination;
    this.#lengths[number] = length;
    this.#receivedTags[number] = source + length;
    return number;
  }

  /**
   * Seals or opens all packets that have been added.
   *
   * @returns false where the library has left one undone: what was to be sealed is zeros then
   */
  run(): boolean {
    const length = this.#length;
    if (length === 0) return true;
    this.#length = 0;
    const isDone = this.#isOpen &&
      this.#symbols.submit_burst_nocheck_avx512_t2(this.#manager, length, this.#jobsPointer) ===
        length &&
      this.#areCompleted(length);
    if (!isDone) return this.#fail(length);
    if (!this.#isSealing) this.#compareTags(length);
    return this.#next();
  }

  /** Whether the packet of this number of the last burst was opened, and its tag was right. */
  isRight(number: number): boolean {
    return this.#isRight[number] === 1;
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#symbols.free_mb_mgr(this.#manager);
  }

  /** The index in `#words` of the job that takes packet `number`. */
  #job(number: number): number {
    const low = this.#arena.view.getInt32(this.#jobs + POINTER_SIZE * number, true);
    return (low - this.#managerLow) >> 2;
  }

  /** Writes the address of an offset of the arena. */
  #point(word: number, offset: number): void {
    const low = this.#arenaLow + offset;
    this.#words[word] = low | 0;
    this.#words[word + 1] = low > 0xffff_ffff ? this.#arenaHigh + 1 : this.#arenaHigh;
  }

  /** Asks for the jobs that come next. */
  #next(): boolean {
    return this.#symbols.get_next_burst_avx512_t2(
      this.#manager,
      this.#capacity,
      this.#jobsPointer,
    ) === this.#capacity;
  }

  #areCompleted(length: number): boolean {
    for (let i = 0; i < length; i++) {
      if (this.#words[this.#job(i) + STATUS] !== COMPLETED) return false;
    }
    return true;
  }

  /** The time of a comparison says nothing of where two tags differ. */
  #compareTags(length: number): void {
    const { view } = this.#arena;
    for (let i = 0; i < length; i++) {
      const own = this.#tags + TAG_SIZE * i;
      const received = this.#receivedTags[i];
      const difference = view.getInt32(own) ^ view.getInt32(received) |
        view.getInt32(own + 4) ^ view.getInt32(received + 4) |
        view.getInt32(own + 8) ^ view.getInt32(received + 8) |
        view.getInt32(own + 12) ^ view.getInt32(received + 12);
      this.#isRight[i] = difference === 0 ? 1 : 0;
    }
  }

  /** What may not have been sealed must not leave; what may not have been opened counts for nothing. */
  #fail(length: number): false {
    this.#isRight.fill(0);
    if (!this.#isSealing) return false;
    for (let i = 0; i < length; i++) {
      const at = this.#destinations[i];
      this.#arena.bytes.fill(0, at, at + this.#lengths[i] + TAG_SIZE);
    }
    return false;
  }
}

/** The address of a pointer. */
export function pointerHalves(pointer: Deno.PointerValue): Address {
  const address = Deno.UnsafePointer.value(pointer);
  return { low: Number(address & 0xffff_ffffn) | 0, high: Number(address >> 32n) | 0 };
}
