/** One event in a list: when, who, what. */
import type { JSX } from "preact";
import { Badge, type Tone } from "../../parts/parts.tsx";
import { linkTo } from "../../state/router.ts";
import type { EventEntry } from "../../../../control/application/methods.ts";
import { timeText, wordsText } from "../../text/format.ts";

const TONES: Readonly<Record<string, Tone>> = {
  connected: "good",
  enabled: "good",
  expired: "bad",
  "quota-reached": "bad",
  denied: "warn",
  disabled: "warn",
  "configuration-changed": "accent",
  reloaded: "accent",
};

function EventBadge({ event }: { event: string }): JSX.Element {
  return <Badge tone={TONES[event] ?? "plain"}>{wordsText(event)}</Badge>;
}

/** @param isShort without the day and the detail, where there is little room */
export function EventLine(
  { event, isShort }: { event: EventEntry; isShort?: boolean },
): JSX.Element {
  const { time, name, publicKey, detail } = event;
  const stamp = timeText(time);
  const who = name ?? (publicKey === null ? "the gateway" : `${publicKey.slice(0, 12)}…`);
  return (
    <li class={`event-line${isShort ? " is-short" : ""}`}>
      <time class="event-time" dateTime={time} title={stamp}>
        {isShort ? stamp.slice(11, 16) : stamp}
      </time>
      <span class="event-kind">
        <EventBadge event={event.event} />
      </span>
      <span class={isShort ? "grow cut" : "grow"} title={detail ?? undefined}>
        {publicKey === null
          ? <span class="muted">{who}</span>
          : <a href={linkTo("peers", publicKey)}>{who}</a>}
        {detail === null ? null : <span class="muted">{` ${detail}`}</span>}
      </span>
    </li>
  );
}
