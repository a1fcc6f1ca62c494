/** Peers of a configuration as a peer store has them, and the text of the file after a change of them. */
import { createHash } from "node:crypto";
import type { Config } from "../../core/config/config.ts";
import { SectionEditor } from "../../core/config/text/section_edit.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { GROUP_KEYS, PEER_KEYS } from "../../core/config/values/keys.ts";
import { successions } from "../../core/peers/key_succession.ts";
import { groupSettings, type PeerSettings, peerSettings } from "../../core/peers/peer_settings.ts";
import type { StoredPeers, StoreOutcome, StoreTable } from "../../core/peers/peer_store.ts";

/** Base64 digits of a revision: 132 bits of a hash. */
const REVISION_LENGTH = 22;

/** What a configuration says of its peers and groups, in steps. */
export function* snapshotSteps(
  config: Pick<Config, "peers" | "groups">,
): Generator<void, StoredPeers> {
  const peers = new Map<string, PeerSettings>();
  for (const peer of config.peers) {
    yield;
    peers.set(encodeKey(peer.publicKey), peerSettings(peer));
  }
  const groups = new Map(config.groups.map((group) => [group.name, groupSettings(group)]));
  const peerRevisions = yield* revisions(peers);
  const groupRevisions = yield* revisions(groups);
  const revision = revisionOf([[...peerRevisions], [...groupRevisions]]);
  return { peers, groups, revision, peerRevisions, groupRevisions };
}

function* revisions(
  all: ReadonlyMap<string, object>,
): Generator<void, ReadonlyMap<string, string>> {
  const made = new Map<string, string>();
  for (const [id, settings] of all) {
    yield;
    made.set(id, revisionOf([id, settings]));
  }
  return made;
}

/** The same for the same value; one who knows it cannot tell a secret in the value by it. */
function revisionOf(value: unknown): string {
  const hash = createHash("sha256").update(JSON.stringify(value)).digest("base64url");
  return hash.slice(0, REVISION_LENGTH);
}

/** The file's text with a change made, which was found to be possible; in steps. */
export function* editSteps(
  text: string,
  { before, after }: StoreOutcome,
): Generator<void, string> {
  const editor = yield* SectionEditor.of(text);
  const former = successions({ before, after });
  const replaced = new Set(former.values());
  for (const id of before.peers.keys()) {
    if (!after.peers.has(id) && !replaced.has(id)) editor.remove({ kind: "Peer", id });
  }
  for (const id of before.groups.keys()) {
    if (!after.groups.has(id)) editor.remove({ kind: "Group", id });
  }
  for (const [id, settings] of after.groups) {
    const earlier = before.groups.get(id);
    if (earlier === undefined) editor.add("Group", [["Name", id], ...Object.entries(settings)]);
    else setAll(editor, { kind: "Group", id }, [earlier, settings]);
  }
  for (const [id, settings] of after.peers) {
    yield;
    const known = former.get(id) ?? id;
    const earlier = before.peers.get(known);
    if (earlier === settings) continue;
    if (earlier !== undefined) {
      const of = { kind: "Peer", id: known } as const;
      setAll(editor, of, [earlier, settings]);
      if (known !== id) editor.set(of, { key: "PublicKey", value: id, repeats: false });
      continue;
    }
    const { Name, ...others } = settings;
    const name: [string, string][] = Name === undefined ? [] : [["Name", Name]];
    editor.add("Peer", [...name, ["PublicKey", id], ...Object.entries(others)]);
  }
  return editor.text;
}

function setAll(
  editor: SectionEditor,
  of: { readonly kind: "Peer" | "Group"; readonly id: string },
  [before, after]: readonly [Readonly<Record<string, string>>, Readonly<Record<string, string>>],
): void {
  const table: Readonly<Record<string, { readonly repeats: boolean }>> = of.kind === "Peer"
    ? PEER_KEYS
    : GROUP_KEYS;
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const value = after[key] ?? null;
    if (value === (before[key] ?? null)) continue;
    editor.set(of, { key, value, repeats: table[key]!.repeats });
  }
}

/**
 * Whether two tables say the same, in steps; of peers that are not `named`, a name that comes from a comment may
 * differ.
 */
export function* comparisonSteps(
  wanted: StoreTable,
  found: StoreTable,
  named: ReadonlySet<string>,
): Generator<void, boolean> {
  if (wanted.peers.size !== found.peers.size || wanted.groups.size !== found.groups.size) {
    return false;
  }
  for (const [key, settings] of wanted.peers) {
    yield;
    const other = found.peers.get(key);
    if (other === undefined) return false;
    const ignored = named.has(key) ? {} : { Name: "" };
    if (JSON.stringify({ ...settings, ...ignored }) !== JSON.stringify({ ...other, ...ignored })) {
      return false;
    }
  }
  for (const [name, settings] of wanted.groups) {
    if (JSON.stringify(settings) !== JSON.stringify(found.groups.get(name))) return false;
  }
  return true;
}
