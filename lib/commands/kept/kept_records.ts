/** Kept records: shows what a gateway has kept by number, events or queries, and goes on with what it adds. */
import type { EventsRequest } from "../../cli/command.ts";
import { tableLines } from "../../cli/table.ts";
import type { Expiry } from "../../core/config/values/expiry.ts";
import { ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";
import { listenForStop } from "../../process/stop_signal.ts";

/** ms between two looks of `--follow`. */
const INTERVAL = 500;

export interface KeptRecords<T extends { readonly id: number }> {
  /** Some of those behind number `after` that are no older than `since`, Unix ms, in their order; none at the end. */
  readonly read: (after: number, since: number) => readonly T[];
  /** Whether one is of the peer, by its name or public key. */
  readonly isOf: (record: T, peer: string) => boolean;
  readonly entry: (record: T) => unknown;
  readonly cells: (record: T) => string[];
}

/** Shows those that are asked for; returns the exit code. */
export async function showRecords<T extends { readonly id: number }>(
  records: KeptRecords<T>,
  request: EventsRequest,
): Promise<number> {
  const since = sinceTime(request.since, Date.now());
  const shown = asked(records, request, { after: 0, since });
  if (request.json && !request.follow) {
    writeText(Deno.stdout, `${JSON.stringify(shown.found.map(records.entry), null, 2)}\n`);
    return ExitCode.ok;
  }
  if (!show(records, shown.found, request) || !request.follow) return ExitCode.ok;
  using stop = listenForStop();
  let isStopped = false;
  const stopped = stop.received.then(() => void (isStopped = true));
  for (let { last } = shown; !isStopped;) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const pause = new Promise<void>((resolve) => timer = setTimeout(resolve, INTERVAL));
    await Promise.race([stopped, pause]);
    clearTimeout(timer);
    const news = asked(records, request, { after: last, since });
    if (!show(records, news.found, request)) break;
    last = news.last;
  }
  return ExitCode.ok;
}

/** Those that are asked for, and the number of the last that was looked at. */
function asked<T extends { readonly id: number }>(
  { read, isOf }: KeptRecords<T>,
  { peer }: EventsRequest,
  { after, since }: { readonly after: number; readonly since: number },
): { readonly found: T[]; readonly last: number } {
  const found: T[] = [];
  let last = after;
  for (let part = read(last, since); part.length > 0; part = read(last, since)) {
    for (const record of part) if (peer === null || isOf(record, peer)) found.push(record);
    last = part.at(-1)!.id;
  }
  return { found, last };
}

/** Unix ms; a period is one that ends now. */
function sinceTime(since: Expiry | null, now: number): number {
  if (since === null || since.kind === "never") return 0;
  return since.kind === "at" ? since.time : now - since.period;
}

/** Returns false where nobody reads any more. */
function show<T extends { readonly id: number }>(
  { entry, cells }: KeptRecords<T>,
  found: readonly T[],
  { json }: EventsRequest,
): boolean {
  if (found.length === 0) return true;
  const lines = json
    ? found.map((record) => JSON.stringify(entry(record)))
    : tableLines(found.map(cells));
  return writeText(Deno.stdout, `${lines.join("\n")}\n`);
}
