/** Libcrypto key: one transport key, whose packets go through the contexts of its thread. */
import { CIPHER_KEY_WORDS, type KeyPlace, KeyPlaces, type KeyWords } from "./key_places.ts";
import { type LibcryptoCipher, refuseKeySize } from "./libcrypto_cipher.ts";
import { LibcryptoContext } from "./libcrypto_context.ts";
import type { LibcryptoShortcut } from "./libcrypto_shortcut.ts";

/** The keys of one thread, and what they share. */
export class LibcryptoKeys {
  readonly sealing: LibcryptoContext;
  readonly opening: LibcryptoContext;
  readonly places: KeyPlaces = new KeyPlaces();

  /** @param shortcut null where the library has none that can be trusted */
  constructor(
    options: { readonly cipher: LibcryptoCipher; readonly shortcut: LibcryptoShortcut | null },
  ) {
    this.sealing = new LibcryptoContext(options);
    this.opening = new LibcryptoContext(options);
  }
}

/** It has the shape of `AeadKey` in lib/core/noise/aead.ts, where the methods are described. */
export class LibcryptoKey implements KeyWords {
  /** Of the key's place: in this object, which is one look less for each packet. */
  readonly block: Uint32Array<ArrayBuffer>;
  readonly at: number;
  readonly #keys: LibcryptoKeys;
  #place: KeyPlace | null;

  /** @param key 32 bytes, copied */
  constructor(key: Uint8Array, keys: LibcryptoKeys) {
    refuseKeySize(key);
    this.#keys = keys;
    this.#place = keys.places.take(key);
    this.block = this.#place.block;
    this.at = this.#place.at;
  }

  prefetch(): number {
    // Both ends of it: it may lie across two lines of the cache.
    return this.block[this.at]! ^ this.block[this.at + CIPHER_KEY_WORDS - 1]!;
  }

  seal(
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    if (this.#place === null) return false;
    const { sealing } = this.#keys;
    return sealing.seal(this, destination, source, length, counterLow, counterHigh);
  }

  open(
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    if (this.#place === null) return false;
    const { opening } = this.#keys;
    return opening.open(this, destination, source, length, counterLow, counterHigh);
  }

  destroy(): void {
    if (this.#place === null) return;
    const { places, sealing, opening } = this.#keys;
    sealing.forget(this);
    opening.forget(this);
    places.release(this.#place);
    this.#place = null;
  }
}
