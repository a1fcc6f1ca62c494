/** Command `vpn queries`: which names a gateway's clients have asked for, where `DnsQueryLog` has kept them. */
import type { EventsRequest } from "../../cli/command.ts";
import { formatExpires } from "../../core/config/values/expiry.ts";
import { QUERIES } from "../../host/accounts/record_kinds.ts";
import { queriesPath } from "../../process/state_directory.ts";
import { showRecords } from "./kept_records.ts";
import { openRecords } from "./record_files.ts";

/** What answers of the proxy's own are called. */
const BLOCKED = "blocked";

/** @throws {AppError} with exit code 3 where no queries are kept that this user may read */
export async function runQueries(request: EventsRequest): Promise<number> {
  const path = queriesPath(request.interfaceName, request.netns);
  using file = await openRecords(path, QUERIES, {
    what: "queries",
    keys: "DnsProxy and DnsQueryLog = on",
  });
  return await showRecords({
    read: (after, since) => file.records(after, since),
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
