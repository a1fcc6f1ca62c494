/** Command `vpn events`: what happened to a gateway's peers, as its accounts have it, and what happens from now on. */
import type { EventsRequest } from "../cli/command.ts";
import { tableLines } from "../cli/table.ts";
import { type Expiry, formatExpires } from "../core/config/values/expiry.ts";
import { eventEntry } from "../control/application/methods_of_accounts.ts";
import type { AccountStore, RecordedEvent } from "../host/accounts/account_store.ts";
import { ExitCode } from "../process/errors.ts";
import { writeText } from "../process/output.ts";
import { listenForStop } from "../process/stop_signal.ts";
import { openAccounts } from "./accounts_file.ts";

/** ms between two looks of `--follow`. */
const INTERVAL = 500;

/** @throws {AppError} with exit code 3 where there are no accounts that this user may read */
export async function runEvents(request: EventsRequest): Promise<number> {
  using store = await openAccounts(request);
  const since = sinceTime(request.since, Date.now());
  const shown = eventsOf(store, request, { after: 0, since });
  if (request.json && !request.follow) {
    writeText(Deno.stdout, `${JSON.stringify(shown.events.map(eventEntry), null, 2)}\n`);
    return ExitCode.ok;
  }
  if (!show(shown.events, request) || !request.follow) return ExitCode.ok;
  using stop = listenForStop();
  let isStopped = false;
  const stopped = stop.received.then(() => void (isStopped = true));
  for (let { last } = shown; !isStopped;) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const pause = new Promise<void>((resolve) => timer = setTimeout(resolve, INTERVAL));
    await Promise.race([stopped, pause]);
    clearTimeout(timer);
    const news = eventsOf(store, request, { after: last, since });
    if (!show(news.events, request)) break;
    last = news.last;
  }
  return ExitCode.ok;
}

/** Those that are asked for, and the number of the last that was looked at. */
function eventsOf(
  store: AccountStore,
  { peer }: EventsRequest,
  { after, since }: { readonly after: number; readonly since: number },
): { readonly events: RecordedEvent[]; readonly last: number } {
  const events: RecordedEvent[] = [];
  let last = after;
  for (let part = store.events(last, since); part.length > 0; part = store.events(last, since)) {
    for (const event of part) {
      if (peer === null || event.name === peer || event.peer === peer) events.push(event);
    }
    last = part.at(-1)!.id;
  }
  return { events, last };
}

/** Unix ms; a period is one that ends now. */
function sinceTime(since: Expiry | null, now: number): number {
  if (since === null || since.kind === "never") return 0;
  return since.kind === "at" ? since.time : now - since.period;
}

/** Returns false where nobody reads any more. */
function show(events: readonly RecordedEvent[], { json }: EventsRequest): boolean {
  if (events.length === 0) return true;
  const lines = json ? events.map((event) => JSON.stringify(eventEntry(event))) : tableLines(
    events.map(({ time, kind, name, peer, detail }) => [
      formatExpires(time),
      kind.replaceAll("-", " "),
      name ?? peer ?? "-",
      detail ?? "",
    ]),
  );
  return writeText(Deno.stdout, `${lines.join("\n")}\n`);
}
