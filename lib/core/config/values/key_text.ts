/** Keys as text: 32 bytes in the 44 characters of base64 that `wg` reads and writes. */

/** Bytes of a private, public or preshared key. */
export const KEY_LENGTH = 32;

/** A key as text. */
export function encodeKey(key: Uint8Array): string {
  return key.toBase64();
}

/**
 * The key that `text` holds, or `null`. As strict as `wg`: 44 characters of the standard alphabet, one `=`, and no
 * bits set behind the 256th, so that every key has one spelling.
 */
export function decodeKey(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) return null;
  try {
    return Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
  } catch {
    return null;
  }
}

/** What is wrong with a text that `decodeKey()` refuses, without showing any of it. */
export function keyProblem(text: string): string {
  const rule = "a key is 44 characters of base64";
  if (text.length !== 44) return `${rule}, this one has ${text.length}`;
  return `${rule}, this one is not base64 of ${KEY_LENGTH} bytes`;
}
