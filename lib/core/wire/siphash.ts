/**
 * SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) of messages of whole 64-bit words:
 * a keyed hash that cannot be guessed without the key, at a cost that a flood of forged segments may cause.
 *
 * Each 64-bit word is two int32.
 */

/** Bytes of a key, and of a word. */
const KEY_SIZE = 16;
const WORD_SIZE = 8;

export class SipHash {
  /** The initial state, low and high halves in turn. */
  readonly #initial = new Int32Array(8);
  readonly #state = new Int32Array(8);
  /** Bytes of the message so far. */
  #size = 0;

  /**
   * @param key 16 bytes that nobody else knows
   * @throws {RangeError} when they are not 16
   */
  constructor(key: Uint8Array) {
    if (key.length !== KEY_SIZE) {
      throw new RangeError(`Cannot make a hash: the key has ${key.length} bytes, not ${KEY_SIZE}`);
    }
    const view = new DataView(key.buffer, key.byteOffset, key.length);
    // "somepseudorandomlygeneratedbytes"
    this.#initial.set([
      0x70736575,
      0x736f6d65,
      0x6e646f6d,
      0x646f7261,
      0x6e657261,
      0x6c796765,
      0x79746573,
      0x74656462,
    ]);
    for (let i = 0; i < 8; i++) this.#initial[i] ^= view.getInt32((i % 4) * 4, true);
  }

  /** Begins a message. */
  begin(): void {
    this.#state.set(this.#initial);
    this.#size = 0;
  }

  /** Adds a little-endian word to it. */
  add(low: number, high: number): void {
    this.#absorb(low, high);
    this.#size += WORD_SIZE;
  }

  /** Ends the message. Returns the low 32 bits, signed, of its hash. */
  end(): number {
    // The length in the last byte.
    this.#absorb(0, this.#size << 24);
    const v = this.#state;
    v[4] ^= 0xff;
    for (let round = 0; round < 4; round++) this.#round();
    return v[0] ^ v[2] ^ v[4] ^ v[6];
  }

  #absorb(low: number, high: number): void {
    const v = this.#state;
    v[6] ^= low;
    v[7] ^= high;
    this.#round();
    this.#round();
    v[0] ^= low;
    v[1] ^= high;
  }

  #round(): void {
    this.#mix(0, 2, 13);
    this.#swap(0);
    this.#mix(4, 6, 16);
    this.#mix(0, 6, 21);
    this.#mix(4, 2, 17);
    this.#swap(4);
  }

  /** Word `i` += word `j`; `j` is rotated left by `bits` (below 32), then gets `i` added without carry. */
  #mix(i: number, j: number, bits: number): void {
    const v = this.#state;
    const low = (v[i] >>> 0) + (v[j] >>> 0);
    v[i] = low;
    v[i + 1] += v[j + 1] + (low > 0xffffffff ? 1 : 0);
    const a = v[j];
    const b = v[j + 1];
    v[j] = (a << bits | b >>> (32 - bits)) ^ v[i];
    v[j + 1] = (b << bits | a >>> (32 - bits)) ^ v[i + 1];
  }

  /** Rotates word `i` by 32 bits. */
  #swap(i: number): void {
    const v = this.#state;
    const low = v[i];
    v[i] = v[i + 1];
    v[i + 1] = low;
  }
}
