/** Key succession: what becomes of a peer whose next key takes the place of its own. */
import type { NextKey } from "../config/config.ts";
import { encodeKey } from "../config/values/key_text.ts";
import type { PeerSettings } from "./peer_settings.ts";
import type { StoreOutcome } from "./peer_store.ts";

/** The settings of a peer that is known by its next key from now on, and by no other. */
export function succeededSettings(
  { NextPublicKey: _next, NextPresharedKey: secret, KeyExpires: _expires, ...others }: PeerSettings,
): PeerSettings {
  const { PresharedKey: _secret, ...rest } = others;
  return { ...rest, ...(secret === undefined ? {} : { PresharedKey: secret }) };
}

/** The keys whose place others have taken, by those: peers that went, and came by their next key. */
export function successions(
  { before, after }: Pick<StoreOutcome, "before" | "after">,
): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [key, { NextPublicKey: next }] of before.peers) {
    if (next === undefined || after.peers.has(key) || before.peers.has(next)) continue;
    if (after.peers.has(next)) found.set(next, key);
  }
  return found;
}

/** What the keys of a configured peer are about. */
interface KeyedPeer {
  readonly publicKey: Uint8Array;
  readonly presharedKey: Uint8Array | null;
  readonly nextKey: NextKey | null;
}

/** Whether the key that a peer has been given counts alone by now, used or not. */
export function isKeyDue({ nextKey }: Pick<KeyedPeer, "nextKey">, now: number): boolean {
  const since = nextKey?.since ?? null;
  return since !== null && now >= since;
}

/**
 * Peers by the keys that hold: by the next one, where its time has come, or it has taken over in what runs, and the
 * configuration could not be told.
 *
 * @param isKnown whether what runs has a peer of this key, in base64
 */
export function currentKeys<Peer extends KeyedPeer>(
  peers: readonly Peer[],
  now: number,
  isKnown: (key: string) => boolean = () => false,
): readonly Peer[] {
  return peers.map((peer) => {
    const { nextKey } = peer;
    if (nextKey === null) return peer;
    const { publicKey, presharedKey } = nextKey;
    const isCurrent = isKeyDue(peer, now) || isKnown(encodeKey(publicKey));
    return isCurrent ? { ...peer, publicKey, presharedKey, nextKey: null } : peer;
  });
}
