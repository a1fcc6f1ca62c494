/** What the keys of `[Peer]` about its next key pair mean, the key that each is about first. */
import type { NextKey, PeerConfig } from "../../../lib/core/config/config.ts";
import { decodeKey } from "../../../lib/core/config/values/key_text.ts";
import { sampleKeys } from "./sample_keys.ts";

const NEXT = sampleKeys(77);

function nextKey(given: Partial<NextKey> = {}): Pick<PeerConfig, "nextKey"> {
  const none = { presharedKey: null, since: null };
  return { nextKey: { publicKey: decodeKey(NEXT.publicKey)!, ...none, ...given } };
}

export const NEXT_KEY_CASES: readonly [line: string, expected: Pick<PeerConfig, "nextKey">][] = [
  [`NextPublicKey = ${NEXT.publicKey}`, nextKey()],
  [
    `NextPresharedKey = ${NEXT.privateKey}\nNextPublicKey = ${NEXT.publicKey}`,
    nextKey({ presharedKey: decodeKey(NEXT.privateKey)! }),
  ],
  [
    `KeyExpires = 2027-01-31\nNextPublicKey = ${NEXT.publicKey}`,
    nextKey({ since: Date.UTC(2027, 0, 31) }),
  ],
];
