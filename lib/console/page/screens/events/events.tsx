/** Screen "events": what happened to the peers, and what was done by the console. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Segments } from "../../parts/controls.tsx";
import { Icon } from "../../parts/icon.tsx";
import { Loaded } from "../../parts/loaded.tsx";
import { Card, Empty, TitledScreen } from "../../parts/parts.tsx";
import { liveEvents } from "../../state/live_feed.ts";
import { useResource } from "../../state/resource.ts";
import { mayAdminister } from "../../state/session.ts";
import type { EventEntry } from "../../../../control/application/methods.ts";
import type { AuditEntry } from "../../state/shapes.ts";
import { timeText, wordsText } from "../../text/format.ts";
import { EventLine } from "./event_line.tsx";
import { found, merged, recentPath } from "./event_list.ts";

/** Of the last ones. */
const SHOWN = 300;

type Source = "gateway" | "console";

const SOURCES: readonly { readonly value: Source; readonly text: string }[] = [
  { value: "gateway", text: "Gateway" },
  { value: "console", text: "Console" },
];

export function EventsScreen(): JSX.Element {
  const [source, setSource] = useState<Source>("gateway");
  const [search, setSearch] = useState("");
  return (
    <TitledScreen title="Events">
      <div class="tools">
        {mayAdminister.value
          ? <Segments label="Events of" value={source} choices={SOURCES} onChange={setSource} />
          : null}
        <div class="search">
          <Icon name="search" size={16} />
          <input
            class="input"
            type="search"
            aria-label="Search in events"
            placeholder="Peer, kind, detail"
            value={search}
            onInput={(event) => setSearch(event.currentTarget.value)}
          />
        </div>
      </div>
      {source === "gateway" ? <GatewayEvents search={search} /> : <Audit search={search} />}
    </TitledScreen>
  );
}

function GatewayEvents({ search }: { search: string }): JSX.Element {
  const events = useResource<readonly EventEntry[]>(recentPath({ limit: SHOWN }));
  return (
    <Card isFull>
      <Loaded of={events}>
        {(known) => {
          const shown = found(merged(liveEvents.value, known), search);
          return shown.length === 0 ? <NoEvents isSearch={search !== ""} /> : (
            <ul class="list">
              {shown.map((event) => <EventLine key={event.id} event={event} />)}
            </ul>
          );
        }}
      </Loaded>
    </Card>
  );
}

function Audit({ search }: { search: string }): JSX.Element {
  const audit = useResource<readonly AuditEntry[]>("/audit");
  const words = search.toLowerCase();
  return (
    <Card isFull>
      <Loaded of={audit}>
        {(entries) => {
          const shown = entries.toSorted((a, b) => b.id - a.id).filter((entry) =>
            Object.values(entry).join(" ").toLowerCase().includes(words)
          ).slice(0, SHOWN);
          return shown.length === 0
            ? <NoEvents isSearch={search !== ""} />
            : (
              <div class="table-box" tabIndex={0} role="group" aria-label="Events of the console">
                <table class="table">
                  <thead>
                    <tr>
                      <th>Time</th>
                      <th>Account</th>
                      <th>Action</th>
                      <th>About</th>
                      <th>From</th>
                    </tr>
                  </thead>
                  <tbody>
                    {shown.map((entry) => (
                      <tr key={entry.id}>
                        <td class="event-time">{timeText(entry.time)}</td>
                        <td data-label="Account">{entry.account ?? "–"}</td>
                        <td data-label="Action" class="nowrap">{wordsText(entry.action)}</td>
                        <td data-label="About">
                          <span class="wrap">
                            {entry.target ?? (entry.detail === null ? "–" : "")}
                            {entry.detail === null
                              ? null
                              : <span class="muted">{` ${entry.detail}`}</span>}
                          </span>
                        </td>
                        <td data-label="From" class="muted nowrap">{entry.source ?? "–"}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            );
        }}
      </Loaded>
    </Card>
  );
}

function NoEvents({ isSearch }: { isSearch: boolean }): JSX.Element {
  return isSearch
    ? <Empty icon="search" title="No matching events" />
    : (
      <Empty icon="clock" title="Nothing has happened yet">
        <p>Connections, expiries, quotas and changes are listed here.</p>
      </Empty>
    );
}
