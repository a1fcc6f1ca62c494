/**
 * Text of a `resolv.conf` of ours: a marker that says whose it is, what stood there before as comments, and the
 * resolvers. So one file is both the change and its backup: they cannot be told apart by a crash, and a file on a disk
 * can be put back even after a power cut has emptied `/run`.
 *
 * Text here is one character for each byte: what is put back is what was there, in whatever encoding.
 */

const MARKER = /^# vpn (\S+): /;
/** Stands before each line of what was there before. */
const BEFORE = "#|";

export interface Resolvers {
  /** Addresses as text. Empty leaves those that the file names already. */
  readonly servers: readonly string[];
  /** Search domains. */
  readonly search: readonly string[];
}

/** A file of ours. */
export interface Marker {
  /** Which process's. */
  readonly owner: string;
  /** What stood there before any of us; null for no file. */
  readonly before: string | null;
}

/** The text of our file. */
export function formatResolvConf(
  { owner, before, servers, search }: Resolvers & Marker,
): string {
  const lines = [
    `# vpn ${owner}: the end of this tunnel, or \`vpn cleanup\`, ` +
    (before === null ? "removes this file." : "makes this file again:"),
    ...(before === null ? [] : before.split("\n").map((line) => `${BEFORE}${line}`)),
  ];
  const names = servers.length > 0 ? servers : nameServersOf(before ?? "");
  for (const name of names) lines.push(`nameserver ${name}`);
  if (search.length > 0) lines.push(`search ${search.join(" ")}`);
  return `${lines.join("\n")}\n`;
}

/** Whose file this is, and what it keeps; null where it is not one of ours. */
export function readMarker(text: string): Marker | null {
  const owner = MARKER.exec(text)?.[1];
  if (owner === undefined) return null;
  const before = text.split("\n").filter((line) => line.startsWith(BEFORE))
    .map((line) => line.slice(BEFORE.length));
  return { owner, before: before.length === 0 ? null : before.join("\n") };
}

/** The addresses of the resolvers that a file names, in its order (resolv.conf(5)). */
export function nameServersOf(text: string): string[] {
  return Array.from(text.matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm), ([, address]) => address!);
}

/** The search domains that a file names; the last line of them counts (resolv.conf(5)). */
export function searchOf(text: string): string[] {
  const lines = Array.from(text.matchAll(/^[ \t]*search[ \t]+(.*)$/gm), ([, names]) => names!);
  return (lines.at(-1) ?? "").split(/\s+/).filter((name) => name !== "");
}

/** Whether a file names just these resolvers, and all of these search domains. */
export function hasSameResolvers(text: string, { servers, search }: Resolvers): boolean {
  const named = searchOf(text);
  return (servers.length === 0 || nameServersOf(text).join() === servers.join()) &&
    search.every((domain) => named.includes(domain));
}
