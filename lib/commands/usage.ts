/** Command `vpn usage`: what a gateway's peers have sent and received, by month or day, as its accounts have it. */
import { format as formatBytes } from "@std/fmt/bytes.js";
import type { UsageRequest } from "../cli/command.ts";
import { tableLines } from "../cli/table.ts";
import type { PeriodUsage } from "../host/accounts/account_store.ts";
import { ExitCode } from "../process/errors.ts";
import { writeText } from "../process/output.ts";
import { openAccounts } from "./accounts_file.ts";

/** @throws {AppError} with exit code 3 where there are no accounts that this user may read */
export async function runUsage(request: UsageRequest): Promise<number> {
  const { peer, by, json } = request;
  using store = await openAccounts(request);
  const usage = store.usage(by).filter((each) =>
    peer === null || each.name === peer || each.peer === peer
  );
  if (json) {
    const entries = usage.map(({ period, peer: publicKey, name, received, sent }) => ({
      period,
      name,
      publicKey,
      received,
      sent,
    }));
    writeText(Deno.stdout, `${JSON.stringify(entries, null, 2)}\n`);
  } else if (usage.length === 0) {
    writeText(Deno.stdout, `${peer === null ? "no peer" : peer} has used anything yet\n`);
  } else writeText(Deno.stdout, `${usageLines(usage).join("\n")}\n`);
  return ExitCode.ok;
}

function usageLines(usage: readonly PeriodUsage[]): string[] {
  // As providers of lines count, and as quotas are given.
  const text = (bytes: number) => formatBytes(bytes, { maximumFractionDigits: 1 });
  const rows = usage.map(({ period, peer, name, received, sent }) => [
    ...[period, name ?? peer, text(received), text(sent), text(received + sent)],
  ]);
  return tableLines([["PERIOD", "PEER", "RECEIVED", "SENT", "TOTAL"], ...rows]);
}
