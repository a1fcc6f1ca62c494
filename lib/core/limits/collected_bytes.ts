/**
 * Collected bytes: what comes in parts, and may be no longer than is allowed, in one buffer.
 *
 * A list of the parts would cost some hundred times as much as they have bytes, for who sends them one by one: a
 * stranger's 64 KB would hold 29 MB.
 */

/** Bytes that are made room for at first. */
const FIRST_ROOM = 256;

export class CollectedBytes {
  readonly #limit: number;
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array();
  #length = 0;

  /** @param limit bytes in all */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many there are. */
  get length(): number {
    return this.#length;
  }

  /** Takes a copy of more. Returns false, and takes nothing, where that would be too many. */
  add(part: Uint8Array): boolean {
    const length = this.#length + part.length;
    if (length > this.#limit) return false;
    if (length > this.#bytes.length) this.#grow(length);
    this.#bytes.set(part, this.#length);
    this.#length = length;
    return true;
  }

  /** All of them, in memory of their own; there are none afterwards. */
  take(): Uint8Array<ArrayBuffer> {
    const all = this.#bytes.subarray(0, this.#length);
    this.#bytes = new Uint8Array();
    this.#length = 0;
    return all;
  }

  #grow(least: number): void {
    const room = Math.max(least, FIRST_ROOM, Math.min(2 * this.#bytes.length, this.#limit));
    const grown = new Uint8Array(room);
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}
