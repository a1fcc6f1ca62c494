/**
 * Journal: a file that names every change to the host before it is made, for the process that undoes them.
 *
 * One file for each process, named by its id and start time, so that two instances never undo each other's work and a
 * recycled process id is not taken for a living owner. A file that can be removed has been undone: the order is write
 * the entry, make the change; undo the change, remove the file.
 */
import { dirname } from "node:path";
import type { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import { tryToForget, tryToUndo, undoApart, UNSHARED_KINDS } from "./entry_undo.ts";
import { changeFixture } from "./change_fixture.ts";
import { isThere } from "./socket_file.ts";
import type { Fixture } from "../upkeep/fixture.ts";
import { type HostChange, makeChange, type SysctlChange, type TableChange } from "./host_change.ts";
import { AppError, errorMessage, ExitCode } from "../../process/errors.ts";
import { journalDirectory } from "../../process/journal_directory.ts";
import {
  removeJournal,
  strikeOut,
  UNFINISHED_SUFFIX,
  withJournalsLocked,
} from "./journal_files.ts";
import type { JournalEntry, JournalOwner } from "./journal_text.ts";
import { currentNetworkNamespace } from "./network_namespace.ts";
import { identityText, journalPath, ownIdentity } from "../../process/process_identity.ts";
import { readSysctl } from "../network/sysctl.ts";
import {
  changesOfOthers,
  isOthersDirectory,
  otherHolder,
  type OthersChange,
} from "./shared_change.ts";

/** An entry of a file that may be written again, where its place is another. */
interface OwnEntry extends JournalEntry {
  offset: number;
}

/** Bytes, a page: a journal that has no more is left as long as it is. */
const LONG = 4096;

/** Entries, and the kinds of change that take their place. */
interface GivingWay {
  readonly kinds: readonly HostChange["kind"][];
  readonly entries: readonly JournalEntry[];
}

const NOTHING: GivingWay = { kinds: [], entries: [] };

export class Journal {
  readonly #path: string;
  readonly #owner: JournalOwner;
  readonly #entries: OwnEntry[] = [];
  /** What was made before the tunnel's device, and is undone behind it. */
  #beforeDevice: ReadonlySet<JournalEntry> = new Set();
  /** Those that the next change takes the place of. */
  #giveWay: GivingWay = NOTHING;
  readonly #fixtures = new Map<JournalEntry, Fixture>();
  /** What belongs to a change, and whose owner alone can put it back. */
  readonly #kept = new Set<Fixture>();
  /** The file itself: without it, nobody undoes what a crash leaves, and `vpn status` does not find the tunnel. */
  readonly #ownFile: Fixture = {
    isPolled: true,
    yieldsToPostUp: false,
    missing: () => isThere(this.#path) ? [] : [`journal ${this.#path}`],
    putBack: () => this.#writeAgain(),
  };
  #file: Deno.FsFile | null = null;
  /** The one whose place it has taken. */
  #former: Deno.FsFile | null = null;
  /** Of the file, in bytes. */
  #size = 0;
  #isExclusive = false;

  /**
   * Nothing is written before the first change.
   *
   * @param interfaceName of the tunnel, for messages
   * @param netns the name of the network namespace that the process went into; undefined where it is in its own
   */
  constructor(interfaceName: string, netns?: string) {
    const identity = ownIdentity();
    this.#path = journalPath(identity);
    const owner = { ...identity, ...currentNetworkNamespace(), interfaceName };
    this.#owner = netns === undefined ? owner : { ...owner, netns };
  }

  /** What tells this process from all others, as one word. */
  get id(): string {
    return identityText(this.#owner);
  }

  /** What of the changes is to be watched, in the order in which they were made. */
  get fixtures(): readonly Fixture[] {
    return [...this.#file ? [this.#ownFile] : [], ...this.#fixtures.values(), ...this.#kept];
  }

  /** Has one more thing watched, until what is returned is disposed of. */
  keep(fixture: Fixture): Disposable {
    this.#kept.add(fixture);
    return {
      [Symbol.dispose]: () => {
        this.#kept.delete(fixture);
      },
    };
  }

  /** Calls while no other instance changes the host: for what is chosen by what is there. */
  exclusively<Result>(call: () => Result): Result {
    if (this.#isExclusive) return call();
    return withJournalsLocked(() => {
      this.#isExclusive = true;
      try {
        return call();
      } finally {
        this.#isExclusive = false;
      }
    });
  }

  /** Writes a change down, then makes it. A table of the firewall is put there by the caller, by `firewall`. */
  make(change: Exclude<HostChange, TableChange>): void;
  make(change: TableChange, firewall: Nftables): void;
  make(change: HostChange, firewall: Nftables | null = null): void {
    const call = () => {
      const entry = this.#append(change);
      // Not before: without room in the journal, what was there stays.
      this.#giveWayTo(change);
      makeChange(change);
      const fixture = changeFixture(change, firewall);
      if (fixture !== null) this.#fixtures.set(entry, fixture);
    };
    if (UNSHARED_KINDS.has(change.kind)) call();
    else this.exclusively(call);
  }

  /** Takes note that the tunnel's device comes now: what has been made so far is to outlast it. */
  deviceComes(): void {
    this.#beforeDevice = new Set(this.#entries);
  }

  /** The changes of one kind that other living instances have made in this network namespace. */
  ofOthers<Kind extends HostChange["kind"]>(kind: Kind): OthersChange<Kind>[] {
    return changesOfOthers(kind, this.#path);
  }

  /**
   * Gives a file under `/proc/sys` a value. Where another of our processes did so before, its note of the former value
   * is taken over: the one that ends last puts that back.
   */
  makeSysctl(path: string, value: string, more: Pick<SysctlChange, "yields" | "links"> = {}): void {
    this.exclusively(() => {
      const before = readSysctl(path);
      const inherited = otherHolder({ kind: "sysctl", path }, this.#path);
      if (before === value && inherited === undefined) return;
      const { before: first, links } = inherited ?? { before, ...more };
      this.make({ kind: "sysctl", path, value, ...more, before: first, links });
    });
  }

  /** What a file under `/proc/sys` held before we, or another of our processes that still runs, gave it a value. */
  sysctlBefore(path: string): string {
    return this.sysctlChange(path)?.before ?? readSysctl(path);
  }

  /** What we, or another of our processes that still runs, have noted of a file under `/proc/sys`; null for nothing. */
  sysctlChange(path: string): SysctlChange | null {
    for (const { change } of this.#entries) {
      if (change.kind === "sysctl" && change.path === path) return change;
    }
    return otherHolder({ kind: "sysctl", path }, this.#path) ?? null;
  }

  /**
   * Makes a directory with those that it lies in, as far as they are not there. Of several processes, the last takes it
   * away.
   */
  makeDirectory(path: string): void {
    this.exclusively(() => {
      // What a dead process has made, `vpn cleanup` removes unless one that lives has noted it as well.
      if (isDirectory(path) && !isOthersDirectory(path, this.#path)) return;
      this.makeDirectory(dirname(path));
      this.make({ kind: "directory", path });
    });
  }

  /**
   * Undoes all changes, the last one first, and removes the file. Safe to call again. What cannot be undone is a
   * warning, keeps nothing else from being undone, and stays in the file for `vpn cleanup`.
   *
   * @param isDeviceThere what is to outlast the device, and what `PostDown` undoes, is left for a later call
   * @param staysClosed the kill switch is left to the next client, or to `vpn cleanup`
   */
  undo(
    { isDeviceThere = false, staysClosed = false }: {
      readonly isDeviceThere?: boolean;
      readonly staysClosed?: boolean;
    } = {},
  ): void {
    for (const entry of this.#entries.toReversed()) {
      const { kind } = entry.change;
      const isLater = isDeviceThere && (kind === "hook" || this.#beforeDevice.has(entry));
      if (!isLater && !(staysClosed && kind === "kill-switch")) this.#undoEntry(entry);
    }
  }

  /**
   * Makes a change that takes the place of those of these kinds. Where it has no room in the journal, they stay.
   *
   * @param make returns whether anything is to stand in their place
   */
  replace(kinds: readonly HostChange["kind"][], make: () => boolean): void {
    const former = this.#entries.filter(({ change }) => kinds.includes(change.kind));
    this.#giveWay = { kinds, entries: former };
    let isReplaced: boolean;
    try {
      isReplaced = make();
    } finally {
      this.#giveWay = NOTHING;
    }
    const made = this.#entries.filter((entry) =>
      kinds.includes(entry.change.kind) && !former.includes(entry)
    );
    for (const entry of former.filter((each) => this.#entries.includes(each)).reverse()) {
      if (!isReplaced) this.#undoEntry(entry);
      else if (made.some(({ change }) => isWrittenOver(entry.change, change))) this.#strike(entry);
    }
  }

  /** What is not written over is undone; what of that cannot be, stays in the file for `vpn cleanup`. */
  #giveWayTo(change: HostChange): void {
    const { kinds, entries } = this.#giveWay;
    if (!kinds.includes(change.kind)) return;
    // Once: a second change of these kinds stands beside the first one.
    this.#giveWay = NOTHING;
    for (const entry of entries.toReversed()) {
      if (isWrittenOver(entry.change, change)) continue;
      this.#undoEntry(entry);
      this.#fixtures.delete(entry);
    }
  }

  #undoEntry(entry: JournalEntry): void {
    const call = () => {
      if (!tryToUndo(entry.change, this.#path)) return;
      // Struck out at once: of two instances that end together, one must see that the other holds the change no more.
      this.#strike(entry);
    };
    if (this.#isExclusive) call();
    else undoApart(entry.change, call);
  }

  #strike(entry: JournalEntry): void {
    this.#entries.splice(this.#entries.indexOf(entry), 1);
    this.#fixtures.delete(entry);
    this.#forget(entry);
  }

  #append(change: HostChange): JournalEntry {
    if (this.#file === null) {
      Deno.mkdirSync(journalDirectory(), { recursive: true, mode: 0o700 });
      this.#file = createLocked(this.#path);
      this.#size = 0;
      this.#write(this.#owner);
    }
    if (this.#size > LONG) this.#shorten();
    const entry = { change, offset: this.#size };
    this.#write(change);
    this.#entries.push(entry);
    return entry;
  }

  /** Drops the entries that are struck out, where they are most of the file: a host that moves makes more and more. */
  #shorten(): void {
    const length = this.#lines().reduce((sum, line) => sum + line.length, 0);
    if (2 * length > this.#size) return;
    try {
      this.#writeAgain();
    } catch {
      // There is no room for a second one: the file is as it was.
    }
  }

  #lines(): Uint8Array<ArrayBuffer>[] {
    return [this.#owner, ...this.#entries.map(({ change }) => change)].map(lineOf);
  }

  /**
   * Writes the file again, all of it at once.
   *
   * @throws {Error} where it cannot be written
   */
  #writeAgain(): void {
    Deno.mkdirSync(journalDirectory(), { recursive: true, mode: 0o700 });
    const lines = this.#lines();
    const temporary = this.#path + UNFINISHED_SUFFIX;
    removeJournal(temporary);
    using opened = new DisposableStack();
    opened.defer(() => removeJournal(temporary));
    const file = opened.use(createLocked(temporary));
    for (const line of lines) {
      if (file.writeSync(line) !== line.length) throw new Error("no space is left");
    }
    Deno.renameSync(temporary, this.#path);
    opened.move();
    this.#former?.close();
    // Still locked: who has opened it just now sees that its owner lives.
    this.#former = this.#file;
    this.#file = file;
    this.#size = 0;
    for (const [index, { length }] of lines.entries()) {
      if (index > 0) this.#entries[index - 1]!.offset = this.#size;
      this.#size += length;
    }
  }

  /** Closes and removes the file: nothing is in it any more. */
  #remove(): void {
    this.#file?.close();
    this.#former?.close();
    this.#file = null;
    this.#former = null;
    tryToForget(() => removeJournal(this.#path));
  }

  /** @throws {AppError} where there is no room for the whole line: the file is then as before */
  #write(line: JournalOwner | HostChange): void {
    const file = this.#file!;
    const bytes = lineOf(line);
    try {
      const written = file.writeSync(bytes);
      if (written !== bytes.length) throw new Error("no space is left");
    } catch (error) {
      // A part of a line would spoil the next one as well.
      if (this.#entries.length > 0) file.truncateSync(this.#size);
      else this.#remove();
      throw new AppError(
        `Cannot write the journal of changes to ${this.#path}: ${
          errorMessage(error)
        }: no change is made without it: free some space there`,
        { exitCode: ExitCode.unexpected, cause: error },
      );
    }
    this.#size += bytes.length;
  }

  /**
   * Takes an entry that has been undone out of the file, or the file away with the last one. A failure stops no
   * undoing.
   */
  #forget(entry: JournalEntry): void {
    if (this.#entries.length > 0) tryToForget(() => strikeOut(this.#path, entry));
    else this.#remove();
  }
}

/**
 * A new file, with a lock on it for as long as this process has it: processes of other PID namespaces see nothing else
 * of its owner. Before the owner's line is in it, it counts as no journal.
 */
function createLocked(path: string): Deno.FsFile {
  using opened = new DisposableStack();
  const file = opened.use(Deno.openSync(path, { createNew: true, append: true, mode: 0o600 }));
  file.lockSync(true);
  opened.move();
  return file;
}

function lineOf(line: JournalOwner | HostChange): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${JSON.stringify(line)}\n`);
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Whether making the second change leaves nothing of the first one. */
function isWrittenOver(one: HostChange, other: HostChange): boolean {
  switch (one.kind) {
    case "resolv-conf":
      return one.kind === other.kind && one.path === other.path;
    case "resolvconf":
      return one.kind === other.kind && one.record === other.record;
    case "resolvectl":
      return one.kind === other.kind && one.index === other.index &&
        (other.servers.length > 0 || one.servers.length === 0) &&
        (other.domains.length > 0 || one.domains.length === 0);
    default:
      return false;
  }
}
