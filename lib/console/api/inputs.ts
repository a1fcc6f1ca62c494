/** Inputs: kinds of values that callers of the API send, each with its bounds. */
import { PEER_SETTING_KEYS, type PeerSettingName } from "../../core/config/values/keys.ts";
import { LEAST_PASSWORD, LONGEST_PASSWORD } from "../accounts/passwords.ts";
import { arrayOf, record, type Schema, text, whole } from "./schema.ts";

/** Of an account. It stands in logs and events. */
export const accountName = text({
  minLength: 1,
  maxLength: 48,
  pattern: "^[A-Za-z0-9][A-Za-z0-9._@-]*$",
});
/** One that is to be. */
export const newPassword = text({ minLength: LEAST_PASSWORD, maxLength: LONGEST_PASSWORD });
/** One that is compared. */
export const password = text({ maxLength: LONGEST_PASSWORD });
export const code = text({ minLength: 6, maxLength: 32 });
/** Of what somebody gives a name to, to know it by: one line. */
export const title = text({ minLength: 1, maxLength: 64, pattern: "^[^\\p{Cc}\\p{Zl}\\p{Zp}]+$" });
export const secret = text({ minLength: 1, maxLength: 128 });
export const entryId = text({ minLength: 1, maxLength: 64 });
export const keyInput = text({
  pattern: "^[A-Za-z0-9+/]{43}=$",
  description: "X25519 public key, base64",
});
/** As a configuration has it; the gateway says what it can be. */
export const settingText = text({ maxLength: 4096, pattern: "^[^\\p{Cc}\\p{Zl}\\p{Zp}]*$" });
export const groupNames = arrayOf(title, { maxItems: 50 });
/** Name or public key of a peer. */
export const peerNameInput = text({
  minLength: 1,
  maxLength: 128,
  pattern: "^[^\\p{Cc}\\p{Zl}\\p{Zp}]+$",
});

/** The keys of `[Peer]`, but for its secret; null takes one out. */
type PeerKey = Exclude<PeerSettingName, "PresharedKey">;
const PEER_KEYS = PEER_SETTING_KEYS.filter((key): key is PeerKey => key !== "PresharedKey");

const setting: Schema<string | null> = { anyOf: [settingText, { type: "null" }] };
export const peerSettingsInput: Schema<{ readonly [Key in PeerKey]?: string | null }> = record(
  {},
  Object.fromEntries(PEER_KEYS.map((key) => [key, setting])) as {
    readonly [Key in PeerKey]: typeof setting;
  },
);

/** Of a list that is read in parts. */
export const partQuery = {
  after: whole({ minimum: 0, description: "Only those with a greater number" }),
  limit: whole({ minimum: 1, maximum: 1000, default: 200 }),
};
