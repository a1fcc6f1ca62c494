/** The application's methods about what peers have used and what happened to them, as a control socket offers them. */
import type { PeriodUsage, RecordedEvent } from "../../host/accounts/account_store.ts";
import { RefusalError } from "../../core/config/refusal_error.ts";
import { guarded } from "../../process/guard.ts";
import type { Accounts } from "../accounts.ts";
import type { Handler, Params } from "../protocol.ts";
import type { ApplicationMethods, EventEntry, UsageEntry } from "./methods.ts";
import { numberParam, optionalText, switchParam } from "./params.ts";

/** Events of an answer, unless fewer are asked for: some 200 KB. */
const MAX_EVENTS = 1_000;

type Result<Method extends keyof ApplicationMethods> = ApplicationMethods[Method]["result"];

export function methodsOfAccounts(
  accounts: Pick<Accounts, "ask" | "onEvents">,
): Readonly<Record<"usage" | "events" | "follow-events", Handler>> {
  return {
    "usage": (params) =>
      Promise.try((): Result<"usage"> => {
        const { by = "month" } = params;
        if (by !== "day" && by !== "month") throw new RefusalError("invalid", "by: day or month");
        const peer = optionalText(params, "peer") ?? null;
        return { usage: usageEntries(accounts.ask((store) => store.usage(by)), peer) };
      }),
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
