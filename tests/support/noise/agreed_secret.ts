/** Agreed secret: what a secret and a public key give by X25519, for tests that need no key pair. */
import type { X25519Provider } from "../../../lib/core/noise/key_pair.ts";
import { builtinX25519 } from "../../../lib/core/noise/x25519.ts";

/** The shared secret, 32 bytes; null where the public key is of low order. */
export function agreedSecret(
  secret: Uint8Array,
  publicKey: Uint8Array,
  provider: X25519Provider = builtinX25519,
): Uint8Array<ArrayBuffer> | null {
  const pair = provider.keyPair(secret);
  // What is written is told apart from what was there.
  const result = new Uint8Array(32).fill(0xa5);
  const agreed = pair.agree(publicKey, result);
  pair.destroy();
  return agreed ? result : null;
}
