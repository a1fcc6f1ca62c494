/** Whether this host looks names up by systemd-resolved, and where that keeps what it was told. */
import { findProgram } from "./programs.ts";
import { HOST_FILE, readNameServers, tryToRead } from "./resolv_conf_file.ts";

/** What it has there while it runs; in the second, the resolvers that it asks itself. */
const RESOLVED_DIRECTORY = "/run/systemd/resolve";
export const RESOLVED_UPSTREAMS = `${RESOLVED_DIRECTORY}/resolv.conf`;
/** A file for each link whose resolvers somebody has set, named by its index (`link_save_user()` of systemd). */
export const RESOLVED_LINKS = `${RESOLVED_DIRECTORY}/netif`;
/** Where it answers (systemd-resolved.service(8)). */
export const RESOLVED_ADDRESSES: ReadonlySet<string> = new Set(["127.0.0.53", "127.0.0.54"]);

/** That it runs is not enough. */
export function isResolvedInUse(): boolean {
  if (findProgram("resolvectl") === null) return false;
  return isResolvedsLink() ||
    readNameServers(HOST_FILE).some((address) => RESOLVED_ADDRESSES.has(address)) ||
    isResolvedFirst();
}

/**
 * Whether the host's file is one of systemd-resolved's; a link to one that is not there is left of a system that ran
 * it.
 */
function isResolvedsLink(): boolean {
  try {
    return Deno.realPathSync(HOST_FILE).startsWith(`${RESOLVED_DIRECTORY}/`);
  } catch {
    return false;
  }
}

/** Whether libc asks it directly, by nss-resolve(8), whatever resolv.conf says. */
function isResolvedFirst(): boolean {
  const hosts = /^\s*hosts:(.*)$/m.exec(tryToRead("/etc/nsswitch.conf") ?? "")?.[1] ?? "";
  return /\bresolve\b/.test(hosts) && tryToRead(RESOLVED_UPSTREAMS) !== null;
}
