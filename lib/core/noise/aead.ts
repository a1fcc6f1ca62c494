/**
 * AEAD interface: ChaCha20-Poly1305 (RFC 8439) for packets in the packet memory and handshake fields as plain arrays.
 *
 * `aead_builtin.ts` implements it with `node:crypto`; `ffi/crypto/libcrypto.ts`, and `boringssl.ts` and `ipsec_mb.ts`
 * beside it, which may not import from here, have the same shape.
 */

/** Bytes of a nonce: 32 zero bits and a little-endian 64-bit counter, as Noise forms it (section 12.3). */
export const AEAD_NONCE_SIZE = 12;

/** One transport key in use on packets of the packet memory. Associated data is empty, as in WireGuard. */
export interface AeadKey {
  /** Loads what `open()` needs of the key into the processor's cache, as far as it can; the result means nothing. */
  prefetch(): number;

  /**
   * Encrypts `length` bytes at memory offset `source` to `destination` and writes the 16-byte tag behind them.
   * The two regions may be the same; they must not overlap otherwise.
   *
   * The nonce is 32 zero bits and the little-endian 64-bit counter given as two uint32 halves. The caller never gives
   * the same counter twice: that is the end of the cipher.
   *
   * @returns false only when the library reports a failure or the key is destroyed
   */
  seal(
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean;

  /**
   * Checks and decrypts `length` bytes of ciphertext at `source`, whose 16-byte tag stands at `source + length`.
   * Overlap as for `seal`.
   *
   * @returns false if the tag is wrong or the key is destroyed; the destination's content is then undefined
   */
  open(
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean;

  /** Wipes and frees the key. May be called again. `seal` and `open` return false from then on. */
  destroy(): void;
}

/** A library that does ChaCha20-Poly1305. */
export interface AeadProvider {
  /** As shown in the log and in `vpn status`: `libIPSec_MB.so.1`, `libboringssl.so`, `libcrypto.so.3` or `builtin`. */
  readonly name: string;

  /**
   * Takes a copy of a 32-byte key into use. The caller destroys it.
   *
   * @throws {RangeError} if `key` is not 32 bytes
   */
  key(key: Uint8Array): AeadKey;

  /**
   * Encrypts a handshake field: the ciphertext followed by the 16-byte tag, in a new array.
   *
   * @throws {RangeError} if `key` is not 32 bytes or `nonce` not 12
   */
  seal(
    key: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    plaintext: Uint8Array,
  ): Uint8Array;

  /**
   * Decrypts a handshake field (ciphertext and tag) into a new array. Null if the tag is wrong, the field is shorter
   * than a tag, or key or nonce have a wrong length.
   */
  open(
    key: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    ciphertext: Uint8Array,
  ): Uint8Array | null;
}
