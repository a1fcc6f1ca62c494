/**
 * Symmetric state: the running hash, chaining key and cipher key of a Noise handshake (The Noise Protocol Framework,
 * revision 34, section 5.2 "SymmetricState") with ChaCha20-Poly1305 and BLAKE2s.
 *
 * In IKpsk2 each cipher key encrypts once before the next is mixed in, so its nonce is always zero.
 */
import { AEAD_NONCE_SIZE, type AeadProvider } from "./aead.ts";
import { blake2sHash, HASH_SIZE, kdf1, kdf2, kdf3 } from "./blake2s.ts";

/** Where a handshake stands in keys and transcript. It holds secrets: `wipe()` it when done. */
export class SymmetricState {
  readonly #aead: AeadProvider;
  #chainingKey: Uint8Array;
  #hash: Uint8Array;
  #key: Uint8Array;

  /**
   * InitializeSymmetric(protocolName) and MixHash(prologue).
   *
   * @param protocolName ASCII of more than 32 bytes, which are therefore hashed
   */
  static initialize(
    aead: AeadProvider,
    options: { readonly protocolName: string; readonly prologue: Uint8Array },
  ): SymmetricState {
    const initial = blake2sHash(new TextEncoder().encode(options.protocolName));
    const state = new SymmetricState(aead, initial, initial, new Uint8Array(HASH_SIZE));
    state.mixHash(options.prologue);
    return state;
  }

  private constructor(
    aead: AeadProvider,
    chainingKey: Uint8Array,
    transcript: Uint8Array,
    key: Uint8Array,
  ) {
    this.#aead = aead;
    this.#chainingKey = Uint8Array.from(chainingKey);
    this.#hash = Uint8Array.from(transcript);
    this.#key = Uint8Array.from(key);
  }

  /** An independent copy, to try a message on. */
  clone(): SymmetricState {
    return new SymmetricState(this.#aead, this.#chainingKey, this.#hash, this.#key);
  }

  /** The transcript hash: after the last message, the handshake hash for channel binding (section 11.2). */
  get hash(): Uint8Array {
    return Uint8Array.from(this.#hash);
  }

  mixHash(data: Uint8Array): void {
    this.#hash = blake2sHash(this.#hash, data);
  }

  mixKey(input: Uint8Array): void {
    const [chainingKey, key] = kdf2(this.#chainingKey, input);
    this.#replaceKeys(chainingKey, key);
  }

  /** MixKey where another MixKey follows before anything is encrypted: the cipher key is not worked out. */
  mixChainingKey(input: Uint8Array): void {
    const chainingKey = kdf1(this.#chainingKey, input);
    this.#chainingKey.fill(0);
    this.#chainingKey = chainingKey;
  }

  mixKeyAndHash(input: Uint8Array): void {
    const [chainingKey, forHash, key] = kdf3(this.#chainingKey, input);
    this.#replaceKeys(chainingKey, key);
    this.mixHash(forHash);
  }

  /** The sealed field: plaintext encrypted under the current key, with the transcript as associated data. */
  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const nonce = new Uint8Array(AEAD_NONCE_SIZE);
    const sealed = this.#aead.seal(this.#key, nonce, this.#hash, plaintext);
    this.mixHash(sealed);
    return sealed;
  }

  /** The opened field, or null, with the state unchanged, where its tag is wrong or missing. */
  decryptAndHash(sealed: Uint8Array): Uint8Array | null {
    const nonce = new Uint8Array(AEAD_NONCE_SIZE);
    const plaintext = this.#aead.open(this.#key, nonce, this.#hash, sealed);
    if (plaintext !== null) this.mixHash(sealed);
    return plaintext;
  }

  /** The two transport keys: the first for packets of the initiator, the second for those of the responder. */
  split(): [Uint8Array, Uint8Array] {
    return kdf2(this.#chainingKey, new Uint8Array(0));
  }

  /** Overwrites the secrets. The state is of no use afterwards. */
  wipe(): void {
    this.#chainingKey.fill(0);
    this.#key.fill(0);
    this.#hash.fill(0);
  }

  #replaceKeys(chainingKey: Uint8Array, key: Uint8Array): void {
    this.#chainingKey.fill(0);
    this.#key.fill(0);
    this.#chainingKey = chainingKey;
    this.#key = key;
  }
}
