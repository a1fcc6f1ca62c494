/** Key pairs for configuration tests, as text. They protect nothing. */
import { encodeKey } from "../../../lib/core/config/values/key_text.ts";
import { publicKey } from "../../../lib/core/noise/x25519.ts";

/** A private key made of one byte repeated, and its public key. */
export function sampleKeys(byte: number): { privateKey: string; publicKey: string } {
  const secret = new Uint8Array(32).fill(byte);
  return { privateKey: encodeKey(secret), publicKey: encodeKey(publicKey(secret)) };
}
