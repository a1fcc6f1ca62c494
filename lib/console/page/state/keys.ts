/** Key pairs of clients, made in the browser: the private key goes nowhere but into the configuration that is shown. */
import { x25519 } from "@noble/curves/ed25519.js";

export interface KeyPairText {
  /** Base64, as all keys. */
  readonly privateKey: string;
  readonly publicKey: string;
}

/** What of WebCrypto is used; missing on plain HTTP outside of this machine, where browsers take it away. */
type Subtle = Pick<SubtleCrypto, "generateKey" | "exportKey">;

/** Bytes of the private key at the end of its PKCS #8 (RFC 8410 section 7). */
const KEY_SIZE = 32;

/** By WebCrypto (its X25519 came to browsers in 2023 to 2025), else by the library. */
export async function makeKeyPair(
  subtle: Subtle | undefined = globalThis.crypto.subtle,
): Promise<KeyPairText> {
  const secret = await secretByWebCrypto(subtle) ?? x25519.utils.randomSecretKey();
  // As wg(8) writes them: the bits that X25519 sets and clears in any case (RFC 7748 section 5).
  secret[0]! &= 248;
  secret[31] = (secret[31]! & 127) | 64;
  const pair = { privateKey: base64(secret), publicKey: base64(x25519.getPublicKey(secret)) };
  secret.fill(0);
  return pair;
}

async function secretByWebCrypto(subtle: Subtle | undefined): Promise<Uint8Array | null> {
  if (subtle === undefined) return null;
  try {
    const { privateKey } = await subtle.generateKey({ name: "X25519" }, true, [
      "deriveBits",
    ]) as CryptoKeyPair;
    const pkcs8 = new Uint8Array(await subtle.exportKey("pkcs8", privateKey));
    return pkcs8.slice(-KEY_SIZE);
  } catch {
    // NotSupportedError of an older browser.
    return null;
  }
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}
