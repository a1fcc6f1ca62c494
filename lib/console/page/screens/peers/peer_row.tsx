/** A row of the list of peers, and its head. */
import type { JSX } from "preact";
import { Switch } from "../../parts/controls.tsx";
import { Icon } from "../../parts/icon.tsx";
import { Sparkline } from "../../parts/sparkline.tsx";
import { PEER_HISTORY, type PeerTrack } from "../../state/live_model.ts";
import { linkTo } from "../../state/router.ts";
import { agoText, byteRateText, bytesText } from "../../text/format.ts";
import {
  addressesOf,
  nameOf,
  STANDING_TEXTS,
  StandingBadge,
  StandingDot,
  TRANSPORT_TEXTS,
} from "./peer_look.tsx";
import type { Listed, Order, SortKey } from "./peer_order.ts";

interface HeadProps {
  readonly order: Order;
  readonly onOrder: (order: Order) => void;
  /** Null where nothing may be changed. */
  readonly choice: { readonly isAll: boolean; readonly onAll: (isAll: boolean) => void } | null;
}

export function PeerHead({ order, onOrder, choice }: HeadProps): JSX.Element {
  const column = (by: SortKey, text: string, classes: string, isDescendingFirst: boolean) => {
    const isCurrent = order.by === by;
    const sort = !isCurrent ? "none" : order.isDescending ? "descending" : "ascending";
    return (
      <div role="columnheader" class={classes} aria-sort={sort}>
        <button
          type="button"
          class={`sorter${isCurrent ? " is-current" : ""}`}
          onClick={() =>
            onOrder({ by, isDescending: isCurrent ? !order.isDescending : isDescendingFirst })}
        >
          {text}
          {isCurrent ? <Icon name={order.isDescending ? "down" : "up"} size={12} /> : null}
        </button>
      </div>
    );
  };
  return (
    <div role="row" class="peer-row" aria-rowindex={1}>
      <div role="columnheader">
        {choice === null ? <span class="out-of-sight">Chosen</span> : (
          <input
            type="checkbox"
            class="tick"
            aria-label="Choose all that are listed"
            checked={choice.isAll}
            onChange={(event) => choice.onAll(event.currentTarget.checked)}
          />
        )}
      </div>
      {column("name", "Name", "", false)}
      {column("status", "Status", "at-narrow", false)}
      {column("rate", "Rate", "number", true)}
      <div role="columnheader" class="at-middle nowrap">Last minute</div>
      {column("transferred", "Transferred", "at-middle number", true)}
      {column("handshake", "Handshake", "at-narrow", true)}
      <div role="columnheader" class="at-wide">Endpoint</div>
      <div role="columnheader">
        <span class="out-of-sight">Enabled</span>
      </div>
    </div>
  );
}

interface RowProps extends Listed {
  /** From 0. */
  readonly index: number;
  readonly now: number;
  /** Null where nothing may be changed. */
  readonly choice: {
    readonly isChosen: boolean;
    readonly onChoose: (isChosen: boolean) => void;
    readonly onEnable: (isEnabled: boolean) => void;
  } | null;
}

export function PeerRow({ track, standing, index, now, choice }: RowProps): JSX.Element {
  const { state } = track;
  const name = nameOf(state);
  return (
    <div
      role="row"
      class={`peer-row${choice?.isChosen ? " is-chosen" : ""}`}
      aria-rowindex={index + 2}
      data-peer={state.publicKey}
    >
      <div role="cell">
        {choice === null ? null : (
          <input
            type="checkbox"
            class="tick"
            aria-label={`Choose ${name}`}
            checked={choice.isChosen}
            onChange={(event) => choice.onChoose(event.currentTarget.checked)}
          />
        )}
      </div>
      <div role="cell" class="peer-name">
        <StandingDot standing={standing} />
        <div class="two-lines cut">
          <div class="cut">
            <a href={linkTo("peers", state.publicKey)}>{name}</a>
          </div>
          <div class="cut muted small">
            <span class="when-narrow">{`${STANDING_TEXTS[standing]} · `}</span>
            {addressesOf(state)}
          </div>
        </div>
      </div>
      <div role="cell" class="at-narrow">
        <StandingBadge standing={standing} />
      </div>
      <div role="cell">
        <Rates track={track} />
      </div>
      <div role="cell" class="at-middle">
        <Sparkline values={track.history} room={PEER_HISTORY} />
      </div>
      <div role="cell" class="at-middle number">{bytesText(state.received + state.sent)}</div>
      <div role="cell" class="at-narrow nowrap">{agoText(state.latestHandshake, now)}</div>
      <div role="cell" class="at-wide two-lines">
        <div class="cut">{state.endpoint ?? "–"}</div>
        <div class="cut muted small">
          {state.endpoint === null ? "" : TRANSPORT_TEXTS[state.transport]}
        </div>
      </div>
      <div role="cell">
        {choice === null ? null : (
          <Switch
            label={`${name}: enabled`}
            isOn={state.admission !== "disabled"}
            onChange={choice.onEnable}
          />
        )}
      </div>
    </div>
  );
}

function Rates({ track }: { track: PeerTrack }): JSX.Element {
  return (
    <div class={`rates${track.rate === 0 ? " is-idle" : ""}`}>
      <span class="out-of-sight">Received</span>
      <Icon name="down" size={12} />
      <span>{byteRateText(track.receivedRate)}</span>
      <Icon name="up" size={12} />
      <span>{byteRateText(track.sentRate)}</span>
    </div>
  );
}
