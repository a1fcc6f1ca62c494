/**
 * Store entries: how peers, groups and changes of them stand in a bucket of keys and values that gateways share.
 * What is read there may be anything: another's program, a later version, or somebody with the credentials wrote it.
 */
import { ConfigError } from "../config/config_error.ts";
import { decodeKey } from "../config/values/key_text.ts";
import { GROUP_KEYS, PEER_KEYS } from "../config/values/keys.ts";
import {
  type GroupSettings,
  groupSettings,
  type PeerSettings,
  peerSettings,
  settledGroup,
  settledPeer,
  withoutPlace,
} from "../peers/peer_settings.ts";

/** The key of the last change that was made, and the only one by which changes are made. */
export const COMMIT_KEY = "commit";
/** What all keys of peers, and of groups, begin with. */
const PEER_PREFIX = "peer.";
const GROUP_PREFIX = "group.";

/** Bytes of an entry, and of a commit: a server of NATS takes 1 MiB in a message, as it comes. */
const MAX_ENTRY_SIZE = 64 * 1024;
export const MAX_COMMIT_SIZE = 900 * 1024;
/** Commits that a commit names besides itself: one whose answer was lost is looked for among them. */
export const RECENT_COMMITS = 32;

/** What an entry is about. */
export type EntryId =
  | { readonly kind: "peer"; readonly publicKey: string }
  | { readonly kind: "group"; readonly name: string };

/** Settings as they count, or why they do not; null for an entry that is gone. */
export type EntryValue =
  | { readonly settings: PeerSettings | GroupSettings }
  | { readonly problem: string };

/** Changes that are made together: all of them from the moment that this is in the bucket. */
export interface Commit {
  /** Random, by which its writer knows it again. */
  readonly id: string;
  /** The ids of those before it, the last one first. */
  readonly recent: readonly string[];
  /** By key, the value that it is to have; null: it is to go. */
  readonly changes: ReadonlyMap<string, EntryValue | null>;
}

export function peerKey(publicKey: string): string {
  return PEER_PREFIX + decodeKey(publicKey)!.toBase64({ alphabet: "base64url", omitPadding: true });
}

export function groupKey(name: string): string {
  const bytes = new TextEncoder().encode(name);
  return GROUP_PREFIX + bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/** What a key is of; null for a key that is nothing of ours. Each peer and group has one spelling. */
export function entryOfKey(key: string): EntryId | null {
  try {
    if (key.startsWith(PEER_PREFIX)) {
      const publicKey = bytesOf(key.slice(PEER_PREFIX.length)).toBase64();
      const isOurs = decodeKey(publicKey) !== null && peerKey(publicKey) === key;
      return isOurs ? { kind: "peer", publicKey } : null;
    }
    if (key.startsWith(GROUP_PREFIX)) {
      const name = strict.decode(bytesOf(key.slice(GROUP_PREFIX.length)));
      return groupKey(name) === key ? { kind: "group", name } : null;
    }
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
  }
  return null;
}

const strict = new TextDecoder("utf-8", { fatal: true });

function bytesOf(text: string): Uint8Array {
  return Uint8Array.fromBase64(text, { alphabet: "base64url" });
}

export function entryBytes(settings: PeerSettings | GroupSettings): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(settings));
}

/** What an entry's bytes say. Never throws. */
export function readEntry(id: EntryId, bytes: Uint8Array): EntryValue {
  if (bytes.length > MAX_ENTRY_SIZE) {
    return { problem: `it is longer than ${MAX_ENTRY_SIZE / 1024} KiB` };
  }
  return settingsOf(id, parsed(bytes));
}

export function commitBytes(commit: Commit): Uint8Array<ArrayBuffer> {
  const changes = Array.from(
    commit.changes,
    ([key, value]) => [key, value !== null && "settings" in value ? value.settings : null],
  );
  return new TextEncoder().encode(
    JSON.stringify({ id: commit.id, recent: commit.recent, changes }),
  );
}

/** What a commit's bytes say; null where they are none. Never throws. */
export function readCommit(bytes: Uint8Array): Commit | null {
  if (bytes.length > MAX_COMMIT_SIZE) return null;
  const { id, recent, changes } = record(parsed(bytes)) ?? {};
  if (typeof id !== "string" || !Array.isArray(recent) || !Array.isArray(changes)) return null;
  const read = new Map<string, EntryValue | null>();
  for (const change of changes) {
    if (!Array.isArray(change) || typeof change[0] !== "string") return null;
    const of = entryOfKey(change[0]);
    if (of === null) return null;
    read.set(change[0], change[1] === null ? null : settingsOf(of, change[1]));
  }
  const ids = recent.filter((each) => typeof each === "string").slice(0, RECENT_COMMITS);
  return { id, recent: ids, changes: read };
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(strict.decode(bytes));
  } catch {
    return undefined;
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> | null {
  const isRecord = typeof value === "object" && value !== null && !Array.isArray(value);
  return isRecord ? value as Record<string, unknown> : null;
}

/** One text for one meaning. A key that is not known here may take access away: without it, the entry is not used. */
function settingsOf(id: EntryId, value: unknown): EntryValue {
  const settings = record(value);
  if (settings === null) return { problem: "it is no JSON object" };
  const known: Readonly<Record<string, unknown>> = id.kind === "peer" ? PEER_KEYS : GROUP_KEYS;
  const own = id.kind === "peer" ? "PublicKey" : "Name";
  for (const [key, text] of Object.entries(settings)) {
    if (typeof text !== "string") return { problem: `${shown(key)}: it has no text` };
    if (!Object.hasOwn(known, key) || key === own) {
      return { problem: `${shown(key)}: this version knows no such key` };
    }
  }
  try {
    return {
      settings: id.kind === "peer"
        ? peerSettings(settledPeer(decodeKey(id.publicKey)!, settings))
        : groupSettings(settledGroup(id.name, settings)),
    };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { problem: withoutPlace(error.message) };
  }
}

function shown(key: string): string {
  return JSON.stringify(key.slice(0, 40));
}
