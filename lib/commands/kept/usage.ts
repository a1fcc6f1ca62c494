/** Command `vpn usage`: what a gateway's peers have sent and received, by month or day, as its accounts have it. */
import { format as formatBytes } from "@std/fmt/bytes.js";
import type { UsageRequest } from "../../cli/command.ts";
import { tableLines } from "../../cli/table.ts";
import type { UsageEntry } from "../../control/application/methods.ts";
import { usageEntries } from "../../control/application/methods_of_accounts.ts";
import { ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";
import { openAccounts } from "./accounts_file.ts";

/** @throws {AppError} with exit code 3 where there are no accounts that this user may read */
export async function runUsage(request: UsageRequest): Promise<number> {
  const { peer, by, json } = request;
  using store = await openAccounts(request);
  const usage = usageEntries(store.usage(by), peer);
  if (json) writeText(Deno.stdout, `${JSON.stringify(usage, null, 2)}\n`);
  else if (usage.length === 0) {
    writeText(Deno.stdout, `${peer === null ? "no peer" : peer} has used anything yet\n`);
  } else writeText(Deno.stdout, `${usageLines(usage).join("\n")}\n`);
  return ExitCode.ok;
}

function usageLines(usage: readonly UsageEntry[]): string[] {
  // As providers of lines count, and as quotas are given.
  const text = (bytes: number) => formatBytes(bytes, { maximumFractionDigits: 1 });
  const rows = usage.map(({ period, publicKey, name, received, sent }) => [
    ...[period, name ?? publicKey, text(received), text(sent), text(received + sent)],
  ]);
  return tableLines([["PERIOD", "PEER", "RECEIVED", "SENT", "TOTAL"], ...rows]);
}
