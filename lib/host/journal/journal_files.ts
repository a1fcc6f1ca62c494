/**
 * The files of journals: where they are, how they are read, how an entry is struck out, and the lock on all of them.
 */
import { removeDeadSocket } from "./socket_file.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import type { HostChange } from "./host_change.ts";
import { journalDirectory } from "../../process/journal_directory.ts";
import { type JournalEntry, type JournalOwner, parseJournal } from "./journal_text.ts";
import {
  isAlive,
  isOfThisPidNamespace,
  JOURNAL_SUFFIX,
  parseIdentity,
} from "../../process/process_identity.ts";

/** A journal as it was read, of a process that lives or has died. */
export interface JournalFile {
  readonly path: string;
  readonly owner: JournalOwner;
  /** In the order in which they were made, without those that are struck out. */
  readonly entries: readonly JournalEntry[];
  /** The same without their places. */
  readonly changes: readonly HostChange[];
}

/** Behind the name of a journal: it is written again under this one, and then takes its place. */
export const UNFINISHED_SUFFIX = ".new";

/** Takes the place of the first byte of an entry that has been undone: no JSON begins with it. */
const STRUCK_OUT = new TextEncoder().encode("#");

/**
 * Calls while no other process of ours is between looking at what is there and changing it. Not to be nested: a process
 * would wait for itself.
 */
export function withJournalsLocked<Result>(call: () => Result): Result {
  using _lock = lockJournals();
  return call();
}

/**
 * The same for an undoing, which must take place even where the journals' directory is gone and cannot be made again.
 */
export function withJournalsLockedIfPossible<Result>(call: () => Result): Result {
  let lock: Deno.FsFile | null = null;
  try {
    lock = lockJournals();
  } catch {
    // Without journals there is nobody to exclude.
  }
  try {
    return call();
  } finally {
    lock?.close();
  }
}

function lockJournals(): Deno.FsFile {
  Deno.mkdirSync(journalDirectory(), { recursive: true, mode: 0o700 });
  const directory = Deno.openSync(journalDirectory());
  try {
    directory.lockSync(true);
    return directory;
  } catch (error) {
    directory.close();
    throw error;
  }
}

/** The journals of a process of this PID namespace, dead or alive. */
export function journalsOf(pid: number): JournalFile[] {
  return allJournals().filter(({ owner }) => owner.pid === pid && isOfThisPidNamespace(owner));
}

/** The journals of processes that have died. */
export function staleJournals(): JournalFile[] {
  return allJournals().filter((journal) => !isAlive(journal.owner));
}

/**
 * Removes the journals of a network namespace that is about to go, and with it all that they name.
 *
 * @param inode of the namespace
 */
export function dropJournals(inode: number): void {
  for (const { path, owner, changes } of allJournals()) {
    if (owner.namespace !== `net:[${inode}]`) continue;
    // These are not in the namespace.
    for (const change of changes) {
      if (change.kind === "socket") removeDeadSocket(change.path, change.pid);
    }
    removeJournal(path);
  }
}

/** All journals of this user. */
export function allJournals(): JournalFile[] {
  const directory = journalDirectory();
  return namesIn(directory, JOURNAL_SUFFIX).sort()
    .flatMap((name) => readJournal(`${directory}/${name}`));
}

function namesIn(directory: string, end: string): string[] {
  try {
    return Array.from(Deno.readDirSync(directory), ({ name }) => name)
      .filter((name) => name.endsWith(end));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    throw new AppError(
      `Cannot read the journals in ${directory}: permission denied: run as root, ` +
        "or set XDG_RUNTIME_DIR to the directory of your own journals",
      { exitCode: ExitCode.privilege, cause: error },
    );
  }
}

/**
 * Marks an entry as undone, by one byte in its place: a full file system has room for that, and a reader meanwhile sees
 * the entry or does not see it.
 */
export function strikeOut(path: string, { offset }: JournalEntry): void {
  using file = Deno.openSync(path, { write: true });
  file.seekSync(offset, Deno.SeekMode.Start);
  file.writeSync(STRUCK_OUT);
}

/** Removes what dead processes had not finished writing: nobody reads it, and it takes room that a journal needs. */
export function removeUnfinished(): void {
  const end = JOURNAL_SUFFIX + UNFINISHED_SUFFIX;
  for (const name of namesIn(journalDirectory(), end)) {
    if (isAlive(parseIdentity(name.slice(0, -end.length)))) continue;
    removeJournal(`${journalDirectory()}/${name}`);
  }
}

/** Removes a journal, if it is still there. */
export function removeJournal(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/**
 * The journal with this path; none where it is gone, is another user's, or no file, or has a first line that tells
 * nothing.
 */
export function readJournal(path: string): JournalFile[] {
  let bytes: Uint8Array;
  try {
    const { isFile, uid } = Deno.lstatSync(path);
    // An entry can be a command: only our own, and so never another user's in root's eyes, is taken at its word. What
    // is no file must not be waited for, nor hinder the others.
    if (!isFile || uid !== Deno.uid()) return [];
    bytes = Deno.readFileSync(path);
  } catch (error) {
    // Its owner ended in good order between our two looks.
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  const journal = parseJournal(bytes);
  if (journal === null) return [];
  const { owner, entries } = journal;
  return [{ path, owner, entries, changes: entries.map(({ change }) => change) }];
}
