/**
 * Files with keys: at every moment a file is absent or whole, only its owner can read it, and of two processes that
 * want to change it one waits.
 *
 * Their folder may be another user's when root writes, so all is done by descriptors, see ffi/folder.ts.
 */
import { EEXIST, ENOENT, SystemCallError } from "../../../ffi/errno.ts";
import { type FileStatus, Folder, type OpenFile } from "../../../ffi/folder.ts";
import { MAX_CONFIG_SIZE, type ReadConfig, textToChange, toChangeSteps } from "./config_file.ts";
import { fileAttempt } from "./file_attempt.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { journalDirectory } from "../../process/journal_directory.ts";
import { writeText } from "../../process/output.ts";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import type { Config } from "../../core/config/config.ts";
import { atOnce } from "../../core/config/at_once.ts";

/** A change takes milliseconds. */
const LOCK_TIMEOUT_MS = 10_000;
/** Of a lock that another user can hold for as long as he likes, while root has to take a client out. */
const FOREIGN_LOCK_TIMEOUT_MS = 2_000;
const LOCK_RETRY_MS = 20;
const OWNER_ONLY = 0o600;

/**
 * What a configuration says that is to be changed, here or in a store: where root would be led elsewhere, nothing of it
 * is read, as the message of a mistake shows lines.
 *
 * @throws {ConfigError | AppError}
 */
export function loadToChange(path: string): Config {
  requirePath(path);
  const { folder, name } = fileAttempt(`open ${path}`, () => Folder.find(path));
  using _folder = folder;
  using file = fileAttempt(`open ${path}`, () => folder.open(name));
  requireRegular(file, path);
  const { mode } = file.status();
  const bytes = fileAttempt(`read ${path}`, () => file.read(MAX_CONFIG_SIZE + 1));
  return atOnce(toChangeSteps(path, { bytes, mode })).config;
}

/** A configuration that nobody else changes until this is disposed of. */
export class LockedConfig implements Disposable {
  readonly #path: string;
  readonly #folder: Folder;
  readonly #name: string;
  readonly #file: OpenFile;
  readonly #status: FileStatus;
  /** What was in it when it was read. */
  #content: Uint8Array = new Uint8Array(0);
  readonly #resources: DisposableStack;

  private constructor(
    path: string,
    { folder, name, file }: { folder: Folder; name: string; file: OpenFile },
    resources: DisposableStack,
  ) {
    this.#path = path;
    this.#folder = folder;
    this.#name = name;
    this.#file = file;
    this.#status = file.status();
    this.#resources = resources;
  }

  /**
   * @param path of the file, or of a link to it, which stays
   * @throws {AppError} where it cannot be opened, or another process does not let go of it
   */
  static async open(path: string): Promise<LockedConfig> {
    requirePath(path);
    using opened = new DisposableStack();
    const { folder, name } = fileAttempt(`open ${path}`, () => Folder.find(path));
    opened.use(folder);
    if (Deno.uid() === 0) await lockForRoot(opened, path);
    const file = opened.use(await lockFile(folder, name, path));
    requireRegular(file, path);
    return new LockedConfig(path, { folder, name, file }, opened.move());
  }

  /** @throws {ConfigError} */
  read(): ReadConfig {
    return atOnce(this.readSteps());
  }

  /** The same in steps, for who has others to serve meanwhile. */
  readSteps(): Generator<void, ReadConfig> {
    return toChangeSteps(this.#path, { bytes: this.#bytes(), mode: this.#status.mode });
  }

  /** Its text, whatever that says. @throws {ConfigError} where it is none, or too long */
  readText(): string {
    return textToChange(this.#path, this.#bytes());
  }

  #bytes(): Uint8Array {
    // One byte more than allowed tells a file that is too long from one that is not.
    const bytes = fileAttempt(`read ${this.#path}`, () => this.#file.read(MAX_CONFIG_SIZE + 1));
    this.#content = bytes;
    return bytes;
  }

  /**
   * Puts a file with this text in the place of the one that was read. Its owner stays.
   *
   * @throws {ChangedMeanwhile} where an editor, which knows of no lock, has written there since
   * @throws {AppError} where it cannot
   */
  replace(text: string): void {
    const { uid, gid } = this.#status;
    if (encoded(text).length > MAX_CONFIG_SIZE) {
      throw new AppError(`Cannot write ${this.#path}: it would be longer than 1 MiB`, {
        exitCode: ExitCode.usage,
      });
    }
    this.#requireUnchanged();
    fileAttempt(
      `write ${this.#path}`,
      () =>
        writeWhole(this.#folder, this.#name, encoded(text), (temporary, file) => {
          if (uid !== Deno.uid() || gid !== Deno.gid()) file.setOwner(uid, gid);
          this.#folder.rename(temporary, this.#name);
        }),
    );
  }

  /** What is no file by now, but a link, say, is replaced; what an editor has written is not. */
  #requireUnchanged(): void {
    let bytes: Uint8Array;
    try {
      using current = this.#folder.open(this.#name);
      if (!current.isRegular) return;
      bytes = current.read(MAX_CONFIG_SIZE + 1);
    } catch (error) {
      if (error instanceof SystemCallError) return;
      throw error;
    }
    if (Buffer.compare(bytes, this.#content) !== 0) throw new ChangedMeanwhile(this.#path);
  }

  /**
   * Writes a new file in a folder beside the configuration.
   *
   * @param path of the file, as messages name it
   * @throws {AppError} where it cannot, or the file exists
   */
  createBeside(folderName: string, name: string, { path, text }: NewFile): void {
    fileAttempt(`write ${path}`, () => {
      using folder = this.#folder.makeFolder(folderName);
      createIn(folder, name, text);
    });
  }

  /** The same, in the place of what may have this name. @throws {AppError} where it cannot */
  putBeside(folderName: string, name: string, { path, text }: NewFile): void {
    fileAttempt(`write ${path}`, () => {
      using folder = this.#folder.makeFolder(folderName);
      writeWhole(folder, name, encoded(text), (temporary) => folder.rename(temporary, name));
    });
  }

  /**
   * Gives a file in a folder beside the configuration a second name, which nothing has yet.
   *
   * @param path of the new name, as messages have it
   * @returns whether there was such a file
   * @throws {AppError} where it cannot, or something has that name
   */
  linkBeside(
    folderName: string,
    { from, to }: { from: string; to: string },
    path: string,
  ): boolean {
    return fileAttempt(`write ${path}`, () => {
      try {
        using folder = this.#folder.folder(folderName);
        folder.link(from, to);
        return true;
      } catch (error) {
        if (error instanceof SystemCallError && error.errno === ENOENT) return false;
        throw error;
      }
    }, { [EEXIST]: "it exists already and contains keys: remove it, or choose another name" });
  }

  /**
   * Removes a file from a folder beside the configuration, and the folder with the last one.
   *
   * @param path of the file, as messages name it
   * @returns whether there was one
   * @throws {AppError} where it is there and cannot be removed, or something else has its folder's place
   */
  removeBeside(folderName: string, name: string, path: string): boolean {
    const removed = fileAttempt(`remove ${path}`, () => {
      try {
        using folder = this.#folder.folder(folderName);
        return folder.remove(name);
      } catch (error) {
        if (error instanceof SystemCallError && error.errno === ENOENT) return false;
        throw error;
      }
    });
    if (!removed) return false;
    try {
      this.#folder.removeFolder(folderName);
    } catch {
      // There are others.
    }
    return true;
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}

function requireRegular(file: OpenFile, path: string): void {
  if (!file.isRegular) throw notRegular(path);
}

/** What a shell's `<(...)` gives is a link to what has no path: who walks along it finds no such file. */
function requirePath(path: string): void {
  if (!/^\/(?:dev|proc)\//.test(path)) return;
  try {
    if (Deno.statSync(path).isFile) return;
  } catch {
    // Opening it tells why.
    return;
  }
  throw notRegular(path);
}

function notRegular(path: string): AppError {
  return new AppError(`Cannot change ${path}: it is not a regular file`, {
    exitCode: ExitCode.usage,
  });
}

/** Another has written to a configuration that was about to be. */
export class ChangedMeanwhile extends AppError {
  constructor(path: string) {
    super(`Cannot write ${path}: another program has changed it meanwhile: try again`, {
      exitCode: ExitCode.unexpected,
    });
  }
}

export interface NewFile {
  readonly path: string;
  readonly text: string;
}

/**
 * Writes a file that must not be there yet, its folder with it, if need be.
 *
 * @throws {AppError} where it cannot, or the file exists
 */
export function createFile({ path, text }: NewFile): void {
  fileAttempt(`write ${path}`, () => {
    const { folder, name } = Folder.find(path, { create: true, followLast: false });
    using _folder = folder;
    createIn(folder, name, text);
  });
}

/** A file with keys that is no configuration. */
export interface KeyFile {
  readonly path: string;
  readonly content: Uint8Array<ArrayBuffer>;
  /** Whether it may take the place of another. */
  readonly overwrite: boolean;
  /** Whether a folder that is missing is made; left out: it is not. */
  readonly withFolder?: boolean;
}

/**
 * Writes a file for its owner alone; a symbolic link in its place is replaced, never followed.
 *
 * @throws {AppError} where it cannot, or the file exists and is to stay
 */
export function createKeyFile(
  { path, content, overwrite, withFolder = false }: KeyFile,
): void {
  const exists = { [EEXIST]: "it exists already: choose another name, or add --overwrite" };
  fileAttempt(`write ${path}`, () => {
    const { folder, name } = Folder.find(path, { create: withFolder, followLast: false });
    using _folder = folder;
    writeWhole(folder, name, content, (temporary) => {
      if (overwrite) folder.rename(temporary, name);
      else folder.link(temporary, name);
    });
  }, exists);
}

function createIn(folder: Folder, name: string, text: string): void {
  // Unlike a renaming, a link never takes another file's place.
  writeWhole(folder, name, encoded(text), (temporary) => folder.link(temporary, name));
}

function encoded(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Has `place` move a file with this content, all of it on the disk, to where it belongs. */
function writeWhole(
  folder: Folder,
  name: string,
  content: Uint8Array<ArrayBuffer>,
  place: (temporary: string, file: OpenFile) => void,
): void {
  const temporary = `.${name}.${randomBytes(8).toString("hex")}`;
  {
    using file = folder.create(temporary, OWNER_ONLY);
    try {
      file.write(content);
      file.sync();
      place(temporary, file);
    } finally {
      folder.remove(temporary);
    }
  }
  folder.sync();
}

// Locks.

/**
 * Has one process of root's wait for another: by a folder that is root's alone. Another who may open the configuration
 * could lock that, and keep a client from being taken out.
 */
async function lockForRoot(opened: DisposableStack, path: string): Promise<void> {
  const directory = journalDirectory();
  let lock: OpenFile;
  try {
    const { folder, name } = Folder.find(directory, { create: true });
    opened.use(folder);
    opened.use(folder.makeFolder(name));
    lock = opened.use(folder.open(name));
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    // The other lock is left.
    return;
  }
  if (!await tryFor(LOCK_TIMEOUT_MS, () => lock.tryLock())) throw locked(path, directory);
}

/** Locks the file itself, which others than its owner cannot open. Each change puts another one in its place. */
async function lockFile(folder: Folder, name: string, path: string): Promise<OpenFile> {
  const isRoot = Deno.uid() === 0;
  for (let waited = 0;; waited += LOCK_RETRY_MS) {
    using opened = new DisposableStack();
    const file = opened.use(fileAttempt(`open ${path}`, () => folder.open(name)));
    const isLate = waited >= (isRoot ? FOREIGN_LOCK_TIMEOUT_MS : LOCK_TIMEOUT_MS);
    const isLocked = file.tryLock();
    if (isLocked || (isLate && isRoot)) {
      using current = fileAttempt(`open ${path}`, () => folder.open(name));
      if (current.status().identity === file.status().identity) {
        if (!isLocked) {
          const warning = `another process keeps ${path} locked: continuing without the lock`;
          writeText(Deno.stderr, `vpn: warning: ${warning}\n`);
        }
        opened.move();
        return file;
      }
    } else if (isLate) throw locked(path, path);
    await pause();
  }
}

async function tryFor(timeout: number, call: () => boolean): Promise<boolean> {
  for (let waited = 0; !call(); waited += LOCK_RETRY_MS) {
    if (waited >= timeout) return false;
    await pause();
  }
  return true;
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, LOCK_RETRY_MS));
}

function locked(path: string, what: string): AppError {
  return new AppError(
    `Cannot change ${path}: another process has kept ${what} locked for ${
      LOCK_TIMEOUT_MS / 1000
    } s: see which one by \`fuser ${what}\``,
    { exitCode: ExitCode.unexpected },
  );
}
