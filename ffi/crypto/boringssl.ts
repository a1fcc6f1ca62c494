/**
 * BoringSSL provider: ChaCha20-Poly1305 for packets by Google's library. Handshake fields, which have associated data,
 * are the other provider's that it stands on.
 */
import { Arena } from "../arena.ts";
import { type BoringsslSymbols, type FoundBoringssl, loadBoringssl } from "./boringssl_library.ts";
import { CIPHER_KEY_SIZE, CIPHER_TAG_SIZE, NONCE_SIZE, refuseKeySize } from "./libcrypto_cipher.ts";
import { OverFields } from "./over_fields.ts";
import { type FieldCipher, packetsAgree, TRIAL_SIZE } from "./packet_trial.ts";

/** Scratch space: what the library reads and writes besides packets. */
const SCRATCH_NONCE = 0;
const SCRATCH_OUT_LENGTH = 16;
const SCRATCH_SIZE = 24;

/**
 * Opens the library for this thread.
 *
 * @param arena where packets are; some bytes of it become scratch space
 * @param fields does handshake fields, and is what the library is tried against
 * @param names file names or paths, the first that works is taken
 * @returns null where there is none that does what `fields` does
 * @throws {Deno.errors.NotCapable} without `--allow-ffi`
 */
export function openBoringssl(
  arena: Arena,
  fields: FieldCipher,
  names: readonly string[],
): BoringsslAead | null {
  for (const name of names) {
    const found = loadBoringssl(name);
    if (found === null) continue;
    const { library } = found;
    if (boringsslWorks(library.symbols, fields)) return new BoringsslAead(found, arena, fields);
    library.close();
  }
  return null;
}

/** As `packetsAgree()`. */
export function boringsslWorks(
  symbols: BoringsslSymbols,
  reference: FieldCipher,
): boolean {
  const arena = new Arena(TRIAL_SIZE + SCRATCH_SIZE);
  const calls = new BoringsslCalls(symbols, arena);
  return packetsAgree(arena, (secret) => new BoringsslKey(secret, calls), reference);
}

/** The provider; it has the shape of `AeadProvider` in lib/core/noise/aead.ts, where the methods are described. */
class BoringsslAead extends OverFields {
  readonly #found: FoundBoringssl;
  readonly #calls: BoringsslCalls;

  /** Use `openBoringssl`. */
  constructor(found: FoundBoringssl, arena: Arena, fields: FieldCipher) {
    super(found.name, fields);
    this.#found = found;
    this.#calls = new BoringsslCalls(found.library.symbols, arena);
  }

  key(key: Uint8Array): BoringsslKey {
    return new BoringsslKey(key, this.#calls);
  }

  /** Gives the library back. All keys must be destroyed before. */
  close(): void {
    this.#found.library.close();
  }
}

/** It has the shape of `AeadKey` in lib/core/noise/aead.ts, where the methods are described. */
class BoringsslKey {
  readonly #calls: BoringsslCalls;
  #context: Deno.PointerObject | null;

  /** @param key 32 bytes, copied */
  constructor(key: Uint8Array, calls: BoringsslCalls) {
    this.#calls = calls;
    this.#context = calls.context(key);
  }

  prefetch(): number {
    return Number(this.#context === null);
  }

  seal(
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    const context = this.#context;
    return context !== null &&
      this.#calls.seal(context, destination, source, length, counterLow, counterHigh);
  }

  open(
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    const context = this.#context;
    return context !== null &&
      this.#calls.open(context, destination, source, length, counterLow, counterHigh);
  }

  destroy(): void {
    if (this.#context === null) return;
    this.#calls.free(this.#context);
    this.#context = null;
  }
}

/** The library's calls with their pointers at hand; those that give a boolean tell whether it reports success. */
class BoringsslCalls {
  readonly #symbols: BoringsslSymbols;
  readonly #cipher: Deno.PointerValue;
  readonly #arena: Arena;
  readonly #view: DataView<ArrayBuffer>;
  readonly #nonce: number;
  readonly #noncePointer: Deno.PointerObject;
  readonly #outLengthPointer: Deno.PointerObject;
  readonly #nonceLength = lengthPointer(NONCE_SIZE);
  /** Those that have been asked for, by length: making one costs an allocation. */
  readonly #lengths: Deno.PointerValue[] = [];

  constructor(symbols: BoringsslSymbols, arena: Arena) {
    const scratch = arena.allocate(SCRATCH_SIZE, 8);
    this.#symbols = symbols;
    this.#cipher = symbols.EVP_aead_chacha20_poly1305();
    this.#arena = arena;
    this.#view = arena.view;
    this.#nonce = scratch + SCRATCH_NONCE;
    this.#noncePointer = arena.pointer(this.#nonce);
    this.#outLengthPointer = arena.pointer(scratch + SCRATCH_OUT_LENGTH);
  }

  /** A new context with its key. */
  context(key: Uint8Array): Deno.PointerObject {
    refuseKeySize(key);
    const context = this.#symbols.EVP_AEAD_CTX_new(
      this.#cipher,
      key as Uint8Array<ArrayBuffer>,
      BigInt(CIPHER_KEY_SIZE),
      BigInt(CIPHER_TAG_SIZE),
    );
    if (context === null) throw new Error("Cannot use ChaCha20-Poly1305 key: BoringSSL refuses it");
    return context;
  }

  seal(
    context: Deno.PointerObject,
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    const arena = this.#arena;
    this.#writeNonce(counterLow, counterHigh);
    return this.#symbols.EVP_AEAD_CTX_seal(
      context,
      arena.pointer(destination),
      this.#outLengthPointer,
      this.#length(length + CIPHER_TAG_SIZE),
      this.#noncePointer,
      this.#nonceLength,
      arena.pointer(source),
      this.#length(length),
      null,
      null,
    ) === 1;
  }

  open(
    context: Deno.PointerObject,
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    const arena = this.#arena;
    this.#writeNonce(counterLow, counterHigh);
    return this.#symbols.EVP_AEAD_CTX_open(
      context,
      arena.pointer(destination),
      this.#outLengthPointer,
      // What a forged packet has filled with zeros: not a byte beyond it.
      this.#length(length),
      this.#noncePointer,
      this.#nonceLength,
      arena.pointer(source),
      this.#length(length + CIPHER_TAG_SIZE),
      null,
      null,
    ) === 1;
  }

  free(context: Deno.PointerObject): void {
    this.#symbols.EVP_AEAD_CTX_free(context);
  }

  /** 32 zero bits, which are there already, and the counter. */
  #writeNonce(counterLow: number, counterHigh: number): void {
    this.#view.setUint32(this.#nonce + 4, counterLow, true);
    this.#view.setUint32(this.#nonce + 8, counterHigh, true);
  }

  /** That of 0 is null. */
  #length(length: number): Deno.PointerValue {
    const lengths = this.#lengths;
    const kept = length < lengths.length ? lengths[length]! : null;
    return kept === null && length > 0 ? this.#keepLength(length) : kept;
  }

  #keepLength(length: number): Deno.PointerValue {
    const lengths = this.#lengths;
    while (lengths.length <= length) lengths.push(null);
    return lengths[length] = lengthPointer(length);
  }
}

/** A `size_t` in a pointer's place. */
function lengthPointer(length: number): Deno.PointerValue {
  return Deno.UnsafePointer.create(BigInt(length));
}
