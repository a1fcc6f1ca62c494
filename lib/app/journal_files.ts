/**
 * Owns the files that journals are: where they are, how they are read and rewritten, and the lock on all of them.
 */
import { removeDeadSocket } from "./control/socket_file.ts";
import { AppError, ExitCode } from "./errors.ts";
import type { HostChange } from "./host_change.ts";
import { journalDirectory } from "./journal_directory.ts";
import type { NetworkNamespace } from "./network_namespace.ts";
import { isAlive, type ProcessIdentity } from "./process_identity.ts";

/** What the names of journals end with. */
export const JOURNAL_SUFFIX = ".journal";

/** The first line of a journal: the process, the network namespace that it was in, and its tunnel. */
export interface JournalOwner extends ProcessIdentity, NetworkNamespace {
  readonly interfaceName: string;
  /** What `--netns` named: the process was started elsewhere, and whoever started it cleans up from there. */
  readonly netns?: string;
}

/** A journal as it was read, of a process that lives or has died. */
export interface JournalFile {
  readonly path: string;
  readonly owner: JournalOwner;
  /** In the order in which they were made. */
  readonly changes: readonly HostChange[];
}

/**
 * Calls while no other process of ours is between looking at what is there and changing it. Not to be nested: a process
 * would wait for itself.
 */
export function withJournalsLocked<Result>(call: () => Result): Result {
  Deno.mkdirSync(journalDirectory(), { recursive: true, mode: 0o700 });
  using directory = Deno.openSync(journalDirectory());
  directory.lockSync(true);
  return call();
}

/** The journals of a process, dead or alive. */
export function journalsOf(pid: number): JournalFile[] {
  return allJournals().filter(({ owner }) => owner.pid === pid);
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
  const names: string[] = [];
  try {
    for (const { name } of Deno.readDirSync(directory)) {
      if (name.endsWith(JOURNAL_SUFFIX)) names.push(name);
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    throw new AppError(
      `Cannot read the journals in ${directory}: permission denied: run as root, ` +
        "or set XDG_RUNTIME_DIR to where yours are",
      { exitCode: ExitCode.privilege, cause: error },
    );
  }
  return names.sort().flatMap((name) => readJournal(`${directory}/${name}`));
}

/** Gives a journal other lines; at every moment it has the old ones or the new ones. */
export function rewriteJournal(path: string, lines: readonly (JournalOwner | HostChange)[]): void {
  const temporary = `${path}.new`;
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
  Deno.writeTextFileSync(temporary, text, { mode: 0o600 });
  Deno.renameSync(temporary, path);
}

/** Removes a journal, if it is still there. */
export function removeJournal(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** The journal with this path; none where it is gone, is another user's, or was cut off in its first line. */
export function readJournal(path: string): JournalFile[] {
  let text: string;
  try {
    // An entry can be a command: only our own, and so never another user's in root's eyes, is taken at its word.
    if (Deno.statSync(path).uid !== Deno.uid()) return [];
    text = Deno.readTextFileSync(path);
  } catch (error) {
    // Its owner ended in good order between our two looks.
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  // The last line may be cut off: the process died before it made that change.
  const [owner, ...changes] = text.split("\n").slice(0, -1).map(parseLine);
  if (owner === null || owner === undefined) return [];
  return [{
    path,
    owner: owner as JournalOwner,
    // One entry that cannot be read must not keep the others from being undone.
    changes: changes.filter((change) => change !== null) as HostChange[],
  }];
}

/** What we wrote into a line ourselves, or null where it has been damaged since. */
function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
