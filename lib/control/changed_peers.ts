/** Changed peers: what becomes of a tunnel's peers by changes that are asked for. */
import { encodeKey } from "../core/config/values/key_text.ts";
import { NetworkOwners } from "../core/peers/network_owners.ts";
import type { Ipv4Prefix } from "../core/wire/ipv4_text.ts";
import type { Ipv6PrefixText } from "../core/wire/ipv6_prefix.ts";

/** What of a peer is looked at. */
interface PlacedPeer {
  readonly publicKey: Uint8Array;
  readonly allowedIps: readonly Ipv4Prefix[];
  readonly allowedIps6: readonly Ipv6PrefixText[];
  readonly endpoint: unknown;
}

/** A change of such peers. */
export type ChangeOf<Peer> =
  /**
   * A peer as it shall be, new or not; without an endpoint, one that is there stays where it is. It may have been known
   * by another key, in base64.
   */
  | { readonly kind: "put"; readonly peer: Peer; readonly replaces?: string }
  | { readonly kind: "remove"; readonly publicKey: Uint8Array };

/**
 * The peers as changes make them; a network belongs to the peer that was given it last, as in WireGuard. The cost grows
 * with the peers and changes, not with their product: thousands may come at once. In steps, see `paced()`.
 */
export function* changedPeers<Peer extends PlacedPeer>(
  peers: ReadonlyMap<string, Peer>,
  changes: readonly ChangeOf<Peer>[],
): Generator<void, ReadonlyMap<string, Peer>> {
  const changed = new Map(peers);
  const networks = yield* NetworkOwners.of(peers);
  for (const change of changes) {
    yield;
    if (change.kind === "remove") {
      const key = encodeKey(change.publicKey);
      networks.release(key);
      changed.delete(key);
      continue;
    }
    const key = encodeKey(change.peer.publicKey);
    const { replaces = key } = change;
    networks.release(key);
    networks.release(replaces);
    const earlier = changed.get(key) ?? changed.get(replaces);
    if (replaces !== key) changed.delete(replaces);
    for (const network of change.peer.allowedIps) networks.give(network, key);
    for (const network of change.peer.allowedIps6) networks.give(network, key);
    // Where it is to be looked for otherwise, once it is let in again.
    const endpoint = change.peer.endpoint ?? earlier?.endpoint ?? null;
    changed.set(key, { ...change.peer, endpoint });
  }
  for (const key of networks.bereft) {
    const peer = changed.get(key);
    if (peer !== undefined) changed.set(key, { ...peer, ...networks.networksOf(key) });
  }
  return changed;
}

/** The keys of the peer that a change is about: the one that it is to have, and another that it had. */
export function keysOf(change: ChangeOf<Pick<PlacedPeer, "publicKey">>): string[] {
  if (change.kind === "remove") return [encodeKey(change.publicKey)];
  const { peer, replaces } = change;
  return [encodeKey(peer.publicKey), ...replaces === undefined ? [] : [replaces]];
}
