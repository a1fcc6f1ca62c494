/**
 * Key pair interface: X25519 (RFC 7748) with a secret that is taken into use once.
 *
 * `x25519.ts` implements it with `node:crypto`; `ffi/crypto/libcrypto_x25519.ts`, which may not import from here, has
 * the same shape.
 */

/** A Curve25519 key pair in use. */
export interface KeyPair {
  /** 32 bytes. */
  readonly public: Uint8Array;

  /**
   * Writes the shared secret of this pair and the other side's 32-byte public key to `result`, 32 bytes too, which the
   * caller overwrites when it is done.
   *
   * @returns false, and zeros, where the shared secret is all zero: the public key is then a point of low order, chosen
   * so that the result does not depend on our secret (RFC 7748 section 6.1). Also where the pair is destroyed, or the
   * library reports a failure.
   * @throws {RangeError} if one of the arrays is not 32 bytes
   */
  agree(remotePublic: Uint8Array, result: Uint8Array): boolean;

  /** Wipes and frees the secret. May be called again. `agree` returns false from then on. */
  destroy(): void;
}

/** A library that does X25519. */
export interface X25519Provider {
  /**
   * Takes a copy of a 32-byte secret into use. The caller destroys it.
   *
   * @throws {RangeError} if `secret` is not 32 bytes
   */
  keyPair(secret: Uint8Array): KeyPair;
}
