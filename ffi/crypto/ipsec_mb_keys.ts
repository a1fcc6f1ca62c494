/** IPsec-MB keys: where the bytes of transport keys are that the library reads: at places that never move. */
import { type Address, pointerHalves } from "./ipsec_mb_jobs.ts";

const KEY_SIZE = 32;
/** Keys of a block. */
const BLOCK_KEYS = 128;

/** The place of one key. */
export interface KeyPlace extends Address {
  readonly bytes: Uint8Array;
}

/** Blocks of places; one that comes free is used again. */
export class KeyPlaces {
  readonly #free: KeyPlace[] = [];

  /** A place with a copy of a 32-byte key. */
  take(key: Uint8Array): KeyPlace {
    if (this.#free.length === 0) this.#grow();
    const place = this.#free.pop()!;
    place.bytes.set(key);
    return place;
  }

  /** Wipes the key at a place, and gives the place back. */
  release(place: KeyPlace): void {
    place.bytes.fill(0);
    this.#free.push(place);
  }

  #grow(): void {
    // Of this size an array's bytes are outside V8's heap, so that its collector does not move them.
    const block = new Uint8Array(BLOCK_KEYS * KEY_SIZE);
    const base = Deno.UnsafePointer.of(block);
    for (let at = block.length - KEY_SIZE; at >= 0; at -= KEY_SIZE) {
      const address = pointerHalves(Deno.UnsafePointer.offset(base!, at));
      this.#free.push({ ...address, bytes: block.subarray(at, at + KEY_SIZE) });
    }
  }
}
