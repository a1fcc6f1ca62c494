/**
 * A `resolv.conf` of ours that somebody else writes over while the tunnel is up: whether it is still ours, and ours
 * again.
 */
import { formatResolvConf, nameServersOf, readMarker, searchOf } from "./resolv_conf.ts";
import {
  makeResolvConf,
  placeNow,
  type ResolvConfChange,
  tryToRead,
  undoAt,
} from "./resolv_conf_file.ts";
import { isAlive, parseIdentity } from "../../process/process_identity.ts";

/** Whether the file says what the change made it say, or is another living tunnel's of ours, which has it in turn. */
export function isResolvConfInPlace(change: ResolvConfChange): boolean {
  const now = tryToRead(placeNow(change)) ?? "";
  const holder = readMarker(now)?.owner;
  if (holder !== change.owner) return holder !== undefined && isAlive(parseIdentity(holder));
  return resolversOf(now) === resolversOf(change.text);
}

/**
 * Makes the file ours again. Where a link leads elsewhere by now, the place before gets back what stood there.
 *
 * @param lastPlace where the file was ours
 * @returns where it is now
 */
export function putBackResolvConf(change: ResolvConfChange, lastPlace: string): string {
  const path = placeNow(change);
  makeResolvConf({ ...renewedResolvConf(change, path), path });
  // A link that has taken the place of our file leads to the one that was made ours just now.
  const isLeft = path !== lastPlace && placeNow({ ...change, name: lastPlace }) === lastPlace;
  if (isLeft) undoAt({ ...change, path: lastPlace }, null);
  return path;
}

/**
 * The change with what stands in the file now as what is to be put back one day: who wrote there, a DHCP client say,
 * knows the host's network as it is now. A file that has gone, or that still has our marker, brings nothing new.
 */
function renewedResolvConf(change: ResolvConfChange, path: string): ResolvConfChange {
  const now = tryToRead(path);
  const marker = readMarker(now ?? "");
  const known = path === change.path ? readMarker(change.text)!.before : null;
  const before = (marker === null ? now : marker.before) ?? known;
  const lines = resolversOf(change.text);
  const resolvers = { servers: nameServersOf(lines), search: searchOf(lines) };
  return { ...change, text: formatResolvConf({ owner: change.owner, before, ...resolvers }) };
}

/** The file without comments. */
function resolversOf(text: string): string {
  return text.split("\n").filter((line) => !line.startsWith("#")).join("\n");
}
