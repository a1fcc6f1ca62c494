/** The latest events, of before the page was opened and since. */
import type { JSX } from "preact";
import { Loaded } from "../../parts/loaded.tsx";
import { Card, Empty } from "../../parts/parts.tsx";
import { liveEvents } from "../../state/live_feed.ts";
import { useResource } from "../../state/resource.ts";
import { linkTo } from "../../state/router.ts";
import type { EventEntry } from "../../../../control/application/methods.ts";
import { EventLine } from "../events/event_line.tsx";
import { merged, recentPath } from "../events/event_list.ts";

const SHOWN = 8;

export function LatestEvents(): JSX.Element {
  const events = useResource<readonly EventEntry[]>(recentPath({ limit: SHOWN }));
  return (
    <Card title="Latest events" isFull actions={<a href={linkTo("events")}>All events</a>}>
      <Loaded of={events}>
        {(known) => {
          const shown = merged(liveEvents.value, known).slice(0, SHOWN);
          return shown.length === 0
            ? <Empty icon="clock" title="Nothing has happened yet" />
            : (
              <ul class="list">
                {shown.map((event) => <EventLine key={event.id} event={event} isShort />)}
              </ul>
            );
        }}
      </Loaded>
    </Card>
  );
}
