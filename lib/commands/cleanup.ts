/** Command `vpn cleanup`, and the same at each start: undoes what a killed run left behind. */
import { inNamespace, namespaceExists } from "../../ffi/netns.ts";
import { describeChange } from "../host/journal/host_change.ts";
import { ownResolvConfs } from "../host/dns/resolv_conf_file.ts";
import { undoStale } from "../host/journal/journal.ts";
import { type JournalFile, staleJournals } from "../host/journal/journal_files.ts";
import { ExitCode } from "../process/errors.ts";
import { configureLogging, getLogger } from "../process/logging.ts";
import {
  blocksWithoutJournal,
  describeBlock,
  isNoStandingBlock,
  standingBlocks,
} from "../host/firewall/standing_blocks.ts";
import { isAlive, parseIdentity } from "../process/process_identity.ts";
import { describeDoubtful, undoLost } from "./lost_changes.ts";
import { writeText } from "../process/output.ts";
import { undoUnlessHeld } from "../host/journal/shared_change.ts";

export interface CleanUpOptions {
  /**
   * Whether kill switches go as well, which is for a person to say. False if left out: whatever starts or restarts by
   * itself leaves a closed host closed.
   */
  readonly opensHost?: boolean;
}

/**
 * Undoes what dead processes left in this network namespace, or in one that has gone since. Returns one line for each
 * change undone.
 */
export function cleanUp(options: CleanUpOptions = {}): string[] {
  return [...undoNoted(options), ...undoLost()];
}

/** Undoes what journals tell of, and marks in files. */
function undoNoted(options: CleanUpOptions): string[] {
  const lines = staleJournals().flatMap((journal) => undoWithLines(journal, options));
  for (const { change, owner } of options.opensHost === true ? blocksWithoutJournal() : []) {
    undoUnlessHeld(change, "");
    lines.push(`undid for ${owner.interfaceName} (no journal): ${describeChange(change)}`);
  }
  // Last, what has no journal any more: a power cut empties /run, not /etc.
  for (const change of ownResolvConfs()) {
    if (isAlive(parseIdentity(change.owner))) continue;
    try {
      undoUnlessHeld(change, "");
    } catch (error) {
      // It may have become read-only: no reason not to start, nor to leave the rest undone.
      getLogger("cleanup").warn(
        "cannot undo {change}: {error}: make it writable, then run `vpn cleanup`",
        {
          change: describeChange(change),
          error,
        },
      );
      continue;
    }
    lines.push(`undid for process ${change.owner}: ${describeChange(change)}`);
  }
  return lines;
}

/** The same in the namespaces that dead processes were sent into by `--netns`, from wherever they were started. */
function cleanUpNamed(options: CleanUpOptions): string[] {
  return staleJournals().flatMap((journal) => {
    const { netns } = journal.owner;
    if (netns === undefined || !namespaceExists(netns)) return [];
    try {
      return inNamespace(netns, () => undoWithLines(journal, options));
    } catch (error) {
      // It may have gone by now, and its name be a file without a namespace: no reason to leave the rest undone.
      getLogger("cleanup").warn("cannot clean up in {netns}: {error}", { netns, error });
      return [];
    }
  });
}

function undoWithLines(
  journal: JournalFile,
  { opensHost = false }: CleanUpOptions,
): string[] {
  const { interfaceName, pid } = journal.owner;
  return undoStale(journal, (change) => opensHost || isNoStandingBlock(journal, change))
    .map((change) => `undid for ${interfaceName} (process ${pid}): ${describeChange(change)}`);
}

/**
 * Runs `vpn cleanup`.
 *
 * @param removeLeftovers removes what is in no namespace that a server would clean, as what killed demos left; returns
 * a line for each thing removed
 */
export function runCleanup(
  { keepKillSwitch }: { readonly keepKillSwitch: boolean },
  removeLeftovers: () => readonly string[],
): number {
  configureLogging({ level: "warning", format: "text" });
  const options = { opensHost: !keepKillSwitch };
  const noted = undoNoted(options);
  const lost = undoLost();
  const lines = [...noted, ...lost, ...cleanUpNamed(options), ...removeLeftovers()];
  if (lines.length === 0) lines.push("nothing to undo");
  lines.push(...describeDoubtful({ hasUndone: lost.length > 0 }));
  if (keepKillSwitch) {
    lines.push(...standingBlocks().map((block) => `kept: ${describeBlock(block)}`));
  }
  writeText(Deno.stdout, `${lines.join("\n")}\n`);
  return ExitCode.ok;
}
