/**
 * Folders by descriptor: files in them are read, made, replaced and removed where others may change the folder
 * meanwhile.
 *
 * A path that is looked up twice may lead elsewhere the second time: one who may write to a folder on it puts a
 * symbolic link there. So a path is walked once, each file is opened without following a link, and its owner and mode
 * are changed by its descriptor. A link on the path counts only if it is root's, our own, or of the owner of what it
 * leads to.
 */
import { check, EEXIST, ELOOP, ENOENT, ENOTDIR, SystemCallError } from "./errno.ts";
import {
  AT_FDCWD,
  identityIn,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDONLY,
  STATX_SIZE,
} from "./file_constants.ts";
import { struct } from "./layout.ts";
import { cString, type Libc, openLibc } from "./libc.ts";
import { MACHINE } from "./machine.ts";

const O_WRONLY = 1;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_PATH = 0o10000000;
const { O_DIRECTORY, O_NOFOLLOW } = MACHINE;
const AT_REMOVEDIR = 0x200;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;
/** `__u32 stx_uid, stx_gid; __u16 stx_mode` */
const STX_OWNER_OFFSET = 20;
const STX_OWNER = struct({ uid: "u32", gid: "u32", mode: "u16" });
const TYPE_MASK = 0o170000;
const TYPE_LINK = 0o120000;
const TYPE_FOLDER = 0o040000;
const TYPE_FILE = 0o100000;
const F_SETFL = 4;
const LOCK_EX = 2;
const LOCK_NB = 4;
const ROOT = 0;
/** ELOOP's limit in Linux, and PATH_MAX. */
const MAX_LINKS = 40;
const MAX_PATH = 4096;

/** What is known of a file by its descriptor. */
export interface FileStatus {
  readonly uid: number;
  readonly gid: number;
  /** Permission bits. */
  readonly mode: number;
  readonly type: number;
  /** Device and inode. */
  readonly identity: string;
}

/** Where a path leads: a name in a folder, be there something or not. */
export interface FolderPlace {
  readonly folder: Folder;
  readonly name: string;
}

/** An open file. */
export class OpenFile implements Disposable {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #what: string;

  /** @param fd is closed with this */
  constructor(libc: Libc, fd: number, what: string) {
    this.#libc = libc;
    this.#fd = fd;
    this.#what = what;
  }

  status(): FileStatus {
    return statusOf(this.#libc, this.#fd, this.#what);
  }

  get isRegular(): boolean {
    return this.status().type === TYPE_FILE;
  }

  /** Its content, up to `limit` bytes. */
  read(limit: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(limit);
    let length = 0;
    while (length < limit) {
      const free = bytes.subarray(length);
      const count = this.#libc.symbols.read(this.#fd, free, BigInt(free.length));
      check(this.#libc, count, `read ${this.#what}`);
      if (count === 0) break;
      length += count;
    }
    return bytes.subarray(0, length);
  }

  /** Writes all of it. */
  write(bytes: Uint8Array<ArrayBuffer>): void {
    for (let written = 0; written < bytes.length;) {
      const rest = bytes.subarray(written);
      const count = this.#libc.symbols.write(this.#fd, rest, BigInt(rest.length));
      written += check(this.#libc, count, `write ${this.#what}`);
    }
  }

  truncate(): void {
    check(this.#libc, this.#libc.symbols.ftruncate(this.#fd, 0n), `empty ${this.#what}`);
  }

  setOwner(uid: number, gid: number): void {
    const result = this.#libc.symbols.fchown(this.#fd, uid, gid);
    check(this.#libc, result, `change the owner of ${this.#what}`);
  }

  /** Has writing wait while a pipe is full. */
  waitForRoom(): void {
    const result = this.#libc.symbols.fcntl(this.#fd, F_SETFL, 0);
    check(this.#libc, result, `change the flags of ${this.#what}`);
  }

  setMode(mode: number): void {
    check(
      this.#libc,
      this.#libc.symbols.fchmod(this.#fd, mode),
      `change the mode of ${this.#what}`,
    );
  }

  /** Has all of it on the disk. */
  sync(): void {
    check(this.#libc, this.#libc.symbols.fsync(this.#fd), `write ${this.#what} to the disk`);
  }

  /** Locks it until it is closed; false where another has it locked. */
  tryLock(): boolean {
    return this.#libc.symbols.flock(this.#fd, LOCK_EX | LOCK_NB) === 0;
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.#fd);
  }
}

export class Folder implements Disposable {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly path: string;

  private constructor(libc: Libc, fd: number, path: string) {
    this.#libc = libc;
    this.#fd = fd;
    this.path = path;
  }

  /**
   * Walks to the folder that a path's last name is in.
   *
   * @param options.create makes folders that are missing, mode 0700
   * @param options.followLast whether a link at the end leads on
   * @throws {SystemCallError} ELOOP where a link of another user's leads to what is not his
   */
  static find(
    path: string,
    { create = false, followLast = true }: {
      readonly create?: boolean;
      readonly followLast?: boolean;
    } = {},
  ): FolderPlace {
    const libc = openLibc();
    const names = path.split("/").filter((name) => name !== "");
    if (names.length === 0) throw new SystemCallError(`open ${path}`, ENOENT);
    using held = new DisposableStack();
    let at = held.use(Folder.#start(libc, path.startsWith("/")));
    const linkOwners = new Set<number>();
    for (let links = 0;;) {
      const name = names.shift()!;
      const isLast = names.length === 0;
      const found = at.#look(name);
      if (found === null) {
        if (isLast) return at.#place(name, linkOwners, at.status(), path);
        if (!create) throw new SystemCallError(`open ${path}`, ENOENT);
        refuseLinks(linkOwners, at.status(), path);
        linkOwners.clear();
        at = held.use(at.makeFolder(name));
        continue;
      }
      held.use(found);
      const status = found.status();
      if (status.type === TYPE_LINK && (!isLast || followLast)) {
        if (++links > MAX_LINKS) throw new SystemCallError(`open ${path}`, ELOOP);
        if (status.uid !== ROOT && status.uid !== Deno.uid()) linkOwners.add(status.uid);
        const target = found.#linkTarget();
        if (target.startsWith("/")) at = held.use(Folder.#start(libc, true));
        names.unshift(...target.split("/").filter((part) => part !== ""));
        if (names.length === 0) names.push(".");
      } else if (isLast) return at.#place(name, linkOwners, status, path);
      else if (status.type === TYPE_FOLDER) at = found;
      else throw new SystemCallError(`open ${path}`, ENOTDIR);
    }
  }

  /** This folder as one to work with, if links led here that may. */
  #place(
    name: string,
    linkOwners: ReadonlySet<number>,
    target: FileStatus,
    path: string,
  ): FolderPlace {
    refuseLinks(linkOwners, target, path);
    const flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    return { folder: new Folder(this.#libc, this.#openAt(".", flags), this.path), name };
  }

  /** What has this name, by a descriptor that can only be looked at; null where nothing has. */
  #look(name: string): Folder | null {
    const flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
    const fd = this.#libc.symbols.openat(this.#fd, cString(name), flags, 0);
    if (fd < 0 && this.#libc.errno() === ENOENT) return null;
    const path = `${this.path}/${name}`.replace(/^\/\//, "/");
    return new Folder(this.#libc, check(this.#libc, fd, `open ${path}`), path);
  }

  #linkTarget(): string {
    const bytes = new Uint8Array(MAX_PATH);
    const length = this.#libc.symbols.readlinkat(this.#fd, cString(""), bytes, BigInt(MAX_PATH));
    check(this.#libc, length, `read the link ${this.path}`);
    return new TextDecoder().decode(bytes.subarray(0, length));
  }

  #openAt(name: string, flags: number, mode = 0): number {
    const fd = this.#libc.symbols.openat(this.#fd, cString(name), flags, mode);
    return check(this.#libc, fd, `open ${this.path}/${name}`);
  }

  status(): FileStatus {
    return statusOf(this.#libc, this.#fd, this.path);
  }

  /** Whether something has this name here. */
  has(name: string): boolean {
    using found = this.#look(name);
    return found !== null;
  }

  /** What has a name here, and is no link, for reading. A pipe is not waited for. */
  open(name: string): OpenFile {
    return this.#file(name, O_RDONLY | O_NONBLOCK);
  }

  /** The same for writing. @throws {SystemCallError} ENXIO for a pipe that nobody reads */
  openToWrite(name: string): OpenFile {
    const file = this.#file(name, O_WRONLY | O_NONBLOCK);
    file.waitForRoom();
    return file;
  }

  /** A new file. @throws {SystemCallError} EEXIST */
  create(name: string, mode: number): OpenFile {
    return this.#file(name, O_WRONLY | O_CREAT | O_EXCL, mode);
  }

  #file(name: string, flags: number, mode = 0): OpenFile {
    const fd = this.#openAt(name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
    return new OpenFile(this.#libc, fd, `${this.path}/${name}`);
  }

  /** A folder in this one, which may be there already. */
  makeFolder(name: string): Folder {
    const made = this.#libc.symbols.mkdirat(this.#fd, cString(name), 0o700);
    if (made < 0 && this.#libc.errno() !== EEXIST) {
      check(this.#libc, made, `make ${this.path}/${name}`);
    }
    return this.folder(name);
  }

  /** A folder in this one. @throws {SystemCallError} ENOENT, or ENOTDIR for anything else, a link to one included */
  folder(name: string): Folder {
    const fd = this.#openAt(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return new Folder(this.#libc, fd, `${this.path}/${name}`);
  }

  /** Gives a file another name, in the place of what has that name. */
  rename(from: string, to: string): void {
    const { symbols } = this.#libc;
    const result = symbols.renameat(this.#fd, cString(from), this.#fd, cString(to));
    check(this.#libc, result, `write ${this.path}/${to}`);
  }

  /** Gives a file another name that nothing has yet. @throws {SystemCallError} EEXIST */
  link(from: string, to: string): void {
    const { symbols } = this.#libc;
    const result = symbols.linkat(this.#fd, cString(from), this.#fd, cString(to), 0);
    check(this.#libc, result, `write ${this.path}/${to}`);
  }

  /** Removes a file. @returns whether there was one */
  remove(name: string): boolean {
    return this.#unlink(name, 0);
  }

  /** Removes an empty folder. @returns whether there was one */
  removeFolder(name: string): boolean {
    return this.#unlink(name, AT_REMOVEDIR);
  }

  #unlink(name: string, flags: number): boolean {
    const result = this.#libc.symbols.unlinkat(this.#fd, cString(name), flags);
    if (result < 0 && this.#libc.errno() === ENOENT) return false;
    check(this.#libc, result, `remove ${this.path}/${name}`);
    return true;
  }

  /** Has its names on the disk. */
  sync(): void {
    check(this.#libc, this.#libc.symbols.fsync(this.#fd), `write ${this.path} to the disk`);
  }

  /** Opens where a walk begins. */
  static #start(libc: Libc, isAbsolute: boolean): Folder {
    const path = isAbsolute ? "/" : ".";
    const flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    const fd = libc.symbols.openat(AT_FDCWD, cString(path), flags, 0);
    return new Folder(libc, check(libc, fd, `open ${path}`), path);
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.#fd);
  }
}

/** One who makes a link must not lead us to what is another's. */
function refuseLinks(owners: ReadonlySet<number>, target: FileStatus, path: string): void {
  for (const owner of owners) {
    if (owner !== target.uid) throw new SystemCallError(`open ${path}`, ELOOP);
  }
}

function statusOf(libc: Libc, fd: number, what: string): FileStatus {
  const bytes = new Uint8Array(STATX_SIZE);
  const result = libc.symbols.statx(fd, cString(""), AT_EMPTY_PATH, STATX_BASIC_STATS, bytes);
  check(libc, result, `inspect ${what}`);
  const { uid, gid, mode } = STX_OWNER.read(bytes, STX_OWNER_OFFSET);
  return {
    uid,
    gid,
    mode: mode & 0o7777,
    type: mode & TYPE_MASK,
    identity: identityIn(bytes),
  };
}
