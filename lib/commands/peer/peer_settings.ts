/** Peer settings: which key of `[Peer]` each change of `vpn peer` is about, what it becomes, and what is said of it. */
import type { PeerUpdate } from "../../cli/command.ts";
import { BadValueError } from "../../core/config/config_error.ts";
import { formatAccessRules } from "../../core/config/values/access_rules.ts";
import { expiryTime, formatExpires, parseExpiry } from "../../core/config/values/expiry.ts";
import type { PeerSettingKey } from "../../core/peers/peer_settings.ts";
import { PEER_KEYS, type PeerSettingName } from "../../core/config/values/keys.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { readPresharedKey } from "../keys.ts";

/** As the value of any key: the key is taken out. */
const NONE = "none";
/** As the value of a secret: it comes by standard input, where no other user sees it. */
const STANDARD_INPUT = "-";
/** What both ends have to say alike. */
const SHARED: ReadonlySet<PeerSettingName> = new Set(["PresharedKey", "AllowedIPs"]);

/** What one peer alone can have. */
const SINGLE: ReadonlySet<PeerSettingName> = new Set([
  "Name",
  "PresharedKey",
  "AllowedIPs",
  "Endpoint",
]);

/** What becomes of a key of `[Peer]`. */
export interface PeerKeyEdit {
  readonly key: PeerSettingKey;
  /** One line, without `#`; null takes the key out. */
  readonly value: string | null;
}

/** An edit, and what is said once it is made. */
export interface PeerSettingChange {
  readonly edit: PeerKeyEdit;
  /** @param title what the client is called, before the change */
  readonly done: (title: string, configPath: string) => string;
}

/**
 * What a change comes to.
 *
 * @param now Unix ms
 * @throws {AppError} for a value that its key does not take
 */
export async function settingChange(request: PeerUpdate, now: number): Promise<PeerSettingChange> {
  switch (request.action) {
    case "enable":
      return {
        edit: { key: "Enabled", value: null },
        done: (title, path) => `Enabled ${title} in ${path}.`,
      };
    case "disable":
      return {
        edit: { key: "Enabled", value: "no" },
        done: (title, path) => `Disabled ${title} in ${path}.`,
      };
    case "expire": {
      const time = expiryTime(request.expiry, now);
      const value = time === null ? null : formatExpires(time);
      const ends = time === null ? "has no end" : `${time <= now ? "ended" : "ends"} at ${value}`;
      return {
        edit: { key: "Expires", value },
        done: (title, path) => `The access of ${title} in ${path} ${ends}.`,
      };
    }
    case "rename":
      return {
        edit: { key: "Name", value: request.newName },
        done: (title, path) => `Renamed ${title} in ${path} to ${request.newName}.`,
      };
    case "set":
      return await set(request, now);
  }
}

async function set(
  { name, key, value: given }: Extract<PeerUpdate, { readonly action: "set" }>,
  now: number,
): Promise<PeerSettingChange> {
  if (name.startsWith("@") && SINGLE.has(key)) {
    throw refused(`Cannot set ${key} of ${name}: each client needs its own: give one NAME`);
  }
  const value = await valueOf(key, given, now);
  const hint = SHARED.has(key) ? ` The client's own configuration has to say what fits it.` : "";
  const shown = key === "PresharedKey" ? "a new one" : value;
  return {
    edit: { key, value },
    done: (title, path) =>
      value === null
        ? `Removed ${key} of ${title} from ${path}.${hint}`
        : `Set ${key} of ${title} in ${path} to ${shown}.${hint}`,
  };
}

async function valueOf(key: PeerSettingName, given: string, now: number): Promise<string | null> {
  if (given.toLowerCase() === NONE) return null;
  if (key === "PresharedKey") {
    if (given === STANDARD_INPUT) return await readPresharedKey();
    throw refused(
      "PresharedKey: other users can see what stands in a command: give `-`, and the key by standard input, as in " +
        "`vpn genpsk | vpn peer set NAME PresharedKey -`",
    );
  }
  // What a file would have on another line, or as a comment.
  if (/[\r\n#]/.test(given)) throw refused(`${key}: a value is one line, without "#"`);
  const entry = { fileName: "", line: 0, key, value: given.trim() };
  try {
    if (key === "Expires" || key === "KeyExpires") {
      const time = expiryTime(parseExpiry(entry), now);
      return time === null ? null : formatExpires(time);
    }
    if (key === "Name") return PEER_KEYS.Name.parse(entry);
    if (key === "Groups") {
      const groups = PEER_KEYS.Groups.parse(entry);
      if (groups.length === 0) throw refused('Groups: give names, or "none"');
      return groups.join(", ");
    }
    if (key === "Allow" || key === "Deny") {
      const rules = PEER_KEYS[key].parse(entry);
      if (rules.length === 0) throw refused(`${key}: give rules, or "none"`);
      return formatAccessRules(rules);
    }
    if (key !== "AllowedIPs") {
      PEER_KEYS[key].parse(entry);
      return entry.value;
    }
    const networks = PEER_KEYS.AllowedIPs.parse(entry);
    if (networks.length === 0) throw refused('AllowedIPs: give networks, or "none"');
    return networks.map(({ text }) => text).join(", ");
  } catch (error) {
    if (error instanceof BadValueError) throw refused(`${key}: ${error.problem}`);
    throw error;
  }
}

function refused(message: string): AppError {
  return new AppError(message, { exitCode: ExitCode.usage });
}
