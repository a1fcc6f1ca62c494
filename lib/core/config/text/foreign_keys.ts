/**
 * Keys of other programs' dialects: Cloudflare WARP's, AmneziaWG's, the Android app's. A value that changes the
 * messages is refused, since the peer would not understand ours; any other has no effect.
 */
import { ConfigError } from "../config_error.ts";
import type { Entry, SectionName } from "./config_document.ts";
import type { Notes } from "./notes.ts";

/** The padding and the message types of AmneziaWG that leave WireGuard's messages as they are, by section and key. */
const AMNEZIA_MESSAGES: ReadonlyMap<string, string> = new Map([
  ...["s1", "s2", "s3", "s4"].map((key) => [`Interface ${key}`, "0"] as const),
  ...["1", "2", "3", "4"].map((type) => [`Interface h${type}`, type] as const),
  ["Peer advancedsecurity", "off"],
]);
/** Its junk packets, which any other WireGuard drops. */
const AMNEZIA_JUNK = /^Interface (?:jc|jmin|jmax|j[1-3]|i[1-5]|itime)$/;
/** Which apps of an Android phone use the tunnel. */
const ANDROID = /^Interface (?:in|ex)cludedapplications$/;

/**
 * Takes a key of another program.
 *
 * @returns false where it is none that is known
 * @throws {ConfigError} where its value means messages that are not WireGuard's
 */
export function takeForeignKey(section: SectionName, entry: Entry, notes: Notes): boolean {
  const key = `${section} ${entry.key.toLowerCase()}`;
  const harmless = AMNEZIA_MESSAGES.get(key);
  if (harmless !== undefined && entry.value.toLowerCase() !== harmless) {
    throw new ConfigError(
      `${
        placeOf(entry)
      }: this is AmneziaWG, whose messages differ from WireGuard's, and vpn does not support it: ` +
        "get a file for WireGuard from the operator of the server",
    );
  }
  if (harmless !== undefined || AMNEZIA_JUNK.test(key)) {
    notes.warnOnce(entry, "AmneziaWG's keys have no effect: vpn uses plain WireGuard");
    return true;
  }
  if (ANDROID.test(key)) {
    notes.warn(entry, "has no effect: all programs on this host use the tunnel");
    return true;
  }
  if (entry.key.toLowerCase() !== "reserved") return false;
  if (/[1-9a-z]/i.test(entry.value)) {
    throw new ConfigError(
      `${
        placeOf(entry)
      }: this is the client id of Cloudflare WARP, sent in each message where WireGuard has zeros, and ` +
        "vpn does not support that: remove the line to try without it",
    );
  }
  return true;
}

function placeOf({ fileName, line, key }: Entry): string {
  return `${fileName}:${line}: ${key}`;
}
