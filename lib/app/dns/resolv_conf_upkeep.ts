/** A `resolv.conf` of ours that somebody else writes over while the tunnel is up: whether it is still ours, and ours again. */
import { formatResolvConf, nameServersOf, readMarker, searchOf } from "./resolv_conf.ts";
import { readText, type ResolvConfChange } from "./resolv_conf_file.ts";
import { isAlive, parseIdentity } from "../process_identity.ts";

/** Whether the file says what the change made it say, or is another living tunnel's of ours, which has it in turn. */
export function isResolvConfInPlace({ path, owner, text }: ResolvConfChange): boolean {
  const now = readText(path) ?? "";
  const holder = readMarker(now)?.owner;
  if (holder !== owner) return holder !== undefined && isAlive(parseIdentity(holder));
  return resolversOf(now) === resolversOf(text);
}

/**
 * The change with what stands in the file now as what is to be put back one day: who wrote there, a DHCP client say, knows the
 * host's network as it is now. A file that has gone, or that still has our marker, brings nothing new.
 */
export function renewedResolvConf(change: ResolvConfChange): ResolvConfChange {
  const now = readText(change.path);
  const marker = readMarker(now ?? "");
  const before = now === null || marker !== null ? readMarker(change.text)!.before : now;
  const lines = resolversOf(change.text);
  const resolvers = { servers: nameServersOf(lines), search: searchOf(lines) };
  return { ...change, text: formatResolvConf({ owner: change.owner, before, ...resolvers }) };
}

/** The file without comments. */
function resolversOf(text: string): string {
  return text.split("\n").filter((line) => !line.startsWith("#")).join("\n");
}
