/**
 * Noise constants: the strings that WireGuard feeds to its hashes (WireGuard paper, section 5.4), ASCII without a
 * terminator.
 */

/** Noise's name for the protocol. */
export const CONSTRUCTION = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
/** The prologue of every handshake. */
export const IDENTIFIER = "WireGuard v1 zx2c4 Jason@zx2c4.com";
/** Sets the key of mac1 apart from all other uses of a public key. */
export const LABEL_MAC1 = "mac1----";
/** Sets the key that seals cookies apart from all other uses of a public key. */
export const LABEL_COOKIE = "cookie--";
