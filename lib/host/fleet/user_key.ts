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
