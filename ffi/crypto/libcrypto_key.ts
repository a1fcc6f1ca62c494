/** Libcrypto key: the context of one transport key, and the route that each packet takes through the library. */
import { DECRYPT, ENCRYPT, type LibcryptoCipher } from "./libcrypto_cipher.ts";
import type { LibcryptoShortcut } from "./libcrypto_shortcut.ts";

/** The context's last packet went wrong, or there was none: only the long way is safe. */
const UNKNOWN = -1;

/** It has the shape of `AeadKey` in lib/core/noise/aead.ts, where the methods are described. */
export class LibcryptoKey {
  readonly #cipher: LibcryptoCipher;
  readonly #shortcut: LibcryptoShortcut | null;
  #context: Deno.PointerObject | null;
  /** What the context was last used for, with success. */
  #direction: typeof ENCRYPT | typeof DECRYPT | typeof UNKNOWN = UNKNOWN;

  /**
   * @param key 32 bytes, copied
   * @param shortcut null where the library has none that can be trusted
   */
  constructor(
    key: Uint8Array,
    { cipher, shortcut }: { cipher: LibcryptoCipher; shortcut: LibcryptoShortcut | null },
  ) {
    this.#cipher = cipher;
    this.#shortcut = shortcut;
    this.#context = cipher.context(key);
  }

  prefetch(): number {
    return this.#direction;
  }

  seal(
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    const context = this.#context;
    if (context === null) return false;
    const shortcut = this.#shortcut;
    const sealed = shortcut !== null && this.#direction === ENCRYPT
      ? shortcut.seal(context, destination, source, length, counterLow, counterHigh)
      : this.#sealLong(context, destination, source, length, counterLow, counterHigh);
    this.#direction = sealed ? ENCRYPT : UNKNOWN;
    return sealed;
  }

  open(
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    const context = this.#context;
    if (context === null) return false;
    const shortcut = this.#shortcut;
    const opened = shortcut !== null && this.#direction === DECRYPT
      ? shortcut.open(context, destination, source, length, counterLow, counterHigh)
      : this.#openLong(context, destination, source, length, counterLow, counterHigh);
    this.#direction = opened ? DECRYPT : UNKNOWN;
    return opened;
  }

  destroy(): void {
    if (this.#context === null) return;
    this.#cipher.free(this.#context);
    this.#context = null;
  }

  #sealLong(
    context: Deno.PointerObject,
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    const cipher = this.#cipher;
    if (!cipher.startCounter(context, counterLow, counterHigh, ENCRYPT)) return false;
    if (!cipher.update(context, destination, source, length)) return false;
    if (!cipher.finish(context) || !cipher.getTag(context)) return false;
    cipher.storeTag(destination + length);
    return true;
  }

  #openLong(
    context: Deno.PointerObject,
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    const cipher = this.#cipher;
    if (!cipher.startCounter(context, counterLow, counterHigh, DECRYPT)) return false;
    if (!cipher.update(context, destination, source, length)) return false;
    cipher.loadTag(source + length);
    return cipher.setTag(context) && cipher.finish(context);
  }
}
