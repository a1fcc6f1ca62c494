/** User key: by which NATS knows a gateway. */
import { nkeys } from "@nats-io/transport-node";

/** A new one; the seed is secret. */
export function newUserKey(): { readonly seed: string; readonly publicKey: string } {
  const pair = nkeys.createUser();
  try {
    return { seed: new TextDecoder().decode(pair.getSeed()), publicKey: pair.getPublicKey() };
  } finally {
    pair.clear();
  }
}

/** The public key of what is in a file of credentials; null where that is a JWT, or no key. */
export function publicUserKey(text: string): string | null {
  const [seed] = /\bSU[A-Z2-7]{56}\b/.exec(text) ?? [];
  if (seed === undefined || text.includes("BEGIN NATS USER JWT")) return null;
  try {
    const pair = nkeys.fromSeed(new TextEncoder().encode(seed));
    try {
      return pair.getPublicKey();
    } finally {
      pair.clear();
    }
  } catch {
    // Its own checksum is wrong.
    return null;
  }
}
