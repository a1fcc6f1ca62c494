/**
 * Libcrypto context: what all packets of one direction go through, and the route that each takes through the library.
 *
 * A context for each key would be a dozen cache lines of the library's for each of them: with many peers in turn, none
 * of these is in the cache, and the library looks at one after the other. So there is one, which takes over a key's 32
 * bytes where a packet is not of the same key as the one before, in 0.08 us.
 */
import { DECRYPT, ENCRYPT, type LibcryptoCipher } from "./libcrypto_cipher.ts";
import type { KeyWords } from "./key_places.ts";
import type { LibcryptoShortcut } from "./libcrypto_shortcut.ts";

export class LibcryptoContext {
  readonly #cipher: LibcryptoCipher;
  readonly #shortcut: LibcryptoShortcut | null;
  /** Null until the first packet, and once the key that it had is destroyed. */
  #context: Deno.PointerObject | null = null;
  /** Whose bytes it has: the same object for all packets of a key. */
  #key: KeyWords | null = null;
  /** Whether it may go on with the same key: after a packet that went wrong, its state is unknown. */
  #goesOn = false;

  /** @param shortcut null where the library has none that can be trusted */
  constructor(
    { cipher, shortcut }: { cipher: LibcryptoCipher; shortcut: LibcryptoShortcut | null },
  ) {
    this.#cipher = cipher;
    this.#shortcut = shortcut;
  }

  /** As `AeadKey.seal` in lib/core/noise/aead.ts, with this key; the context never opens anything. */
  seal(
    key: KeyWords,
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    if (!this.#isReady(key, ENCRYPT)) return false;
    const context = this.#context!;
    const shortcut = this.#shortcut;
    const sealed = shortcut !== null
      ? shortcut.seal(context, destination, source, length, counterLow, counterHigh)
      : this.#sealLong(context, destination, source, length, counterLow, counterHigh);
    this.#goesOn = sealed;
    return sealed;
  }

  /** As `AeadKey.open` in lib/core/noise/aead.ts, with this key; the context never seals anything. */
  open(
    key: KeyWords,
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    if (!this.#isReady(key, DECRYPT)) return false;
    const context = this.#context!;
    const shortcut = this.#shortcut;
    const opened = shortcut !== null
      ? shortcut.open(context, destination, source, length, counterLow, counterHigh)
      : this.#openLong(context, destination, source, length, counterLow, counterHigh);
    this.#goesOn = opened;
    return opened;
  }

  /** Frees all that the library has of a key that is to be destroyed, which wipes it. */
  forget(key: KeyWords): void {
    if (this.#key === key) this.#clear();
  }

  /** Whether it may take a packet of this key, which it takes over if it has to. */
  #isReady(key: KeyWords, direction: typeof ENCRYPT | typeof DECRYPT): boolean {
    return (this.#key === key && this.#goesOn) || this.#takeOver(key, direction);
  }

  #takeOver(key: KeyWords, direction: typeof ENCRYPT | typeof DECRYPT): boolean {
    this.#context ??= this.#cipher.newContext();
    if (this.#context === null) return false;
    this.#key = key;
    if (this.#cipher.takeKey(this.#context, key, direction)) return true;
    // It may have the key before still, under which nothing of this one's may be sealed.
    this.#clear();
    return false;
  }

  #clear(): void {
    this.#key = null;
    this.#goesOn = false;
    if (this.#context !== null) this.#cipher.free(this.#context);
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
