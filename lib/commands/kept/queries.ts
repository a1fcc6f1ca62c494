/** Command `vpn queries`: which names a gateway's clients have asked for, where `DnsQueryLog` has kept them. */
import type { EventsRequest } from "../../cli/command.ts";
import { formatExpires } from "../../core/config/values/expiry.ts";
import { QueryFile } from "../../host/accounts/query_file.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { queriesPath } from "../../process/state_directory.ts";
import { showRecords } from "./kept_records.ts";

/** What answers of the proxy's own are called. */
const BLOCKED = "blocked";

/** @throws {AppError} with exit code 3 where no queries are kept that this user may read */
export async function runQueries(request: EventsRequest): Promise<number> {
  using file = await openQueries(queriesPath(request.interfaceName, request.netns));
  return await showRecords({
    read: (after, since) => file.queries(after, since),
    isOf: (query, peer) => query.name === peer || query.client === peer,
    entry: ({ id, time, ...rest }) => ({ id, time: new Date(time).toISOString(), ...rest }),
    cells: ({ time, client, name, question, type, source, code }) => [
      formatExpires(time),
      name ?? client,
      question,
      type,
      source === "block-list" ? BLOCKED : code ?? "no answer",
    ],
  }, request);
}

async function openQueries(path: string): Promise<QueryFile> {
  try {
    return await QueryFile.openToRead(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AppError(
      `Cannot read the queries in ${path}: ${reason}: a gateway on this interface keeps them while it runs, as root, ` +
        "with DnsProxy and DnsQueryLog = on",
      { exitCode: ExitCode.connect, cause: error },
    );
  }
}
