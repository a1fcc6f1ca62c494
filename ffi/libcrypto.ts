/**
 * Owns ChaCha20-Poly1305 through OpenSSL's libcrypto as a provider: packets in the arena, handshake fields in arrays.
 * The library is the host's own; where there is none, lib/noise/aead_builtin.ts takes its place.
 */
import type { Arena } from "./arena.ts";
import {
  DECRYPT,
  ENCRYPT,
  KEY_SIZE,
  type LibcryptoCipher,
  loadCipher,
  NONCE_SIZE,
  TAG_SIZE,
} from "./libcrypto_cipher.ts";

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
    const cipher = loadCipher(name, arena);
    if (cipher !== null) return new LibcryptoAead(name, cipher);
  }
  return null;
}

/** The provider; it has the shape of `AeadProvider` in lib/noise/aead.ts, where the methods are described. */
export class LibcryptoAead {
  readonly name: string;
  readonly #cipher: LibcryptoCipher;

  /** Use `openLibcrypto`. */
  constructor(name: string, cipher: LibcryptoCipher) {
    this.name = name;
    this.#cipher = cipher;
  }

  key(key: Uint8Array): LibcryptoKey {
    return new LibcryptoKey(this.#cipher, this.#cipher.context(key));
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
    const sealed = new Uint8Array(plaintext.length + TAG_SIZE);
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
    const length = ciphertext.length - TAG_SIZE;
    if (length < 0 || key.length !== KEY_SIZE || nonce.length !== NONCE_SIZE) return null;
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
  }
}

/** One transport key; it has the shape of `AeadKey` in lib/noise/aead.ts, where the methods are described. */
export class LibcryptoKey {
  readonly #cipher: LibcryptoCipher;
  #context: Deno.PointerObject | null;

  /** Use `LibcryptoAead.key`. */
  constructor(cipher: LibcryptoCipher, context: Deno.PointerObject) {
    this.#cipher = cipher;
    this.#context = context;
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
    const cipher = this.#cipher;
    if (!cipher.startCounter(context, counterLow, counterHigh, ENCRYPT)) return false;
    if (!cipher.update(context, destination, source, length)) return false;
    if (!cipher.finish(context) || !cipher.getTag(context)) return false;
    cipher.storeTag(destination + length);
    return true;
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
    const cipher = this.#cipher;
    if (!cipher.startCounter(context, counterLow, counterHigh, DECRYPT)) return false;
    if (!cipher.update(context, destination, source, length)) return false;
    cipher.loadTag(source + length);
    return cipher.setTag(context) && cipher.finish(context);
  }

  destroy(): void {
    if (this.#context === null) return;
    this.#cipher.free(this.#context);
    this.#context = null;
  }
}
