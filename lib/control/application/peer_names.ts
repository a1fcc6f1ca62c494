/** Peer names: who is meant by a name or a key in a change, and what keeps a change from being made of them. */
import { RefusalError } from "../../core/config/refusal_error.ts";
import { nearestName } from "../../core/config/text/nearest.ts";
import { decodeKey, encodeKey } from "../../core/config/values/key_text.ts";
import type { PeerSettings } from "../../core/peers/peer_settings.ts";
import type { StoredPeers, StoreTable } from "../../core/peers/peer_store.ts";
import type { GroupEntry } from "./methods.ts";

export function groupsOf({ Groups }: PeerSettings): readonly string[] {
  return Groups?.split(", ") ?? [];
}

/** @throws {RefusalError} where there is none of this name or public key, with the name that may have been meant */
export function findKey(table: StoreTable, name: string): string {
  return findKeys(table, [name])[0]!;
}

/** The same of several, in one pass over the peers: there may be thousands of each. @throws {RefusalError} */
export function findKeys({ peers }: StoreTable, names: readonly string[]): string[] {
  const byName = new Map(Array.from(peers, ([key, { Name }]) => [Name, key]));
  return names.map((name) => {
    const key = peers.has(name) ? name : byName.get(name);
    if (key !== undefined) return key;
    throw unknown("peer", name, Array.from(peers.values()).flatMap(({ Name }) => Name ?? []));
  });
}

export function unknown(what: string, name: string, known: readonly string[]): RefusalError {
  const nearest = nearestName(name, known);
  const help = nearest === undefined ? "" : `: did you mean "${nearest}"?`;
  return new RefusalError("not-found", `There is no ${what} ${JSON.stringify(name)}${help}`);
}

export function requireFreeName(
  { peers }: StoreTable,
  name: string,
  action: string,
  self?: string,
): void {
  for (const [key, peer] of peers) {
    if (peer.Name !== name || key === self) continue;
    throw new RefusalError(
      "conflict",
      `Cannot ${action}: another peer has this name: choose another, or \`vpn peer remove\` that one first`,
    );
  }
}

export function requireRevision(
  found: string | undefined,
  wanted: string | undefined,
  what: string,
): void {
  if (wanted === undefined || wanted === found) return;
  throw new RefusalError(
    "revision",
    `Cannot change ${what}: it has been changed meanwhile: read it again`,
  );
}

export function keyOf(text: string): string {
  const key = decodeKey(text.trim());
  if (key === null) throw new RefusalError("invalid", "PublicKey: this is no key");
  return encodeKey(key);
}

/** Who is in which group, by their names, in steps. */
export function* membersIn(
  { peers }: StoreTable,
): Generator<void, ReadonlyMap<string, readonly string[]>> {
  const members = new Map<string, string[]>();
  for (const [key, peer] of peers) {
    yield;
    for (const group of groupsOf(peer)) {
      const those = members.get(group);
      if (those === undefined) members.set(group, [peer.Name ?? key]);
      else those.push(peer.Name ?? key);
    }
  }
  return members;
}

/** A group that is there, as callers are told. */
export function groupEntry(
  snapshot: StoredPeers,
  name: string,
  members: readonly string[],
): GroupEntry {
  const { Allow = "", Deny = "" } = snapshot.groups.get(name)!;
  return { name, allow: Allow, deny: Deny, members, revision: snapshot.groupRevisions.get(name)! };
}
