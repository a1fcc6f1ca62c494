/**
 * Libcrypto key pair: the calls into OpenSSL (3.x or 1.1.1) that do X25519 (RFC 7748), as its manual has them.
 *
 * A pair is taken in once: that works out its public key (25 us) and readies a context, so that a shared secret costs
 * its own multiplication (28 us) and 2 us around it. The secret is then libcrypto's, which wipes it when it is freed.
 */
import type { Arena } from "../arena.ts";
import { openLibrary } from "./libcrypto_library.ts";

const SYMBOLS = {
  /**
   * `EVP_PKEY *EVP_PKEY_new_raw_private_key(int type, ENGINE *engine, const unsigned char *key, size_t length)`; since
   * 1.1.1
   */
  EVP_PKEY_new_raw_private_key: {
    parameters: ["i32", "pointer", "buffer", "usize"],
    result: "pointer",
  },
  /** `EVP_PKEY *EVP_PKEY_new_raw_public_key(int type, ENGINE *engine, const unsigned char *key, size_t length)` */
  EVP_PKEY_new_raw_public_key: {
    parameters: ["i32", "pointer", "buffer", "usize"],
    result: "pointer",
  },
  /** `int EVP_PKEY_get_raw_public_key(const EVP_PKEY *key, unsigned char *public, size_t *length)` */
  EVP_PKEY_get_raw_public_key: { parameters: ["pointer", "buffer", "pointer"], result: "i32" },
  /**
   * `int EVP_PKEY_set1_encoded_public_key(EVP_PKEY *key, const unsigned char *public, size_t length)`; since 3.0
   */
  EVP_PKEY_set1_encoded_public_key: {
    parameters: ["pointer", "buffer", "usize"],
    result: "i32",
    optional: true,
  },
  /** `EVP_PKEY_CTX *EVP_PKEY_CTX_new(EVP_PKEY *key, ENGINE *engine)` */
  EVP_PKEY_CTX_new: { parameters: ["pointer", "pointer"], result: "pointer" },
  /** `int EVP_PKEY_derive_init(EVP_PKEY_CTX *context)` */
  EVP_PKEY_derive_init: { parameters: ["pointer"], result: "i32" },
  /** `int EVP_PKEY_derive_set_peer(EVP_PKEY_CTX *context, EVP_PKEY *peer)`; the context keeps the key */
  EVP_PKEY_derive_set_peer: { parameters: ["pointer", "pointer"], result: "i32" },
  /** `int EVP_PKEY_derive(EVP_PKEY_CTX *context, unsigned char *secret, size_t *length)`; refuses low order */
  EVP_PKEY_derive: { parameters: ["pointer", "buffer", "pointer"], result: "i32" },
  /** `void EVP_PKEY_CTX_free(EVP_PKEY_CTX *context)` */
  EVP_PKEY_CTX_free: { parameters: ["pointer"], result: "void" },
  /** `void EVP_PKEY_free(EVP_PKEY *key)`; wipes a secret once nothing holds the key */
  EVP_PKEY_free: { parameters: ["pointer"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

export type X25519Symbols = Deno.StaticForeignLibraryInterface<typeof SYMBOLS>;

/** `NID_X25519`, include/openssl/obj_mac.h. */
const EVP_PKEY_X25519 = 1034;
const KEY_SIZE = 32;
/** The same as a `size_t`. */
const KEY_LENGTH = 32n;
/** Bytes of a `size_t`. */
const SIZE_SIZE = 8;

/**
 * Loads the functions of a library.
 *
 * @param name file name or path
 * @returns null where it cannot be loaded, or is older than 1.1.1
 * @throws {Deno.errors.NotCapable} without `--allow-ffi`
 */
export function loadX25519(name: string): Deno.DynamicLibrary<typeof SYMBOLS> | null {
  return openLibrary(name, SYMBOLS);
}

/** It has the shape of `X25519Provider` in lib/core/noise/key_pair.ts, where the methods are described. */
export class LibcryptoX25519 {
  readonly #symbols: X25519Symbols;
  readonly #unload: () => void;
  readonly #view: DataView<ArrayBuffer>;
  readonly #lengthAt: number;
  readonly #length: Deno.PointerObject;
  /** The one object that the other side's key is put into; with 1.1, each key has one of its own. */
  #peer: Deno.PointerObject | null = null;

  /** @param unload what `close` does in the end */
  constructor(symbols: X25519Symbols, arena: Arena, unload: () => void) {
    this.#symbols = symbols;
    this.#unload = unload;
    this.#view = arena.view;
    this.#lengthAt = arena.allocate(SIZE_SIZE, SIZE_SIZE);
    this.#length = arena.pointer(this.#lengthAt);
  }

  keyPair(secret: Uint8Array): LibcryptoKeyPair {
    checkSize(secret, "use X25519 secret");
    const pair = this.takeSecret(secret);
    if (pair === null) throw new Error("Cannot use X25519 secret: libcrypto refuses it");
    return pair;
  }

  /** The same of 32 bytes, but for a refusal: null. */
  takeSecret(secret: Uint8Array): LibcryptoKeyPair | null {
    const symbols = this.#symbols;
    const key = symbols.EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, null, secret, KEY_LENGTH);
    if (key === null) return null;
    const context = symbols.EVP_PKEY_CTX_new(key, null);
    const publicKey = new Uint8Array(KEY_SIZE);
    if (
      context !== null && symbols.EVP_PKEY_derive_init(context) === 1 &&
      symbols.EVP_PKEY_get_raw_public_key(key, publicKey, this.#sizePointer()) === 1
    ) return new LibcryptoKeyPair(this, { key, context, publicKey });
    this.free(context, key);
    return null;
  }

  /** Writes what the context's key and `remotePublic` agree on; whether there is such a thing. */
  derive(context: Deno.PointerObject, remotePublic: Uint8Array, result: Uint8Array): boolean {
    const symbols = this.#symbols;
    const peer = this.#peerOf(remotePublic);
    const agreed = peer !== null &&
      symbols.EVP_PKEY_derive_set_peer(context, peer) === 1 &&
      symbols.EVP_PKEY_derive(context, result, this.#sizePointer()) === 1 &&
      this.#view.getUint32(this.#lengthAt, true) === KEY_SIZE;
    if (peer !== this.#peer) symbols.EVP_PKEY_free(peer);
    return agreed;
  }

  free(context: Deno.PointerValue, key: Deno.PointerObject): void {
    this.#symbols.EVP_PKEY_CTX_free(context);
    this.#symbols.EVP_PKEY_free(key);
  }

  /** Unloads the library. All pairs must be destroyed before. */
  close(): void {
    this.#symbols.EVP_PKEY_free(this.#peer);
    this.#peer = null;
    this.#unload();
  }

  /** An object with this public key; null where libcrypto refuses. */
  #peerOf(publicKey: Uint8Array): Deno.PointerValue {
    const symbols = this.#symbols;
    const replace = symbols.EVP_PKEY_set1_encoded_public_key;
    if (this.#peer !== null) {
      return replace!(this.#peer, publicKey, KEY_LENGTH) === 1 ? this.#peer : null;
    }
    const peer = symbols.EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, null, publicKey, KEY_LENGTH);
    if (replace !== null) this.#peer = peer;
    return peer;
  }

  /** Where the bytes of an array are given, and those that were written are told. */
  #sizePointer(): Deno.PointerObject {
    this.#view.setUint32(this.#lengthAt, KEY_SIZE, true);
    return this.#length;
  }
}

/** It has the shape of `KeyPair` in lib/core/noise/key_pair.ts, where the methods are described. */
class LibcryptoKeyPair {
  readonly public: Uint8Array;
  readonly #library: LibcryptoX25519;
  readonly #key: Deno.PointerObject;
  /** Null once it is destroyed. */
  #context: Deno.PointerObject | null;

  constructor(
    library: LibcryptoX25519,
    made: {
      readonly key: Deno.PointerObject;
      readonly context: Deno.PointerObject;
      readonly publicKey: Uint8Array;
    },
  ) {
    this.public = made.publicKey;
    this.#library = library;
    this.#key = made.key;
    this.#context = made.context;
  }

  agree(remotePublic: Uint8Array, result: Uint8Array): boolean {
    checkSize(remotePublic, "agree on a shared secret");
    checkSize(result, "agree on a shared secret");
    const context = this.#context;
    const agreed = context !== null && this.#library.derive(context, remotePublic, result) &&
      !isZero(result);
    if (!agreed) result.fill(0);
    return agreed;
  }

  destroy(): void {
    if (this.#context === null) return;
    this.#library.free(this.#context, this.#key);
    this.#context = null;
  }
}

/** In constant time: it is a secret. */
function isZero(bytes: Uint8Array): boolean {
  let bits = 0;
  for (let i = 0; i < bytes.length; i++) bits |= bytes[i];
  return bits === 0;
}

function checkSize(key: Uint8Array, action: string): void {
  if (key.length !== KEY_SIZE) {
    throw new RangeError(`Cannot ${action}: a key is ${key.length} bytes, not ${KEY_SIZE}`);
  }
}
