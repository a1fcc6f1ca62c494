/** The application's methods about what peers have used and what happened to them, as a control socket offers them. */
import type { PeriodUsage, RecordedEvent } from "../../host/accounts/account_store.ts";
import { RefusalError } from "../../core/config/refusal_error.ts";
import { USAGE_PERIODS, type UsagePeriod } from "../../core/config/values/usage_period.ts";
import { guarded } from "../../process/guard.ts";
import { paced } from "../../process/pace.ts";
import type { Accounts } from "../accounts.ts";
import type { Handler, Params } from "../protocol.ts";
import type { ApplicationMethods, EventEntry, UsageEntry } from "./methods.ts";
import { numberParam, optionalText, switchParam } from "./params.ts";

/** Events of an answer, unless fewer are asked for: some 200 KB. */
const MAX_EVENTS = 1_000;
/** Periods of an answer about all peers: a year, a month, two days. */
const PERIODS_OF_ALL: Readonly<Record<UsagePeriod, number>> = { hour: 48, day: 31, month: 12 };
/** Entries of such an answer, of whole periods: some 8 MB. */
const MAX_USAGE = 50_000;

type Result<Method extends keyof ApplicationMethods> = ApplicationMethods[Method]["result"];

export function methodsOfAccounts(
  accounts: Pick<Accounts, "ask" | "onEvents">,
): Readonly<Record<"usage" | "events" | "follow-events", Handler>> {
  return {
    "usage": (params) => usageFor(accounts, params),
    "events": (params) => Promise.try(() => eventsFor(accounts, params)),
    "follow-events": async (params, emit, signal) => {
      const newest = { ...params, limit: 1, newest: true, peer: undefined, after: 0 };
      let after = numberParam(params, "after", eventsFor(accounts, newest).last);
      while (!signal.aborted) {
        const written = Promise.withResolvers<void>();
        const stop = guarded("control", "ending what is told of events", () => written.resolve());
        using _listener = accounts.onEvents(() => written.resolve());
        signal.addEventListener("abort", stop, { once: true });
        const { events, last } = eventsFor(accounts, { ...params, after, since: 0 });
        for (const event of events) await emit(event);
        if (last === after) await written.promise;
        signal.removeEventListener("abort", stop);
        after = last;
      }
      return null;
    },
  };
}

async function usageFor(
  accounts: Pick<Accounts, "ask">,
  params: Params,
): Promise<Result<"usage">> {
  const { by: asked = "month" } = params;
  const by = USAGE_PERIODS.find((period) => period === asked);
  if (by === undefined) throw new RefusalError("invalid", `by: ${USAGE_PERIODS.join(", ")}`);
  const peer = optionalText(params, "peer") ?? null;
  const users = accounts.ask((store) => store.users());
  if (peer !== null && users.includes(peer)) {
    return { usage: usageEntries(accounts.ask((store) => store.usage(by, peer)), null) };
  }
  const limits = peer === null
    ? { periods: PERIODS_OF_ALL[by], entries: MAX_USAGE }
    : { periods: null, entries: MAX_USAGE };
  const found = function* (): Iterable<PeriodUsage> {
    for (const each of users) {
      yield* accounts.ask((store) => store.usage(by, each, limits.periods))
        .filter(({ name }) => peer === null || name === peer);
    }
  };
  return { usage: usageEntries(await paced(newestUsage(found(), limits)), null) };
}

/** The newest periods of many peers, as the store has them of all: a peer at a time, as that may be a million rows. */
function* newestUsage(
  usage: Iterable<PeriodUsage>,
  limits: { readonly periods: number | null; readonly entries: number },
): Generator<void, PeriodUsage[]> {
  const byPeriod = new Map<string, PeriodUsage[]>();
  for (const each of usage) {
    const others = byPeriod.get(each.period);
    if (others === undefined) byPeriod.set(each.period, [each]);
    else others.push(each);
    yield;
  }
  const newest: PeriodUsage[] = [];
  const total = ({ received, sent }: PeriodUsage) => received + sent;
  const periods = Array.from(byPeriod.keys()).sort().reverse();
  for (const period of periods.slice(0, limits.periods ?? periods.length)) {
    const entries = byPeriod.get(period)!;
    if (newest.length > 0 && newest.length + entries.length > limits.entries) break;
    newest.push(...entries.sort((a, b) => total(b) - total(a)));
    yield;
  }
  return newest;
}

/** Of one peer, by its name or public key, or of all. */
export function usageEntries(usage: readonly PeriodUsage[], peer: string | null): UsageEntry[] {
  return usage.filter((each) => peer === null || each.name === peer || each.peer === peer)
    .map(({ period, peer: publicKey, name, received, sent }) => ({
      period,
      name,
      publicKey,
      received,
      sent,
    }));
}

function eventsFor(accounts: Pick<Accounts, "ask">, params: Params): Result<"events"> {
  const after = numberParam(params, "after", 0);
  const query = {
    after,
    since: numberParam(params, "since", 0),
    peer: optionalText(params, "peer") ?? null,
    limit: Math.min(numberParam(params, "limit", MAX_EVENTS), MAX_EVENTS),
    newest: switchParam(params, "newest", false),
  };
  const found = accounts.ask((store) => store.findEvents(query));
  return { events: found.map(eventEntry), last: found.at(-1)?.id ?? after };
}

export function eventEntry({ id, time, kind, peer, name, detail }: RecordedEvent): EventEntry {
  return {
    id,
    time: new Date(time).toISOString(),
    event: kind,
    name,
    publicKey: peer,
    detail,
  };
}
