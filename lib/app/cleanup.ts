/** Owns `vpn cleanup`, and the same at each start: undoing what a killed run left behind. */
import { describeChange } from "./host_change.ts";
import { ownResolvConfs } from "./dns/resolv_conf_file.ts";
import { undoStale, undoUnlessHeld } from "./journal.ts";
import { staleJournals } from "./journal_files.ts";
import { ExitCode } from "./errors.ts";
import { configureLogging } from "./logging.ts";
import { removeLeftovers } from "./demo/traces.ts";
import { isAlive, parseIdentity } from "./process_identity.ts";
import { writeText } from "./output.ts";

/** Undoes what dead processes left in this network namespace, or in one that has gone since. Returns one line for each change undone. */
export function cleanUp(): string[] {
  const lines: string[] = [];
  for (const journal of staleJournals()) {
    const { interfaceName, pid } = journal.owner;
    for (const change of undoStale(journal)) {
      lines.push(`undid for ${interfaceName} (process ${pid}): ${describeChange(change)}`);
    }
  }
  // Last, what has no journal any more: a power cut empties /run, not /etc.
  for (const change of ownResolvConfs()) {
    if (isAlive(parseIdentity(change.owner))) continue;
    undoUnlessHeld(change, "");
    lines.push(`undid for process ${change.owner}: ${describeChange(change)}`);
  }
  return lines;
}

/** Runs `vpn cleanup`, which takes away what demos left, too: that is in no namespace that a server would clean. */
export function runCleanup(): number {
  configureLogging({ level: "warning", format: "text" });
  const lines = [...cleanUp(), ...removeLeftovers()];
  if (lines.length === 0) lines.push("nothing to undo");
  writeText(Deno.stdout, `${lines.join("\n")}\n`);
  return ExitCode.ok;
}
