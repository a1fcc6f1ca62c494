/**
 * Symmetric state: the running hash, chaining key and cipher key of a Noise handshake (The Noise Protocol Framework,
 * revision 34, section 5.2 "SymmetricState") with ChaCha20-Poly1305 and BLAKE2s.
 *
 * In IKpsk2 each cipher key encrypts once before the next is mixed in, so its nonce is always zero.
 */
import { AEAD_NONCE_SIZE, type AeadProvider } from "./aead.ts";
import { blake2sHash, HASH_SIZE, hashInto } from "./blake2s.ts";
import { kdf1, kdf2, kdf3 } from "./hkdf.ts";

const ZERO_NONCE = new Uint8Array(AEAD_NONCE_SIZE);
const NO_INPUT = new Uint8Array(0);
/** The protocol's name that was asked for last, and its hash: in the program it is always the same. */
let named = "";
const hashedName = new Uint8Array(HASH_SIZE);
/** The second output of KDF3, which only the transcript takes. */
const forHash = new Uint8Array(HASH_SIZE);

/** Where a handshake stands in keys and transcript. It holds secrets: `wipe()` it when done. */
export class SymmetricState {
  readonly #aead: AeadProvider;
  readonly #chainingKey = new Uint8Array(HASH_SIZE);
  readonly #hash = new Uint8Array(HASH_SIZE);
  readonly #key = new Uint8Array(HASH_SIZE);

  /**
   * InitializeSymmetric(protocolName) and MixHash(prologue).
   *
   * @param protocolName ASCII of more than 32 bytes, which are therefore hashed
   */
  static initialize(
    aead: AeadProvider,
    options: { readonly protocolName: string; readonly prologue: Uint8Array },
  ): SymmetricState {
    const state = new SymmetricState(aead);
    const { protocolName, prologue } = options;
    if (protocolName !== named) {
      hashedName.set(blake2sHash(new TextEncoder().encode(protocolName)));
      named = protocolName;
    }
    state.#chainingKey.set(hashedName);
    hashInto(state.#hash, hashedName, prologue);
    return state;
  }

  private constructor(aead: AeadProvider) {
    this.#aead = aead;
  }

  /** An independent copy: to try a message on, or to begin with again. */
  clone(): SymmetricState {
    const copy = new SymmetricState(this.#aead);
    copy.#chainingKey.set(this.#chainingKey);
    copy.#hash.set(this.#hash);
    copy.#key.set(this.#key);
    return copy;
  }

  /** The transcript hash: after the last message, the handshake hash for channel binding (section 11.2). */
  get hash(): Uint8Array {
    return Uint8Array.from(this.#hash);
  }

  mixHash(data: Uint8Array): void {
    hashInto(this.#hash, this.#hash, data);
  }

  mixKey(input: Uint8Array): void {
    kdf2(this.#chainingKey, input, this.#chainingKey, this.#key);
  }

  /** MixKey where another MixKey follows before anything is encrypted: the cipher key is not worked out. */
  mixChainingKey(input: Uint8Array): void {
    kdf1(this.#chainingKey, input, this.#chainingKey);
  }

  mixKeyAndHash(input: Uint8Array): void {
    kdf3(this.#chainingKey, input, this.#chainingKey, forHash, this.#key);
    this.mixHash(forHash);
    forHash.fill(0);
  }

  /** The sealed field: plaintext encrypted under the current key, with the transcript as associated data. */
  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const sealed = this.#aead.seal(this.#key, ZERO_NONCE, this.#hash, plaintext);
    this.mixHash(sealed);
    return sealed;
  }

  /** The opened field, or null, with the state unchanged, where its tag is wrong or missing. */
  decryptAndHash(sealed: Uint8Array): Uint8Array | null {
    const plaintext = this.#aead.open(this.#key, ZERO_NONCE, this.#hash, sealed);
    if (plaintext !== null) this.mixHash(sealed);
    return plaintext;
  }

  /** The two transport keys: the first for packets of the initiator, the second for those of the responder. */
  split(): [Uint8Array, Uint8Array] {
    const [first, second] = [new Uint8Array(HASH_SIZE), new Uint8Array(HASH_SIZE)];
    kdf2(this.#chainingKey, NO_INPUT, first, second);
    return [first, second];
  }

  /** Overwrites the secrets. The state is of no use afterwards. */
  wipe(): void {
    this.#chainingKey.fill(0);
    this.#key.fill(0);
    this.#hash.fill(0);
  }
}
