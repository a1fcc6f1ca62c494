/**
 * Libcrypto shortcut: a packet takes 0.84 us for 1,420 bytes in libcrypto 3.x, where the calls of the manual take 1.03
 * us.
 *
 * `EVP_CipherInit_ex` asks the provider for lengths that never change. Instead, one parameter list sets the nonce, and
 * to open the tag as well: `tlsivfixed` (provider-cipher(7)) is all 12 bytes of it with this cipher, which then begins
 * again as the packet before has been ended (providers/implementations/ciphers/cipher_chacha20_poly1305.c).
 *
 * The manual does not promise that for ChaCha20-Poly1305 by name, and a nonce that is not taken would be the end of the
 * cipher. So nothing uses this before `shortcutWorks` in libcrypto_trial.ts has seen the very bytes of the long way.
 * (`EVP_Cipher` would be shorter still, but ends no packet: the tag it leaves behind is that of the packet before.)
 */
import type { Arena } from "../arena.ts";
import {
  CIPHER_TAG_SIZE,
  copyTag,
  type LibcryptoCipher,
  type LibcryptoSymbols,
  NONCE_SIZE,
  writeParameters,
} from "./libcrypto_cipher.ts";

export class LibcryptoShortcut {
  readonly #symbols: LibcryptoSymbols;
  readonly #cipher: LibcryptoCipher;
  readonly #view: DataView<ArrayBuffer>;
  readonly #nonce: number;
  readonly #tag: number;
  readonly #setNonce: Deno.PointerObject;
  readonly #setNonceAndTag: Deno.PointerObject;
  readonly #readTag: Deno.PointerObject;

  /**
   * @param cipher whose calls for data and end are used
   * @param arena where packets are; some bytes of it become scratch space
   */
  constructor(
    symbols: LibcryptoSymbols,
    { cipher, arena }: { cipher: LibcryptoCipher; arena: Arena },
  ) {
    this.#symbols = symbols;
    this.#cipher = cipher;
    this.#view = arena.view;
    this.#nonce = arena.allocate(NONCE_SIZE, 16);
    this.#tag = arena.allocate(CIPHER_TAG_SIZE, 16);
    const nonce = ["tlsivfixed", this.#nonce, NONCE_SIZE] as const;
    const tag = ["tag", this.#tag, CIPHER_TAG_SIZE] as const;
    this.#setNonce = arena.pointer(writeParameters(arena, [nonce]));
    this.#setNonceAndTag = arena.pointer(writeParameters(arena, [nonce, tag]));
    this.#readTag = arena.pointer(writeParameters(arena, [tag]));
  }

  /**
   * As `AeadKey.seal` in lib/core/noise/aead.ts, with a context whose last packet was sealed, and ended, or that has
   * just been given its key.
   */
  seal(
    context: Deno.PointerObject,
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    const symbols = this.#symbols;
    this.#writeNonce(counterLow, counterHigh);
    // Never null: before it is used, `shortcutWorks` has seen that the library has the two functions.
    if (symbols.EVP_CIPHER_CTX_set_params!(context, this.#setNonce) !== 1) return false;
    if (!this.#cipher.update(context, destination, source, length)) return false;
    if (!this.#cipher.finish(context)) return false;
    if (symbols.EVP_CIPHER_CTX_get_params!(context, this.#readTag) !== 1) return false;
    copyTag(this.#view, destination + length, this.#tag);
    return true;
  }

  /**
   * As `AeadKey.open` in lib/core/noise/aead.ts, with a context whose last packet was opened, found good, and ended, or
   * that has just been given its key.
   */
  open(
    context: Deno.PointerObject,
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    this.#writeNonce(counterLow, counterHigh);
    copyTag(this.#view, this.#tag, source + length);
    if (this.#symbols.EVP_CIPHER_CTX_set_params!(context, this.#setNonceAndTag) !== 1) return false;
    return this.#cipher.update(context, destination, source, length) &&
      this.#cipher.finish(context);
  }

  /** 32 zero bits, which are there already, and the counter. */
  #writeNonce(counterLow: number, counterHigh: number): void {
    this.#view.setUint32(this.#nonce + 4, counterLow, true);
    this.#view.setUint32(this.#nonce + 8, counterHigh, true);
  }
}
