/**
 * Owns the journal: a file that names every change to the host before it is made, for whoever comes after us.
 *
 * One file for each process, named by its id and start time, so that two instances never undo each other's work and a
 * recycled process id is not taken for a living owner. A file that can be removed has been undone: the order is write
 * the entry, make the change; undo the change, remove the file.
 */
import { dirname } from "node:path";
import { AppError, ExitCode } from "./errors.ts";
import {
  describeChange,
  type HostChange,
  makeChange,
  readSysctl,
  undoChange,
} from "./host_change.ts";
import { journalDirectory } from "./journal_directory.ts";
import { getLogger } from "./logging.ts";
import { identityText, isAlive, ownIdentity, type ProcessIdentity } from "./process_identity.ts";

const SUFFIX = ".journal";

/** The first line of a journal. */
interface Owner extends ProcessIdentity {
  /** Of the network namespace, as `net:[4026531840]`. */
  readonly namespace: string;
  readonly interfaceName: string;
}

/** A journal as it was read, of a process that lives or has died. */
export interface JournalFile {
  readonly path: string;
  readonly owner: Owner;
  /** In the order in which they were made. */
  readonly changes: readonly HostChange[];
}

export class Journal {
  readonly #path: string;
  readonly #owner: Owner;
  readonly #changes: HostChange[] = [];
  #file: Deno.FsFile | null = null;

  /** @param interfaceName of the tunnel, for messages. Nothing is written before the first change. */
  constructor(interfaceName: string) {
    const identity = ownIdentity();
    this.#path = `${journalDirectory()}/${identityText(identity)}${SUFFIX}`;
    this.#owner = { ...identity, namespace: currentNamespace(), interfaceName };
  }

  /** What tells this process from all others, as one word. */
  get id(): string {
    return identityText(this.#owner);
  }

  /** Writes a change down, then makes it. */
  make(change: HostChange): void {
    this.#append(change);
    this.#changes.push(change);
    makeChange(change);
  }

  /**
   * Gives a file under `/proc/sys` a value. Where another of our processes did so before, its note of the former value
   * is taken over: whoever ends last puts that back.
   */
  makeSysctl(path: string, value: string): void {
    const current = readSysctl(path);
    const inherited = otherHolder({ kind: "sysctl", path }, this.#path)?.before;
    if (current === value && inherited === undefined) return;
    this.make({ kind: "sysctl", path, value, before: inherited ?? current });
  }

  /** Makes a directory with those that it lies in, as far as they are not there. Of several processes, the last takes it away. */
  makeDirectory(path: string): void {
    if (isDirectory(path) && otherHolder({ kind: "directory", path }, this.#path) === undefined) {
      return;
    }
    this.makeDirectory(dirname(path));
    this.make({ kind: "directory", path });
  }

  /**
   * Undoes all changes, the last one first, and removes the file. Safe to call again. What cannot be undone is a warning,
   * keeps nothing else from being undone, and stays in the file for `vpn cleanup`.
   *
   * @param until the last change of this kind, and what was made before it, are left for a later call
   */
  undo({ until }: { until?: HostChange["kind"] } = {}): void {
    const first = this.#changes.findLastIndex(({ kind }) => kind === until) + 1;
    const changes = this.#changes.splice(first).reverse();
    this.#changes.push(...changes.filter((change) => !tryToUndo(change, this.#path)).reverse());
    if (this.#file === null) return;
    if (this.#changes.length === 0) {
      this.#file.close();
      this.#file = null;
      removeIfThere(this.#path);
    } else {
      this.#file.close();
      rewrite(this.#path, [this.#owner, ...this.#changes]);
      this.#file = Deno.openSync(this.#path, { append: true });
    }
  }

  #append(change: HostChange): void {
    if (this.#file === null) {
      Deno.mkdirSync(journalDirectory(), { recursive: true, mode: 0o700 });
      this.#file = Deno.openSync(this.#path, { createNew: true, append: true, mode: 0o600 });
      this.#write(this.#owner);
    }
    this.#write(change);
  }

  #write(line: Owner | HostChange): void {
    const bytes = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
    const written = this.#file!.writeSync(bytes);
    // A half-written entry could not be read by whoever has to undo it; /run is memory, so this is memory running out.
    if (written !== bytes.length) throw new Error(`Cannot write ${this.#path}: no space is left`);
  }
}

/** The journals of a process, dead or alive. */
export function journalsOf(pid: number): JournalFile[] {
  return allJournals().filter(({ owner }) => owner.pid === pid);
}

/**
 * Removes the journals of a network namespace that is about to go, and with it all that they name.
 *
 * @param inode of the namespace
 */
export function dropJournals(inode: number): void {
  for (const { path, owner } of allJournals()) {
    if (owner.namespace === `net:[${inode}]`) removeIfThere(path);
  }
}

/** The journals of processes that have died, oldest first. */
export function staleJournals(): JournalFile[] {
  return allJournals().filter((journal) => !isAlive(journal.owner));
}

function allJournals(): JournalFile[] {
  const directory = journalDirectory();
  const names: string[] = [];
  try {
    for (const { name } of Deno.readDirSync(directory)) {
      if (name.endsWith(SUFFIX)) names.push(name);
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

type Shared = Extract<HostChange, { kind: "sysctl" | "directory" | "resolv-conf" }>;

/**
 * The change by which another living process holds the same file. For those that belong to a network namespace, it is
 * one of this namespace.
 */
function otherHolder<Kind extends Shared["kind"]>(
  { kind, path, directory }: { kind: Kind; path: string; directory?: string },
  ownJournal: string,
): Extract<HostChange, { kind: Kind }> | undefined {
  const namespace = currentNamespace();
  for (const journal of allJournals()) {
    if (journal.path === ownJournal || !isAlive(journal.owner)) continue;
    if (kind === "sysctl" && journal.owner.namespace !== namespace) continue;
    for (const change of journal.changes) {
      if (change.kind !== kind || change.path !== path) continue;
      if (change.kind === "resolv-conf" && change.directory !== directory) continue;
      return change as Extract<HostChange, { kind: Kind }>;
    }
  }
  return undefined;
}

/** As `undoUnlessHeld()`; false, with a warning, where it fails. */
function tryToUndo(change: HostChange, ownJournal: string): boolean {
  try {
    undoUnlessHeld(change, ownJournal);
    return true;
  } catch (error) {
    getLogger("journal").warn("cannot undo {change}, `vpn cleanup` will try again: {error}", {
      change: describeChange(change),
      error,
    });
    return false;
  }
}

/**
 * Undoes a change, but leaves to another living process what it has in common with that.
 *
 * @param ownJournal of whoever made the change; empty where it is gone
 */
export function undoUnlessHeld(change: HostChange, ownJournal: string): void {
  const isShared = change.kind === "sysctl" || change.kind === "resolv-conf";
  const other = isShared ? otherHolder(change, ownJournal) : undefined;
  if (other?.kind === "sysctl") return;
  undoChange(change, other);
}

/**
 * Undoes what a dead process of this network namespace left, and removes its journal.
 *
 * @returns what was undone; nothing of another namespace, which is left alone: its changes are there, or gone with it
 */
export function undoStale({ path, owner, changes }: JournalFile): HostChange[] {
  if (owner.namespace !== currentNamespace()) return [];
  const left = changes.toReversed().filter((change) => !tryToUndo(change, path)).reverse();
  if (left.length === 0) removeIfThere(path);
  else rewrite(path, [owner, ...left]);
  return changes.filter((change) => !left.includes(change));
}

/** Gives a journal other lines; at every moment it has the old ones or the new ones. */
function rewrite(path: string, lines: readonly (Owner | HostChange)[]): void {
  const temporary = `${path}.new`;
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
  Deno.writeTextFileSync(temporary, text, { mode: 0o600 });
  Deno.renameSync(temporary, path);
}

function readJournal(path: string): JournalFile[] {
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
    owner: owner as Owner,
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

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function currentNamespace(): string {
  return Deno.readLinkSync("/proc/thread-self/ns/net");
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
