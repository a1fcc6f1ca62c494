/** Command `vpn events`: what happened to a gateway's peers, as its accounts have it, and what happens from now on. */
import type { EventsRequest } from "../../cli/command.ts";
import { formatExpires } from "../../core/config/values/expiry.ts";
import { eventEntry } from "../../control/application/methods_of_accounts.ts";
import { openAccounts } from "./accounts_file.ts";
import { showRecords } from "./kept_records.ts";

/** @throws {AppError} with exit code 3 where there are no accounts that this user may read */
export async function runEvents(request: EventsRequest): Promise<number> {
  using store = await openAccounts(request);
  return await showRecords({
    read: (after, since) => store.events(after, since),
    isOf: (event, peer) => event.name === peer || event.peer === peer,
    entry: eventEntry,
    cells: ({ time, kind, name, peer, detail }) => [
      formatExpires(time),
      kind.replaceAll("-", " "),
      name ?? peer ?? "-",
      detail ?? "",
    ],
  }, request);
}
