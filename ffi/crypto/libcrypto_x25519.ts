/**
 * Libcrypto X25519: opens it, and tries it out: what goes beyond the manual's words, such as one key after another in
 * one context, is seen to give the right bytes before anything uses it.
 */
import type { Arena } from "../arena.ts";
import { LibcryptoX25519, loadX25519 } from "./libcrypto_key_pair.ts";

const KEY_SIZE = 32;
/** RFC 7748 section 6.1: Alice's secret and public key, Bob's public key, and what they agree on. */
const ALICE_SECRET = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
const ALICE_PUBLIC = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
const BOB_PUBLIC = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
const SHARED = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";

/**
 * Opens X25519 of libcrypto for this thread.
 *
 * @param arena some bytes of it become scratch space
 * @param name file name or path
 * @returns null where it cannot be loaded, is older than 1.1.1, refuses X25519, or gets RFC 7748's example wrong
 * @throws {Deno.errors.NotCapable} without `--allow-ffi`
 */
export function openX25519(arena: Arena, name: string): LibcryptoX25519 | null {
  const library = loadX25519(name);
  if (library === null) return null;
  const provider = new LibcryptoX25519(library.symbols, arena, () => library.close());
  if (x25519Works(provider)) return provider;
  provider.close();
  return null;
}

/** Whether a library gives RFC 7748's example, for one key after another, and refuses points of low order. */
export function x25519Works(library: LibcryptoX25519): boolean {
  const pair = library.takeSecret(Uint8Array.fromHex(ALICE_SECRET));
  if (pair === null) return false;
  const result = new Uint8Array(KEY_SIZE);
  const gives = (publicKey: Uint8Array, expected: string | null) =>
    pair.agree(publicKey, result) === (expected !== null) &&
    (expected === null || result.toHex() === expected);
  const basePoint = new Uint8Array(KEY_SIZE);
  basePoint[0] = 9;
  const zero = new Uint8Array(KEY_SIZE);
  const isRight = pair.public.toHex() === ALICE_PUBLIC &&
    gives(Uint8Array.fromHex(BOB_PUBLIC), SHARED) && gives(basePoint, ALICE_PUBLIC) &&
    gives(zero, null) && gives(Uint8Array.fromHex(BOB_PUBLIC), SHARED);
  pair.destroy();
  return isRight;
}
