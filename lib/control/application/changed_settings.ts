/** Changed settings: those of a peer with keys changed, as a person may give them. */
import { ConfigError } from "../../core/config/config_error.ts";
import { RefusalError } from "../../core/config/refusal_error.ts";
import { expiryTime, formatExpires, parseExpiry } from "../../core/config/values/expiry.ts";
import { entryOf, type PeerSettings, withoutPlace } from "../../core/peers/peer_settings.ts";
import type { PeerKeyChanges } from "./methods.ts";

/** @param now Unix ms, from which periods begin @throws {RefusalError} */
export function withKeysSet(
  before: PeerSettings,
  set: PeerKeyChanges,
  now: number,
): PeerSettings {
  const changed: Record<string, string> = { ...before };
  for (const [key, value] of Object.entries(set)) {
    if (value === undefined) continue;
    const isPeriod = key === "Expires" || key === "KeyExpires";
    const text = isPeriod && value !== null ? expiryText(key, value, now) : value;
    if (text === null) delete changed[key];
    else if (key !== "NextPublicKey") changed[key] = text;
    else throw new RefusalError("invalid", "NextPublicKey: it goes with a new pair of keys");
  }
  if (set.NextPublicKey !== null) return changed;
  const { NextPresharedKey: _secret, KeyExpires: _expires, ...others } = changed;
  return others;
}

/** A moment as it is kept; null for never. @throws {RefusalError} */
export function expiryText(
  key: "Expires" | "KeyExpires",
  value: string,
  now: number,
): string | null {
  try {
    const time = expiryTime(parseExpiry(entryOf(key, value)), now);
    return time === null ? null : formatExpires(time);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new RefusalError("invalid", withoutPlace(error.message));
  }
}
