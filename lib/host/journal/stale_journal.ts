/** Stale journals: what dead processes have left is undone, change by change. */
import { tryToForget, tryToUndo, undoApart } from "./entry_undo.ts";
import type { HostChange } from "./host_change.ts";
import { type JournalFile, readJournal, removeJournal, strikeOut } from "./journal_files.ts";
import { currentNetworkNamespace, isGone, isSameNamespace } from "./network_namespace.ts";

/** Changes to files, which do not go with a network namespace. */
const FILE_KINDS: ReadonlySet<HostChange["kind"]> = new Set([
  "directory",
  "socket",
  "resolv-conf",
  "resolvconf",
]);

export interface StaleOptions {
  /** Whether a change is to be undone; the others stay in the journal. */
  readonly isUndone: (change: HostChange) => boolean;
  /** Is told of each change that cannot be undone, and stays there as well; the log has it already. */
  readonly onFailure: (error: unknown) => void;
}

/**
 * Undoes what a dead process of this network namespace left, and removes its journal. Where its namespace has gone, and
 * what was changed there with it, files are put back all the same; commands are not run anywhere else.
 *
 * @returns what was undone; nothing of another namespace that is still there
 */
export function undoStale(
  { path, owner }: JournalFile,
  { isUndone, onFailure }: StaleOptions,
): HostChange[] {
  const isHere = isSameNamespace(owner, currentNetworkNamespace());
  if (!isHere && !isGone(owner)) return [];
  using file = openIfThere(path);
  if (file === null) return [];
  // Of two that start together, the second finds nothing left to do.
  file.lockSync(true);
  const entries = readJournal(path).flatMap((journal) => journal.entries)
    .filter(({ change }) => isHere || FILE_KINDS.has(change.kind));
  const undone = entries.toReversed().filter((entry) =>
    isUndone(entry.change) && undoApart(entry.change, () => {
      if (!tryToUndo(entry.change, path, onFailure)) return false;
      tryToForget(() => strikeOut(path, entry));
      return true;
    })
  );
  if (undone.length === entries.length) tryToForget(() => removeJournal(path));
  return undone.reverse().map(({ change }) => change);
}

function openIfThere(path: string): Deno.FsFile | null {
  try {
    return Deno.openSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
