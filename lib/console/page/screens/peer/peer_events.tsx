/** The events of one peer. */
import type { JSX } from "preact";
import { Loaded } from "../../parts/loaded.tsx";
import { Card, Empty } from "../../parts/parts.tsx";
import { liveEvents } from "../../state/live_feed.ts";
import { useResource } from "../../state/resource.ts";
import type { EventEntry } from "../../../../control/application/methods.ts";
import { EventLine } from "../events/event_line.tsx";
import { merged, recentPath } from "../events/event_list.ts";

const SHOWN = 20;

export function EventsCard({ publicKey }: { publicKey: string }): JSX.Element {
  const events = useResource<readonly EventEntry[]>(
    recentPath({ limit: SHOWN, peer: publicKey }),
  );
  return (
    <Card title="Events" isFull>
      <Loaded of={events}>
        {(known) => {
          const news = liveEvents.value.filter((event) => event.publicKey === publicKey);
          const shown = merged(news, known).slice(0, SHOWN);
          return shown.length === 0
            ? <Empty icon="clock" title="Nothing has happened yet" />
            : (
              <ul class="list">
                {shown.map((event) => <EventLine key={event.id} event={event} />)}
              </ul>
            );
        }}
      </Loaded>
    </Card>
  );
}
