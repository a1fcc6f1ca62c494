/** Command `vpn cleanup`, and the same at each start: undoes what a killed run left behind. */
import { inNamespace, namespaceExists } from "../../ffi/netns.ts";
import { describeChange } from "../host/journal/host_change.ts";
import { ownResolvConfs } from "../host/dns/resolv_conf_file.ts";
import { isGone } from "../host/journal/network_namespace.ts";
import { undoStale } from "../host/journal/stale_journal.ts";
import {
  type JournalFile,
  removeUnfinished,
  staleJournals,
} from "../host/journal/journal_files.ts";
import { ExitCode } from "../process/errors.ts";
import { configureLogging } from "../process/logging.ts";
import {
  blocksWithoutJournal,
  describeBlock,
  isNoStandingBlock,
  standingBlocks,
} from "../host/firewall/standing_blocks.ts";
import { isAlive, parseIdentity } from "../process/process_identity.ts";
import { describeDoubtful, undoLost } from "./lost_changes.ts";
import { Undoing } from "./undoing.ts";
import { writeText } from "../process/output.ts";
import { undoUnlessHeld } from "../host/journal/shared_change.ts";

export interface CleanUpOptions {
  /**
   * Whether kill switches go as well, which is for a person to say. False if left out: whatever starts or restarts by
   * itself leaves a closed host closed.
   */
  readonly opensHost?: boolean;
}

/** What to do about that which is left. */
const AGAIN = "remove the cause, then run `vpn cleanup`";

/**
 * Undoes what dead processes left in this network namespace, or in one that has gone since. Returns one line for each
 * change undone; what cannot be is a warning.
 */
export function cleanUp(options: CleanUpOptions = {}): string[] {
  const undoing = new Undoing();
  undoNoted(undoing, options);
  undoLost(undoing);
  return undoing.lines;
}

/** Undoes what journals tell of, and marks in files. */
function undoNoted(undoing: Undoing, options: CleanUpOptions): void {
  undoing.attempt("remove unfinished journals", AGAIN, removeUnfinished);
  for (const journal of staleJournals()) {
    undoing.attempt(`read ${journal.path}`, AGAIN, () => undoOne(undoing, journal, options));
  }
  for (const { change, owner } of options.opensHost === true ? blocksWithoutJournal() : []) {
    const what = describeChange(change);
    undoing.attempt(`undo ${what}`, AGAIN, () => {
      undoUnlessHeld(change, "");
      undoing.lines.push(`undid for ${owner.interfaceName} (no journal): ${what}`);
    });
  }
  // Last, what has no journal any more: a power cut empties /run, not /etc.
  for (const change of ownResolvConfs()) {
    if (isAlive(parseIdentity(change.owner))) continue;
    const what = describeChange(change);
    // It may have become read-only: no reason not to start, nor to leave the rest undone.
    undoing.attempt(`undo ${what}`, "make it writable, then run `vpn cleanup`", () => {
      undoUnlessHeld(change, "");
      undoing.lines.push(`undid for process ${change.owner}: ${what}`);
    });
  }
}

/** The same in the namespaces that dead processes were sent into by `--netns`, from wherever they were started. */
function undoNamed(undoing: Undoing, options: CleanUpOptions): void {
  for (const journal of staleJournals()) {
    const { netns } = journal.owner;
    if (netns === undefined || !namespaceExists(netns)) continue;
    undoing.attempt(`clean up in ${netns}`, AGAIN, () => {
      try {
        inNamespace(netns, () => undoOne(undoing, journal, options));
      } catch (error) {
        // It may have gone by now, and its name be a file without a namespace.
        if (!isGone(journal.owner)) throw error;
      }
    });
  }
}

function undoOne(
  undoing: Undoing,
  journal: JournalFile,
  { opensHost = false }: CleanUpOptions,
): void {
  const { interfaceName, pid } = journal.owner;
  const undone = undoStale(journal, {
    isUndone: (change) => opensHost || isNoStandingBlock(journal, change),
    onFailure: (error) => undoing.failed(error),
  });
  for (const change of undone) {
    undoing.lines.push(`undid for ${interfaceName} (process ${pid}): ${describeChange(change)}`);
  }
}

/** Removes what is in no namespace that a server would clean, as what killed demos left. */
export type RemoveLeftovers = (undoing: Undoing) => void;

/**
 * Runs `vpn cleanup`.
 *
 * @returns 0 where nothing is left of what it is to undo; else 1, or 5 where all of that takes more privileges
 */
export function runCleanup(
  { keepKillSwitch }: { readonly keepKillSwitch: boolean },
  removeLeftovers: RemoveLeftovers,
): number {
  configureLogging({ level: "warning", format: "text" });
  const options = { opensHost: !keepKillSwitch };
  const undoing = new Undoing();
  const step = (call: () => void) => undoing.attempt("clean up all", AGAIN, call);
  let lost = 0;
  step(() => undoNoted(undoing, options));
  step(() => lost = undoLost(undoing));
  step(() => undoNamed(undoing, options));
  step(() => removeLeftovers(undoing));
  const { lines } = undoing;
  if (lines.length === 0 && undoing.exitCode === ExitCode.ok) lines.push("nothing to undo");
  step(() => lines.push(...describeDoubtful({ hasUndone: lost > 0 })));
  if (keepKillSwitch) {
    step(() => lines.push(...standingBlocks().map((block) => `kept: ${describeBlock(block)}`)));
  }
  writeText(Deno.stdout, lines.map((line) => `${line}\n`).join(""));
  return undoing.exitCode;
}
