/** Undoing of one entry of a journal: a failure is a warning, and stops no other. */
import { getLogger } from "../../process/logging.ts";
import { describeChange, type HostChange } from "./host_change.ts";
import { withJournalsLockedIfPossible } from "./journal_files.ts";
import { undoUnlessHeld } from "./shared_change.ts";

/** Changes by programs, which take their time, and which no other instance looks at. */
export const UNSHARED_KINDS: ReadonlySet<HostChange["kind"]> = new Set([
  "hook",
  "resolvconf",
  "resolvectl",
]);

/** As `undoUnlessHeld()`; false, with a warning, where it fails. */
export function tryToUndo(
  change: HostChange,
  ownJournal: string,
  onFailure: (error: unknown) => void = () => {},
): boolean {
  try {
    undoUnlessHeld(change, ownJournal);
    return true;
  } catch (error) {
    getLogger("journal").warn("cannot undo {change}, `vpn cleanup` will try again: {error}", {
      change: describeChange(change),
      error,
    });
    onFailure(error);
    return false;
  }
}

/** Calls while no other instance changes what it shares with this one. */
export function undoApart<Result>(change: HostChange, call: () => Result): Result {
  return UNSHARED_KINDS.has(change.kind) ? call() : withJournalsLockedIfPossible(call);
}

/** What is undone is harmless in a journal, as undoing it again is: that it stays there must stop nothing. */
export function tryToForget(call: () => void): void {
  try {
    call();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    getLogger("journal").warn("cannot mark undone changes in the journal: {error}", { error });
  }
}
