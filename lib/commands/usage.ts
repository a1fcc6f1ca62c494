/** Command `vpn usage`: what a gateway's peers have sent and received, by month or day, as its accounts have it. */
import { format as formatBytes } from "@std/fmt/bytes.js";
import type { UsageRequest } from "../cli/command.ts";
import { tableLines } from "../cli/table.ts";
import { AccountStore, type PeriodUsage } from "../host/accounts/account_store.ts";
import { AppError, ExitCode } from "../process/errors.ts";
import { writeText } from "../process/output.ts";
import { accountsPath } from "../process/state_directory.ts";

/** @throws {AppError} with exit code 3 where there are no accounts that this user may read */
export async function runUsage(request: UsageRequest): Promise<number> {
  const { interfaceName, netns, peer, by, json } = request;
  const path = accountsPath(interfaceName, netns);
  const usage = (await read(path, by)).filter((each) =>
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

async function read(path: string, by: "day" | "month"): Promise<PeriodUsage[]> {
  try {
    using store = await AccountStore.openToRead(path);
    return store.usage(by);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AppError(
      `Cannot read the accounts in ${path}: ${reason}: a gateway on this interface keeps them while it runs, as root`,
      { exitCode: ExitCode.connect, cause: error },
    );
  }
}

function usageLines(usage: readonly PeriodUsage[]): string[] {
  // As providers of lines count, and as quotas are given.
  const text = (bytes: number) => formatBytes(bytes, { maximumFractionDigits: 1 });
  const rows = usage.map(({ period, peer, name, received, sent }) => [
    ...[period, name ?? peer, text(received), text(sent), text(received + sent)],
  ]);
  return tableLines([["PERIOD", "PEER", "RECEIVED", "SENT", "TOTAL"], ...rows]);
}
