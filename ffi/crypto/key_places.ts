/** Key places: where the bytes of transport keys are, side by side and never moved. */
import { type Address, pointerHalves } from "./address.ts";

const KEY_SIZE = 32;
export const CIPHER_KEY_WORDS: number = KEY_SIZE / 4;
/** Keys of a block. */
const BLOCK_KEYS = 128;

/** The bytes of one key, as `CIPHER_KEY_WORDS` words of a block. */
export interface KeyWords {
  readonly block: Uint32Array<ArrayBuffer>;
  /** Its first word's index. */
  readonly at: number;
}

/** The place of one key, which has an address for the libraries that read it there. */
export interface KeyPlace extends Address, KeyWords {}

/** Blocks of places; one that comes free is used again. */
export class KeyPlaces {
  readonly #free: KeyPlace[] = [];

  /** A place with a copy of a 32-byte key. */
  take(key: Uint8Array): KeyPlace {
    if (this.#free.length === 0) this.#grow();
    const place = this.#free.pop()!;
    bytesAt(place).set(key);
    return place;
  }

  /** Wipes the key at a place, and gives the place back. */
  release(place: KeyPlace): void {
    bytesAt(place).fill(0);
    this.#free.push(place);
  }

  #grow(): void {
    // Of this size an array's bytes are outside V8's heap, so that its collector does not move them.
    const block = new Uint32Array(BLOCK_KEYS * CIPHER_KEY_WORDS);
    const base = Deno.UnsafePointer.of(block);
    for (let at = block.length - CIPHER_KEY_WORDS; at >= 0; at -= CIPHER_KEY_WORDS) {
      const address = pointerHalves(Deno.UnsafePointer.offset(base!, at * 4));
      this.#free.push({ ...address, block, at });
    }
  }
}

/** The 32 bytes of a place. */
export function bytesAt({ block, at }: KeyWords): Uint8Array<ArrayBuffer> {
  return new Uint8Array(block.buffer, at * 4, KEY_SIZE);
}
