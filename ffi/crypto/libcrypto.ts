/**
 * Libcrypto provider: ChaCha20-Poly1305 through OpenSSL, for packets in the arena and handshake fields in arrays. The
 * library is the host's own; where there is none, lib/core/noise/aead_builtin.ts takes its place.
 */
import type { Arena } from "../arena.ts";
import {
  CIPHER_KEY_SIZE,
  CIPHER_TAG_SIZE,
  DECRYPT,
  ENCRYPT,
  LibcryptoCipher,
  type LibcryptoLibrary,
  loadLibrary,
  NONCE_SIZE,
} from "./libcrypto_cipher.ts";
import { LibcryptoKey, LibcryptoKeys } from "./libcrypto_key.ts";
import { LibcryptoShortcut } from "./libcrypto_shortcut.ts";
import { shortcutWorks } from "./libcrypto_trial.ts";

/** Tried in this order. OpenSSL 3 keeps its ABI through all 3.x. */
const LIBRARY_NAMES = ["libcrypto.so.3", "libcrypto.so.1.1"] as const;

/**
 * Opens libcrypto for this thread.
 *
 * @param names file names or paths, the first that works is taken
 * @returns null where none can be loaded, is older than 1.1, or refuses ChaCha20-Poly1305 (as in FIPS mode)
 * @throws {Deno.errors.NotCapable} without `--allow-ffi`
 */
export function openLibcrypto(
  arena: Arena,
  names: readonly string[] = LIBRARY_NAMES,
): LibcryptoAead | null {
  for (const name of names) {
    const library = loadLibrary(name);
    if (library !== null) return new LibcryptoAead(name, library, arena);
  }
  return null;
}

/** The provider; it has the shape of `AeadProvider` in lib/core/noise/aead.ts, where the methods are described. */
class LibcryptoAead {
  readonly name: string;
  readonly #library: LibcryptoLibrary;
  readonly #cipher: LibcryptoCipher;
  readonly #shortcut: LibcryptoShortcut;
  /** Null until the first key, as others may cipher all packets. */
  #keys: LibcryptoKeys | null = null;

  /** Use `openLibcrypto`. */
  constructor(name: string, library: LibcryptoLibrary, arena: Arena) {
    this.name = name;
    this.#library = library;
    this.#cipher = new LibcryptoCipher(library.symbols, arena);
    this.#shortcut = new LibcryptoShortcut(library.symbols, { cipher: this.#cipher, arena });
  }

  key(key: Uint8Array): LibcryptoKey {
    this.#keys ??= new LibcryptoKeys({
      cipher: this.#cipher,
      shortcut: shortcutWorks(this.#library.symbols) ? this.#shortcut : null,
    });
    return new LibcryptoKey(key, this.#keys);
  }

  seal(
    key: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    plaintext: Uint8Array,
  ): Uint8Array {
    if (nonce.length !== NONCE_SIZE) {
      throw new RangeError(`Cannot seal: the nonce is ${nonce.length} bytes, not ${NONCE_SIZE}`);
    }
    const cipher = this.#cipher;
    const context = cipher.context(key);
    const sealed = new Uint8Array(plaintext.length + CIPHER_TAG_SIZE);
    const ok = cipher.start(context, nonce, ENCRYPT) &&
      cipher.updateArray(context, null, associatedData) &&
      cipher.updateArray(context, sealed, plaintext) &&
      cipher.finish(context) &&
      cipher.getTag(context);
    cipher.free(context);
    if (!ok) throw new Error("Cannot seal: libcrypto reports a failure");
    sealed.set(cipher.tag, plaintext.length);
    return sealed;
  }

  open(
    key: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    ciphertext: Uint8Array,
  ): Uint8Array | null {
    const length = ciphertext.length - CIPHER_TAG_SIZE;
    if (length < 0 || key.length !== CIPHER_KEY_SIZE || nonce.length !== NONCE_SIZE) return null;
    const cipher = this.#cipher;
    const context = cipher.context(key);
    const plaintext = new Uint8Array(length);
    cipher.tag.set(ciphertext.subarray(length));
    const ok = cipher.start(context, nonce, DECRYPT) &&
      cipher.updateArray(context, null, associatedData) &&
      cipher.updateArray(context, plaintext, ciphertext.subarray(0, length)) &&
      cipher.setTag(context) &&
      cipher.finish(context);
    cipher.free(context);
    return ok ? plaintext : null;
  }

  /** Unloads the library. All keys must be destroyed before. */
  close(): void {
    this.#cipher.close();
    this.#library.close();
  }
}
