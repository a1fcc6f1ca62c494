/**
 * Followed name: the rules of peers and groups name a peer by what it is called. When that changes, so do they in the
 * same change: a `Deny` of a peer would else deny nobody any more.
 */
import { formatAccessRules, parseAccessRules } from "../../core/config/values/access_rules.ts";
import { entryOf, type PeerSettings } from "../../core/peers/peer_settings.ts";
import type { StoreChange, StoredPeers } from "../../core/peers/peer_store.ts";

type Rules = Pick<PeerSettings, "Allow" | "Deny">;

/** The change of a peer, which may give it another name, with those of the rules that name it. */
export function withFollowedName(
  before: StoredPeers,
  publicKey: string,
  settings: PeerSettings,
): StoreChange[] {
  const from = before.peers.get(publicKey)!.Name;
  const to = settings.Name;
  const own: StoreChange = { kind: "put-peer", publicKey, settings };
  if (from === undefined || to === undefined || from === to) return [own];
  const changes: StoreChange[] = [{ ...own, settings: renamedIn(settings, from, to) ?? settings }];
  for (const [key, peer] of before.peers) {
    const renamed = key === publicKey ? null : renamedIn(peer, from, to);
    if (renamed !== null) changes.push({ kind: "put-peer", publicKey: key, settings: renamed });
  }
  for (const [name, group] of before.groups) {
    const renamed = renamedIn(group, from, to);
    if (renamed !== null) changes.push({ kind: "put-group", name, settings: renamed });
  }
  return changes;
}

/** Null where no rule names the peer. */
function renamedIn<T extends Rules>(settings: T, from: string, to: string): T | null {
  const changed: { -readonly [Key in keyof Rules]: Rules[Key] } = {};
  for (const key of ["Allow", "Deny"] as const) {
    const text = settings[key];
    if (text === undefined || !text.includes(from)) continue;
    const rules = parseAccessRules(entryOf(key, text));
    const isNamed = rules.some(({ target }) => target.kind === "peer" && target.name === from);
    if (!isNamed) continue;
    changed[key] = formatAccessRules(
      rules.map((rule) =>
        rule.target.kind === "peer" && rule.target.name === from
          ? { ...rule, target: { kind: "peer", name: to } }
          : rule
      ),
    );
  }
  return Object.keys(changed).length === 0 ? null : { ...settings, ...changed };
}
