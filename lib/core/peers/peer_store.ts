/**
 * Peer store: where the peers and groups of a gateway are kept, and may be changed by several at once. A file is one;
 * whatever it is, it holds to `tests/support/control/peer_store_suite.ts`.
 */
import { decodeKey } from "../config/values/key_text.ts";
import { ConfigError } from "../config/config_error.ts";
import {
  type GroupSettings,
  groupSettings,
  type PeerSettings,
  peerSettings,
  settledGroup,
  settledPeer,
  withoutPlace,
} from "./peer_settings.ts";
import { RefusalError } from "../config/refusal_error.ts";

/** All there is at a moment. */
export interface StoreTable {
  /** By public key, in base64. */
  readonly peers: ReadonlyMap<string, PeerSettings>;
  /** By name. */
  readonly groups: ReadonlyMap<string, GroupSettings>;
}

/** The same with its revisions: any text, another one after each change of what it is of. */
export interface StoredPeers extends StoreTable {
  readonly revision: string;
  /** By public key, and by name. */
  readonly peerRevisions: ReadonlyMap<string, string>;
  readonly groupRevisions: ReadonlyMap<string, string>;
}

/**
 * What becomes of a peer or a group: it has these settings from now on and no others, or is gone. `expected` is the
 * revision that it must have, null where it must not be there; left out, any will do.
 */
export type StoreChange =
  & { readonly expected?: string | null }
  & (
    | { readonly kind: "put-peer"; readonly publicKey: string; readonly settings: PeerSettings }
    | { readonly kind: "delete-peer"; readonly publicKey: string }
    | { readonly kind: "put-group"; readonly name: string; readonly settings: GroupSettings }
    | { readonly kind: "delete-group"; readonly name: string }
  );

/** A write that is about to be made. */
export interface StoreOutcome {
  readonly before: StoreTable;
  readonly after: StoreTable;
}

export interface PeerStore {
  /** @throws {RefusalError} `unavailable`, or `invalid` where what is kept cannot be read */
  snapshot(): Promise<StoredPeers>;

  /** Tells of changes by anybody, until it is disposed of; of several in a row, the last may be all. */
  watch(onChange: (snapshot: StoredPeers) => void): Disposable;

  /**
   * Makes changes, in this order, all or none of them.
   *
   * @param make says what they are, given what is kept
   * @param accept is asked before they are kept; what it throws keeps them from being made
   * @returns what is kept after them
   * @throws {RefusalError} `revision` where something is not as expected; for what cannot be, and where it cannot be
   *   kept: nothing is changed then, though `accept` may have been asked
   */
  change(
    make: (before: StoredPeers) => readonly StoreChange[],
    accept?: (outcome: StoreOutcome) => Promise<void>,
  ): Promise<StoredPeers>;
}

/** The rules that every store holds to. @throws {RefusalError} */
export function changedTable(before: StoredPeers, changes: readonly StoreChange[]): StoreTable {
  const peers = new Map(before.peers);
  const groups = new Map(before.groups);
  for (const change of changes) {
    requireExpected(before, change);
    switch (change.kind) {
      case "put-peer":
        peers.set(change.publicKey, canonicalPeer(change.publicKey, change.settings));
        break;
      case "delete-peer":
        peers.delete(change.publicKey);
        break;
      case "put-group":
        groups.set(change.name, canonicalGroup(change.name, change.settings));
        break;
      case "delete-group":
        groups.delete(change.name);
        break;
    }
  }
  const table = { peers, groups };
  requireDistinct(table, before);
  return table;
}

function requireExpected(before: StoredPeers, change: StoreChange): void {
  if (change.expected === undefined) return;
  const isPeer = "publicKey" in change;
  const revision = isPeer
    ? before.peerRevisions.get(change.publicKey)
    : before.groupRevisions.get(change.name);
  if ((revision ?? null) === change.expected) return;
  const what = isPeer ? `peer ${change.publicKey}` : `group ${change.name}`;
  if (change.expected === null) {
    throw new RefusalError("conflict", `Cannot add ${what}: it is there`);
  }
  throw new RefusalError(
    "revision",
    `Cannot change ${what}: it has been changed meanwhile: read it again`,
  );
}

/** One text for one meaning, by which it can be compared. @throws {RefusalError} */
function canonicalPeer(key: string, settings: PeerSettings): PeerSettings {
  const publicKey = decodeKey(key);
  if (publicKey === null) throw new RefusalError("invalid", "PublicKey: this is no key");
  return checked(() => peerSettings(settledPeer(publicKey, settings)));
}

function canonicalGroup(name: string, settings: GroupSettings): GroupSettings {
  return checked(() => groupSettings(settledGroup(name, settings)));
}

function checked<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new RefusalError("invalid", withoutPlace(error.message));
  }
}

/** A name, and a network, is one peer's; the groups that peers are in are there. */
function requireDistinct({ peers, groups }: StoreTable, before: StoreTable): void {
  const names = new Map<string, string>();
  const networks = new Map<string, string>();
  const nextKeys = new Map<string, string>();
  for (const [key, settings] of peers) {
    const { Name: name, Groups, NextPublicKey: next } = settings;
    if (next !== undefined) {
      const owner = peers.has(next) ? next : nextKeys.get(next);
      if (owner !== undefined) throw taken("this key", owner, before);
      nextKeys.set(next, key);
    }
    const named = name === undefined ? undefined : names.get(name);
    if (named !== undefined) {
      const had = before.peers.get(named)?.Name === name;
      throw taken(`the name ${name}`, had ? named : key, before);
    }
    if (name !== undefined) names.set(name, key);
    for (const network of networksOf(settings)) {
      const owner = networks.get(network);
      if (owner !== undefined) {
        const had = networksOf(before.peers.get(owner)).includes(network);
        throw taken(network, had ? owner : key, before);
      }
      networks.set(network, key);
    }
    const unknown = Groups?.split(", ").find((group) => !groups.has(group));
    if (unknown !== undefined) {
      throw new RefusalError("invalid", `Groups: there is no [Group] with Name = ${unknown}`);
    }
  }
}

function networksOf(settings: PeerSettings | undefined): readonly string[] {
  return settings?.AllowedIPs?.split(", ") ?? [];
}

/** @param key of who had it before */
function taken(what: string, key: string, before: StoreTable): RefusalError {
  const owner = before.peers.get(key)?.Name ?? key;
  return new RefusalError("conflict", `${what} belongs to ${owner}: take it from that one first`);
}
