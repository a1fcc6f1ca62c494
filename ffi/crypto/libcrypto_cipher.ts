/**
 * Libcrypto cipher: the calls into OpenSSL (3.x or 1.1) that do ChaCha20-Poly1305, as its manual has them.
 *
 * A packet costs four calls: nonce, data, end, tag. They take `pointer` and `i32` arguments only (see libc.ts), and
 * nonce and tag pass through scratch space of the arena, so that nothing is allocated and no pointer is needed but
 * those to the two ends of the packet. Measured with 1,420 bytes on OpenSSL 3.0: 1.03 us, of which 0.57 us are the
 * cipher; libcrypto_shortcut.ts has a shorter way.
 */
import type { Arena } from "../arena.ts";
import { CIPHER_KEY_WORDS, type KeyWords } from "./key_places.ts";
import { openLibrary } from "./libcrypto_library.ts";

const SYMBOLS = {
  /**
   * `EVP_CIPHER *EVP_CIPHER_fetch(OSSL_LIB_CTX *context, const char *algorithm, const char *properties)`; since 3.0
   */
  EVP_CIPHER_fetch: {
    parameters: ["pointer", "buffer", "pointer"],
    result: "pointer",
    optional: true,
  },
  /** `void EVP_CIPHER_free(EVP_CIPHER *cipher)`; since 3.0 */
  EVP_CIPHER_free: { parameters: ["pointer"], result: "void", optional: true },
  /** `const EVP_CIPHER *EVP_chacha20_poly1305(void)` */
  EVP_chacha20_poly1305: { parameters: [], result: "pointer" },
  /** `EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void)` */
  EVP_CIPHER_CTX_new: { parameters: [], result: "pointer" },
  /** `void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *context)`; wipes the key */
  EVP_CIPHER_CTX_free: { parameters: ["pointer"], result: "void" },
  /**
   * `int EVP_CipherInit_ex(EVP_CIPHER_CTX *context, const EVP_CIPHER *type, ENGINE *engine,
   * const unsigned char *key, const unsigned char *nonce, int encrypt)`; what is null stays as it was
   */
  EVP_CipherInit_ex: {
    parameters: ["pointer", "pointer", "pointer", "pointer", "pointer", "i32"],
    result: "i32",
  },
  /** The same, with the key in an array: once for each key */
  initWithKey: {
    name: "EVP_CipherInit_ex",
    parameters: ["pointer", "pointer", "pointer", "buffer", "pointer", "i32"],
    result: "i32",
  },
  /**
   * `int EVP_CipherUpdate(EVP_CIPHER_CTX *context, unsigned char *out, int *out_length,
   * const unsigned char *in, int in_length)`; `out` is null for associated data
   */
  EVP_CipherUpdate: {
    parameters: ["pointer", "pointer", "pointer", "pointer", "i32"],
    result: "i32",
  },
  /** The same on arrays: for handshake fields */
  updateArray: {
    name: "EVP_CipherUpdate",
    parameters: ["pointer", "buffer", "pointer", "buffer", "i32"],
    result: "i32",
  },
  /**
   * `int EVP_CipherFinal_ex(EVP_CIPHER_CTX *context, unsigned char *out, int *out_length)`: works out or checks the tag
   */
  EVP_CipherFinal_ex: { parameters: ["pointer", "pointer", "pointer"], result: "i32" },
  /** `int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *context, int type, int argument, void *pointer)` */
  EVP_CIPHER_CTX_ctrl: { parameters: ["pointer", "i32", "i32", "pointer"], result: "i32" },
  /** `int EVP_CIPHER_CTX_get_params(EVP_CIPHER_CTX *context, OSSL_PARAM parameters[])`; since 3.0 */
  EVP_CIPHER_CTX_get_params: { parameters: ["pointer", "pointer"], result: "i32", optional: true },
  /** `int EVP_CIPHER_CTX_set_params(EVP_CIPHER_CTX *context, const OSSL_PARAM parameters[])`; since 3.0 */
  EVP_CIPHER_CTX_set_params: { parameters: ["pointer", "pointer"], result: "i32", optional: true },
} as const satisfies Deno.ForeignLibraryInterface;

export type LibcryptoLibrary = Deno.DynamicLibrary<typeof SYMBOLS>;
export type LibcryptoSymbols = Deno.StaticForeignLibraryInterface<typeof SYMBOLS>;

export const CIPHER_KEY_SIZE = 32;
export const NONCE_SIZE = 12;
export const CIPHER_TAG_SIZE = 16;

export const DECRYPT = 0;
export const ENCRYPT = 1;
/** `EVP_CIPHER_CTX_ctrl` types, include/openssl/evp.h */
const EVP_CTRL_AEAD_GET_TAG = 0x10;
const EVP_CTRL_AEAD_SET_TAG = 0x11;

/** Scratch space: what libcrypto reads and writes besides packets. */
const SCRATCH_NONCE = 0;
const SCRATCH_OUT_LENGTH = 12;
const SCRATCH_TAG = 16;
const SCRATCH_KEY = 32;
const SCRATCH_SIZE = 64;

const PROBE_KEY = new Uint8Array(CIPHER_KEY_SIZE);
/** The name that 3.x knows the cipher by, null-terminated. */
const CIPHER_NAME = new TextEncoder().encode("ChaCha20-Poly1305\0");

const OSSL_PARAM_SIZE = 40;
const OSSL_PARAM_OCTET_STRING = 5;

/**
 * Loads a library and tries it out.
 *
 * @param name file name or path
 * @returns null where it cannot be loaded, is older than 1.1, or refuses ChaCha20-Poly1305 (as in FIPS mode)
 * @throws {Deno.errors.NotCapable} without `--allow-ffi`
 */
export function loadLibrary(name: string): LibcryptoLibrary | null {
  const library = openLibrary(name, SYMBOLS);
  if (library === null) return null;
  const { symbols } = library;
  const probe = newContext(symbols, symbols.EVP_chacha20_poly1305(), PROBE_KEY);
  if (probe === null) {
    library.close();
    return null;
  }
  symbols.EVP_CIPHER_CTX_free(probe);
  return library;
}

/**
 * libcrypto's calls with their pointers at hand, in the order in which a packet meets them. Those that give a boolean
 * tell whether the library reports success.
 */
export class LibcryptoCipher {
  readonly #symbols: LibcryptoSymbols;
  /**
   * The cipher as 3.x has it, fetched once; null with 1.1. What `EVP_chacha20_poly1305` gives stands for a search that
   * each context would do again: 2.3 us for one with its key, and 0.3 us without it.
   */
  #fetched: Deno.PointerValue;
  readonly #arena: Arena;
  readonly #view: DataView<ArrayBuffer>;
  readonly #nonceAt: number;
  readonly #tagAt: number;
  readonly #nonce: Uint8Array;
  readonly #key: Uint32Array;
  readonly #keyPointer: Deno.PointerObject;
  readonly #noncePointer: Deno.PointerObject;
  readonly #outLengthPointer: Deno.PointerObject;
  readonly #tagPointer: Deno.PointerObject;
  readonly #parametersPointer: Deno.PointerObject;
  /** The tag last read, and the one to be checked next: 16 bytes of scratch space. */
  readonly tag: Uint8Array;

  /** @param arena where packets are; some bytes of it become scratch space */
  constructor(symbols: LibcryptoSymbols, arena: Arena) {
    const scratch = arena.allocate(SCRATCH_SIZE, 16);
    this.#symbols = symbols;
    this.#fetched = symbols.EVP_CIPHER_fetch?.(null, CIPHER_NAME, null) ?? null;
    this.#arena = arena;
    this.#view = arena.view;
    this.#nonceAt = scratch + SCRATCH_NONCE;
    this.#tagAt = scratch + SCRATCH_TAG;
    this.#nonce = arena.bytes.subarray(this.#nonceAt, this.#nonceAt + NONCE_SIZE);
    this.#key = new Uint32Array(arena.bytes.buffer, scratch + SCRATCH_KEY, CIPHER_KEY_WORDS);
    this.#keyPointer = arena.pointer(scratch + SCRATCH_KEY);
    this.tag = arena.bytes.subarray(this.#tagAt, this.#tagAt + CIPHER_TAG_SIZE);
    this.#noncePointer = arena.pointer(this.#nonceAt);
    this.#outLengthPointer = arena.pointer(scratch + SCRATCH_OUT_LENGTH);
    this.#tagPointer = arena.pointer(this.#tagAt);
    this.#parametersPointer = arena.pointer(
      writeParameters(arena, [["tag", this.#tagAt, CIPHER_TAG_SIZE]]),
    );
  }

  /** A new context with its key. */
  context(key: Uint8Array): Deno.PointerObject {
    refuseKeySize(key);
    const context = this.newContext(key);
    if (context === null) throw new Error("Cannot use ChaCha20-Poly1305 key: libcrypto refuses it");
    return context;
  }

  /** A new context, of which `takeKey()` comes first; null where libcrypto refuses. */
  newContext(key: Uint8Array = PROBE_KEY): Deno.PointerObject | null {
    const cipher = this.#fetched ?? this.#symbols.EVP_chacha20_poly1305();
    return newContext(this.#symbols, cipher, key);
  }

  /** Has a context begin again with another key. */
  takeKey(
    context: Deno.PointerObject,
    { block, at }: KeyWords,
    direction: typeof ENCRYPT | typeof DECRYPT,
  ): boolean {
    const key = this.#key;
    for (let i = 0; i < CIPHER_KEY_WORDS; i++) key[i] = block[at + i]!;
    const isTaken = this.#init(context, this.#keyPointer, null, direction);
    for (let i = 0; i < CIPHER_KEY_WORDS; i++) key[i] = 0;
    return isTaken;
  }

  /** Starts a packet: 32 zero bits and the counter are its nonce. */
  startCounter(
    context: Deno.PointerObject,
    counterLow: number,
    counterHigh: number,
    direction: typeof ENCRYPT | typeof DECRYPT,
  ): boolean {
    const at = this.#nonceAt;
    this.#view.setUint32(at, 0, true);
    this.#view.setUint32(at + 4, counterLow, true);
    this.#view.setUint32(at + 8, counterHigh, true);
    return this.#start(context, direction);
  }

  /** Starts a handshake field. */
  start(
    context: Deno.PointerObject,
    nonce: Uint8Array,
    direction: typeof ENCRYPT | typeof DECRYPT,
  ): boolean {
    this.#nonce.set(nonce);
    return this.#start(context, direction);
  }

  /**
   * The direction may change from packet to packet: the cipher's key schedule is the same for both, and either
   * version of libcrypto takes it over with each nonce.
   */
  #start(context: Deno.PointerObject, direction: number): boolean {
    return this.#init(context, null, this.#noncePointer, direction);
  }

  /** What is null stays as it was. */
  #init(
    context: Deno.PointerObject,
    key: Deno.PointerValue,
    nonce: Deno.PointerValue,
    direction: number,
  ): boolean {
    return this.#symbols.EVP_CipherInit_ex(context, null, null, key, nonce, direction) === 1;
  }

  update(
    context: Deno.PointerObject,
    destination: number,
    source: number,
    length: number,
  ): boolean {
    const arena = this.#arena;
    return this.#symbols.EVP_CipherUpdate(
      context,
      arena.pointer(destination),
      this.#outLengthPointer,
      arena.pointer(source),
      length,
    ) === 1;
  }

  /** Empty input is left out: its address may be null, which means "the end" to libcrypto. */
  updateArray(
    context: Deno.PointerObject,
    destination: Uint8Array | null,
    source: Uint8Array,
  ): boolean {
    if (source.length === 0) return true;
    return this.#symbols.updateArray(
      context,
      destination,
      this.#outLengthPointer,
      source,
      source.length,
    ) === 1;
  }

  /** Ends the data: works out the tag, or says whether the one that was set is right. */
  finish(context: Deno.PointerObject): boolean {
    return this.#symbols.EVP_CipherFinal_ex(context, this.#tagPointer, this.#outLengthPointer) ===
      1;
  }

  /**
   * Reads the tag into scratch space. The control call of 1.1 works in 3.x too, but takes 150 ns more after a packet.
   */
  getTag(context: Deno.PointerObject): boolean {
    const symbols = this.#symbols;
    if (symbols.EVP_CIPHER_CTX_get_params !== null) {
      return symbols.EVP_CIPHER_CTX_get_params(context, this.#parametersPointer) === 1;
    }
    return symbols.EVP_CIPHER_CTX_ctrl(
      context,
      EVP_CTRL_AEAD_GET_TAG,
      CIPHER_TAG_SIZE,
      this.#tagPointer,
    ) === 1;
  }

  /**
   * Sets the tag to be checked from scratch space; only after the start, as 3.x refuses it to a context that encrypts.
   */
  setTag(context: Deno.PointerObject): boolean {
    const symbols = this.#symbols;
    if (symbols.EVP_CIPHER_CTX_set_params !== null) {
      return symbols.EVP_CIPHER_CTX_set_params(context, this.#parametersPointer) === 1;
    }
    return symbols.EVP_CIPHER_CTX_ctrl(
      context,
      EVP_CTRL_AEAD_SET_TAG,
      CIPHER_TAG_SIZE,
      this.#tagPointer,
    ) === 1;
  }

  /** Copies the tag from scratch space to a packet. */
  storeTag(destination: number): void {
    copyTag(this.#view, destination, this.#tagAt);
  }

  /** Copies the tag of a packet to scratch space. */
  loadTag(source: number): void {
    copyTag(this.#view, this.#tagAt, source);
  }

  free(context: Deno.PointerObject): void {
    this.#symbols.EVP_CIPHER_CTX_free(context);
  }

  /** Gives the cipher back. All contexts must be freed before. */
  close(): void {
    if (this.#fetched !== null) this.#symbols.EVP_CIPHER_free?.(this.#fetched);
    this.#fetched = null;
  }
}

/** @throws {RangeError} where a key is not `CIPHER_KEY_SIZE` bytes */
export function refuseKeySize(key: Uint8Array): void {
  if (key.length === CIPHER_KEY_SIZE) return;
  throw new RangeError(
    `Cannot use ChaCha20-Poly1305 key: it is ${key.length} bytes, not ${CIPHER_KEY_SIZE}`,
  );
}

/** Copies 16 bytes; for so few, the words are quicker than a call of `copyWithin`. */
export function copyTag(view: DataView, destination: number, source: number): void {
  view.setUint32(destination, view.getUint32(source));
  view.setUint32(destination + 4, view.getUint32(source + 4));
  view.setUint32(destination + 8, view.getUint32(source + 8));
  view.setUint32(destination + 12, view.getUint32(source + 12));
}

/** A parameter of octets: its name, and the offset and length of its value in the arena. */
export type OctetParameter = readonly [name: string, value: number, length: number];

/**
 * Writes a parameter list for libcrypto 3.x: `struct OSSL_PARAM { const char *key; unsigned data_type; void *data;
 * size_t data_size; size_t return_size; }`, 40 bytes each, the last one's key null (include/openssl/core.h).
 *
 * @returns its offset in the arena
 */
export function writeParameters(arena: Arena, parameters: readonly OctetParameter[]): number {
  const list = arena.allocate((parameters.length + 1) * OSSL_PARAM_SIZE, 8);
  parameters.forEach(([name, value, length], index) => {
    const parameter = list + index * OSSL_PARAM_SIZE;
    // Null-terminated, by the arena's zeros.
    const key = arena.allocate(name.length + 1, 8);
    new TextEncoder().encodeInto(name, arena.bytes.subarray(key));
    arena.writePointer(parameter, key);
    arena.view.setUint32(parameter + 8, OSSL_PARAM_OCTET_STRING, true);
    arena.writePointer(parameter + 16, value);
    arena.view.setUint32(parameter + 24, length, true);
  });
  return list;
}

/** A context with a cipher and a key, or null where libcrypto refuses. */
function newContext(
  symbols: LibcryptoSymbols,
  cipher: Deno.PointerValue,
  key: Uint8Array,
): Deno.PointerObject | null {
  const context = symbols.EVP_CIPHER_CTX_new();
  if (context === null) return null;
  if (symbols.initWithKey(context, cipher, null, key, null, ENCRYPT) === 1) return context;
  symbols.EVP_CIPHER_CTX_free(context);
  return null;
}
