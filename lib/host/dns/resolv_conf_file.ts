/**
 * File `resolv.conf`: replaces it by ours and puts back what was there: never half a file, never over somebody else's.
 *
 * Several of our processes may have the file in turn, and end in any order. Whoever ends while its own text is there
 * puts another living one's there, or else what was before all of them; one that ends while it is not leaves it.
 */
import { Folder } from "../../../ffi/folder.ts";
import { readRegular } from "../files/bounded_read.ts";
import { basename, dirname, resolve } from "node:path";
import { formatResolvConf, nameServersOf, readMarker, type Resolvers } from "./resolv_conf.ts";

/** A file of ours in the place of another. */
export interface ResolvConfChange {
  readonly kind: "resolv-conf";
  /** Where it is looked for; left out in journals of earlier versions. */
  readonly name?: string;
  /** Where that led when it was made ours: without symbolic links at its end. */
  readonly path: string;
  /** Device and inode of its directory: the same path may be another file in another mount namespace. */
  readonly directory: string;
  readonly owner: string;
  /** One character for each byte. */
  readonly text: string;
  /**
   * Whether to write into the file that is there rather than put a new one in its place. `ip netns exec` mounts that
   * very file for what it runs, which would go on seeing the old one.
   */
  readonly inPlace: boolean;
}

/** The host's file. */
export const HOST_FILE = "/etc/resolv.conf";
/** Where `ip netns exec` looks for the files of a namespace. */
const NAMESPACES = "/etc/netns";
/** ELOOP's limit in Linux. */
const MAX_LINKS = 40;
/** Bytes; of the files that are read here, /etc/services may have a thousandth part of it. */
const MAX_SIZE = 16 * 1024 * 1024;

/** The file of a network namespace with this name. */
export function fileOfNamespace(name: string): string {
  return `${NAMESPACES}/${name}/resolv.conf`;
}

/**
 * The change that makes a file ours.
 *
 * @param name as it is configured; the file may be elsewhere
 */
export function resolvConfChange(
  name: string,
  { owner, ...resolvers }: Resolvers & { owner: string },
): ResolvConfChange {
  const path = followLinks(name);
  const current = readText(path);
  const marker = readMarker(current ?? "");
  // What is put back one day is what was there before any of us.
  const before = marker === null ? current : marker.before;
  const text = formatResolvConf({ ...resolvers, owner, before });
  return placed(name, { owner, text });
}

/** The files of ours that are there, of any process. */
export function ownResolvConfs(): ResolvConfChange[] {
  const names = ifThere(() => Array.from(Deno.readDirSync(NAMESPACES), ({ name }) => name)) ?? [];
  return [HOST_FILE, ...names.map(fileOfNamespace)].flatMap((name) => {
    const text = tryToRead(name) ?? "";
    const marker = readMarker(text);
    return marker === null ? [] : placed(name, { owner: marker.owner, text });
  });
}

function placed(name: string, what: Pick<ResolvConfChange, "owner" | "text">): ResolvConfChange {
  const path = followLinks(name);
  const directory = identityOf(dirname(path));
  return { kind: "resolv-conf", name, path, directory, ...what, inPlace: name !== HOST_FILE };
}

/** Where the file is now: somebody may have put another link in its place. */
export function placeNow({ name, path }: ResolvConfChange): string {
  return name === undefined ? placeOf(path) : placeOf(name, path);
}

/** The file that a path leads to; what it is otherwise, where it leads round in a circle by now. */
function placeOf(path: string, otherwise = path): string {
  try {
    return followLinks(path);
  } catch {
    return otherwise;
  }
}

/** The file that a path leads to, be it there or not. */
export function followLinks(path: string): string {
  for (let count = 0; count < MAX_LINKS; count++) {
    const status = ifThere(() => Deno.lstatSync(path));
    if (status === null || !status.isSymlink) return path;
    path = resolve(dirname(path), Deno.readLinkSync(path));
  }
  throw new NoFileError(`${path}, by too many symbolic links,`);
}

/** What tells one directory from all others. */
function identityOf(directory: string): string {
  const { dev, ino } = Deno.statSync(directory);
  return `${dev}:${ino}`;
}

/**
 * The content of a file, one character for each byte; null where it is not there.
 *
 * @throws where it cannot be read, or is no file: a folder, as container engines make one for the mount of a file that
 * is not there, or a pipe, which would be waited for
 */
export function readText(path: string): string | null {
  const status = ifThere(() => Deno.statSync(path));
  if (status === null) return null;
  if (!status.isFile) throw new NoFileError(path);
  const bytes = ifThere(() => readRegular(path, MAX_SIZE).bytes);
  return bytes === null ? null : Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** The content of what a path leads to; null where that cannot be read, for whatever reason. */
export function tryToRead(path: string): string | null {
  try {
    return readText(followLinks(path));
  } catch {
    return null;
  }
}

/** What is there is no file. */
export class NoFileError extends Error {
  override readonly name = "NoFileError";

  constructor(path: string) {
    super(`${path} is not a file`);
  }
}

/**
 * The addresses of the resolvers that a file names, or named before it was one of ours; none where it cannot be read.
 */
export function readNameServers(path: string): string[] {
  const text = tryToRead(path) ?? "";
  const marker = readMarker(text);
  return nameServersOf(marker === null ? text : marker.before ?? "");
}

/** Puts our file there. */
export function makeResolvConf(change: ResolvConfChange): void {
  write(change, change.text);
}

/**
 * Takes our file away, if it is there: from where it was put, and from where its name leads now.
 *
 * @param successor the text of another living process of ours that has the file, too; null for none
 */
export function undoResolvConf(change: ResolvConfChange, successor: string | null): void {
  for (const path of new Set([change.path, placeNow(change)])) {
    undoAt({ ...change, path }, successor);
  }
}

/** Takes our file away from one place, if it is there; a link that somebody has put there stays, and leads to it. */
export function undoAt(change: ResolvConfChange, successor: string | null): void {
  removeIfThere(temporaryPath(change));
  const path = placeOf(change.path);
  const marker = readMarker(tryToRead(path) ?? "");
  if (marker?.owner !== change.owner) return;
  const text = successor ?? marker.before;
  if (text === null) removeOrEmpty(path);
  else write({ ...change, path }, text);
}

/**
 * An empty file stands for no file (resolv.conf(5)) where it is a mount of its own, which cannot be removed (EBUSY).
 */
function removeOrEmpty(path: string): void {
  try {
    removeIfThere(path);
  } catch {
    overwrite(path, new Uint8Array(0));
  }
}

function write(change: ResolvConfChange, text: string): void {
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  if (change.inPlace) overwrite(change.path, bytes);
  else replace(change, bytes);
}

/** Atomically: who reads the file sees the old one or the new one. Where that cannot be, it is overwritten. */
function replace(change: ResolvConfChange, bytes: Uint8Array<ArrayBuffer>): void {
  const { path } = change;
  const temporary = temporaryPath(change);
  const status = ifThere(() => Deno.statSync(path));
  try {
    // By descriptors: the folder may be another service's, which could lead a change of owner to any file.
    const { folder, name } = Folder.find(path, { followLast: false });
    using _folder = folder;
    folder.remove(basename(temporary));
    using file = folder.create(basename(temporary), 0o644);
    file.write(bytes);
    if (status !== null) file.setOwner(status.uid!, status.gid!);
    // Readable for its owner in any case: or we could not put back what was there.
    file.setMode(status === null ? 0o644 : status.mode! & 0o7777 | 0o400);
    file.sync();
    folder.rename(basename(temporary), name);
  } catch {
    // The file is a mount of its own (EBUSY), as containers have it, or only the directory cannot be written. If the
    // file itself cannot be written either, that is the error to tell of.
    removeIfThere(temporary);
    overwrite(path, bytes);
  }
}

/**
 * Keeps the file, and with it its owner and mode. Where there is no room for the new text, the old one is put back: it
 * has the room that it had, and is the only copy of what stood there before us.
 */
function overwrite(path: string, bytes: Uint8Array): void {
  using file = Deno.openSync(path, { read: true, write: true, create: true, mode: 0o644 });
  const before = new Uint8Array(file.statSync().size);
  const length = file.readSync(before) ?? 0;
  try {
    rewrite(file, bytes);
  } catch (error) {
    rewrite(file, before.subarray(0, length));
    throw error;
  }
  file.syncDataSync();
}

function rewrite(file: Deno.FsFile, bytes: Uint8Array): void {
  file.seekSync(0, Deno.SeekMode.Start);
  writeAll(file, bytes);
  // Afterwards, so that a reader in between finds our resolvers, at worst with old lines behind them, and never
  // nothing.
  file.truncateSync(bytes.length);
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) {
    written += file.writeSync(bytes.subarray(written));
  }
}

function temporaryPath({ path, owner }: ResolvConfChange): string {
  return `${dirname(path)}/.${basename(path)}.vpn-${owner}`;
}

/** Removes a file. On a read-only file system, removing what is not there would be EROFS, and no success. */
function removeIfThere(path: string): void {
  if (ifThere(() => Deno.lstatSync(path)) !== null) ifThere(() => Deno.removeSync(path));
}

function ifThere<Result>(call: () => Result): Result | null {
  try {
    return call();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    if (error instanceof Deno.errors.NotADirectory) return null;
    throw error;
  }
}
