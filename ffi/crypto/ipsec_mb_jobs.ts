/**
 * IPsec-MB jobs: packets to be sealed, or to be opened, one by one: the library's bursts of several win 5 % of it, and
 * a packet would have to be copied to wait for others.
 *
 * The library keeps its jobs in a ring of its own, `struct IMB_JOB` each. What is the same for each packet is written
 * once into every job of the ring, the rest for each packet. A manager does one direction, so that this holds.
 */
import type { Arena } from "../arena.ts";
import { type IpsecMbLibrary, newManager } from "./ipsec_mb_library.ts";
import { type Address, pointerHalves } from "./address.ts";
import { CIPHER_KEY_SIZE, CIPHER_TAG_SIZE, NONCE_SIZE } from "./libcrypto_cipher.ts";

/** `IMB_MAX_JOBS`: jobs of the ring. */
const RING_JOBS = 256;
const POINTER_SIZE = 8;

/** `IMB_CIPHER_DIRECTION`. */
export const IMB_ENCRYPT = 1;
export const IMB_DECRYPT = 2;
/** `IMB_CHAIN_ORDER`, by direction: what is authenticated is the ciphertext. */
const CHAIN_ORDER = [0, 1, 2];
/** `IMB_CIPHER_CHACHA20_POLY1305` and `IMB_AUTH_CHACHA20_POLY1305`. */
const CIPHER_MODE = 19;
const HASH_ALGORITHM = 29;
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

export class IpsecMbJobs {
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
  /** In the arena: a pointer to the job that comes next, and the tag of what has been opened. */
  readonly #next: number;
  readonly #nextPointer: Deno.PointerObject;
  readonly #tag: number;
  #isOpen = true;

  /**
   * @param arena where packets are; some bytes of it become scratch space
   * @throws {Error} where the library has no memory, or its jobs are not where they are looked for
   */
  constructor(
    symbols: IpsecMbLibrary["symbols"],
    arena: Arena,
    direction: typeof IMB_ENCRYPT | typeof IMB_DECRYPT,
  ) {
    const manager = newManager(symbols);
    if (manager === null) throw new Error("Cannot use libIPSec_MB: it makes no manager");
    this.#symbols = symbols;
    this.#arena = arena;
    this.#isSealing = direction === IMB_ENCRYPT;
    this.#manager = manager;
    const size = Number(symbols.imb_get_mb_mgr_size()) & ~3;
    this.#words = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(manager, size));
    this.#managerLow = pointerHalves(manager).low;
    const base = pointerHalves(arena.pointer(0));
    this.#arenaLow = base.low >>> 0;
    this.#arenaHigh = base.high;
    this.#next = arena.allocate(POINTER_SIZE, 64);
    this.#nextPointer = arena.pointer(this.#next);
    // A packet of one tag's length, and its tag, for the jobs that are tried out.
    this.#tag = arena.allocate(2 * CIPHER_TAG_SIZE, 64);
    try {
      this.#prepare(direction);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Writes what never changes into all jobs of the ring, and has each done with a packet of 16 bytes. */
  #prepare(direction: number): void {
    const words = this.#words;
    this.#advance();
    for (let done = 0; done < RING_JOBS; done++) {
      const job = this.#job();
      if (job < 0 || job + JOB_WORDS > words.length) {
        throw new Error("Cannot use libIPSec_MB: its jobs are not within its manager");
      }
      // Nobody has: no associated data, offsets of 0, high halves of lengths.
      words.fill(0, job, job + JOB_WORDS);
      words[job + KEY_LENGTH] = CIPHER_KEY_SIZE;
      words[job + IV_LENGTH] = NONCE_SIZE;
      words[job + TAG_LENGTH] = CIPHER_TAG_SIZE;
      words[job + MODE] = CIPHER_MODE;
      words[job + HASH] = HASH_ALGORITHM;
      words[job + DIRECTION] = direction;
      words[job + ORDER] = CHAIN_ORDER[direction];
      const nonce = pointerHalves(Deno.UnsafePointer.offset(this.#manager, 4 * job + NONCE_BYTES));
      words[job + IV] = nonce.low;
      words[job + IV + 1] = nonce.high;
      const pointer = Deno.UnsafePointer.offset(this.#manager, 4 * job);
      this.#symbols.imb_set_session?.(this.#manager, pointer);
      // Any bytes will do as a key: these are of the manager's own.
      if (!this.#run(nonce, this.#tag, this.#tag, CIPHER_TAG_SIZE, 0, 0)) {
        throw new Error("Cannot use libIPSec_MB: it does not do its jobs");
      }
    }
  }

  /**
   * Seals or opens a packet, as `AeadKey` has it in lib/core/noise/aead.ts.
   *
   * @returns false where the tag is wrong, or the library has not done it: what was to be sealed is zeros then
   */
  take(
    key: Address,
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    if (!this.#run(key, destination, source, length, counterLow, counterHigh)) {
      // What may not have been sealed must not leave.
      if (this.#isSealing) {
        this.#arena.bytes.fill(0, destination, destination + length + CIPHER_TAG_SIZE);
      }
      return false;
    }
    return this.#isSealing || this.#isRight(source + length);
  }

  #run(
    key: Address,
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    if (!this.#isOpen) return false;
    const words = this.#words;
    const job = this.#job();
    words[job + ENC_KEYS] = words[job + DEC_KEYS] = key.low;
    words[job + ENC_KEYS + 1] = words[job + DEC_KEYS + 1] = key.high;
    this.#point(job + SOURCE, source);
    this.#point(job + DESTINATION, destination);
    this.#point(job + TAG, this.#isSealing ? destination + length : this.#tag);
    words[job + CIPHER_LENGTH] = words[job + HASH_LENGTH] = length;
    words[job + NONCE + 1] = counterLow;
    words[job + NONCE + 2] = counterHigh;
    words[job + STATUS] = BEING_PROCESSED;
    const { submit_burst_nocheck_avx512_t2: submit } = this.#symbols;
    return submit(this.#manager, 1, this.#nextPointer) === 1 && words[job + STATUS] === COMPLETED &&
      this.#advance();
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#symbols.free_mb_mgr(this.#manager);
  }

  /** The index in `#words` of the job that comes next. */
  #job(): number {
    return (this.#arena.view.getInt32(this.#next, true) - this.#managerLow) >> 2;
  }

  /** Asks for the job that comes next. */
  #advance(): boolean {
    return this.#symbols.get_next_burst_avx512_t2(this.#manager, 1, this.#nextPointer) === 1;
  }

  /** Writes the address of an offset of the arena. */
  #point(word: number, offset: number): void {
    const low = this.#arenaLow + offset;
    this.#words[word] = low | 0;
    this.#words[word + 1] = low > 0xffff_ffff ? this.#arenaHigh + 1 : this.#arenaHigh;
  }

  /** Whether the tag that came is the one worked out. How long this takes says nothing of where they differ. */
  #isRight(received: number): boolean {
    const { view } = this.#arena;
    const own = this.#tag;
    const difference = view.getInt32(own) ^ view.getInt32(received) |
      view.getInt32(own + 4) ^ view.getInt32(received + 4) |
      view.getInt32(own + 8) ^ view.getInt32(received + 8) |
      view.getInt32(own + 12) ^ view.getInt32(received + 12);
    return difference === 0;
  }
}
