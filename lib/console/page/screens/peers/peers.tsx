/** Screen "peers": all of them, live, searched, sorted, filtered, and changed many at once. */
import type { JSX } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import { Button, Segments } from "../../parts/controls.tsx";
import { Icon } from "../../parts/icon.tsx";
import { Empty, TitledScreen, Wait } from "../../parts/parts.tsx";
import { VirtualRows } from "../../parts/virtual_rows.tsx";
import { liveTick, model } from "../../state/live_feed.ts";
import { attempt } from "../../state/messages.ts";
import { mayOperate } from "../../state/session.ts";
import { countText } from "../../text/format.ts";
import { openAddPeer } from "../add_peer/add_peer.tsx";
import { changePeer, changePeers, enabling, type KeyChanges } from "./peer_changes.ts";
import { ExpireDialog } from "./expire_dialog.tsx";
import { nameOf } from "./peer_look.tsx";
import { type Filter, type Listed, listed, NameOrder, type Order } from "./peer_order.ts";
import { PeerHead, PeerRow } from "./peer_row.tsx";

/** Pixels; as the style has it. */
const ROW_HEIGHT = 52;

const CHOICES: readonly { readonly value: Filter; readonly text: string }[] = [
  { value: "all", text: "All" },
  { value: "online", text: "Online" },
  { value: "offline", text: "Offline" },
  { value: "blocked", text: "No access" },
];

export function PeersScreen(): JSX.Element {
  const [search, setSearch] = useState("");
  const [filter, setFilter] = useState<Filter>("all");
  const [order, setOrder] = useState<Order>({ by: "name", isDescending: false });
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const names = useRef(new NameOrder()).current;
  const tick = liveTick.value;
  const shown = useMemo(
    () => listed(names.of(model.peers.values()), { search, filter, order }),
    [tick, search, filter, order],
  );
  const isLoading = model.status === null;
  return (
    <div class="peers-screen">
      <TitledScreen
        title="Peers"
        beside={<span class="muted">{isLoading ? "" : countText(model.peers.size, "peer")}</span>}
        actions={mayOperate.value
          ? <Button kind="main" icon="plus" onClick={openAddPeer}>Add a device</Button>
          : undefined}
      >
        <div class="tools">
          <div class="search">
            <Icon name="search" size={16} />
            <input
              class="input"
              type="search"
              aria-label="Search by name, address, endpoint or group"
              placeholder="Name, address, endpoint, group"
              value={search}
              onInput={(event) => setSearch(event.currentTarget.value)}
            />
          </div>
          <Segments label="Which peers" value={filter} choices={CHOICES} onChange={setFilter} />
          <span class="muted small end" role="status">
            {shown.length === model.peers.size ? "" : `${countText(shown.length, "peer")} found`}
          </span>
        </div>
        {chosen.size === 0 ? null : <Bulk chosen={chosen} onDone={() => setChosen(new Set())} />}
        <div class="card rows-card">
          {isLoading
            ? <Wait />
            : shown.length === 0
            ? <NoPeers isFiltered={model.peers.size > 0} />
            : (
              <PeerTable
                shown={shown}
                order={order}
                onOrder={setOrder}
                chosen={chosen}
                onChosen={setChosen}
              />
            )}
        </div>
      </TitledScreen>
    </div>
  );
}

interface TableProps {
  readonly shown: readonly Listed[];
  readonly order: Order;
  readonly onOrder: (order: Order) => void;
  readonly chosen: ReadonlySet<string>;
  readonly onChosen: (chosen: ReadonlySet<string>) => void;
}

function PeerTable({ shown, order, onOrder, chosen, onChosen }: TableProps): JSX.Element {
  const now = Date.now();
  const mayChange = mayOperate.value;
  const row = (index: number) => {
    const { track, standing } = shown[index]!;
    const key = track.state.publicKey;
    const name = nameOf(track.state);
    const choice = {
      isChosen: chosen.has(key),
      onChoose: (isChosen: boolean) => {
        const next = new Set(chosen);
        if (isChosen) next.add(key);
        else next.delete(key);
        onChosen(next);
      },
      onEnable: (isEnabled: boolean) =>
        void attempt(
          () => changePeer(key, enabling(isEnabled)),
          `${name} is ${isEnabled ? "enabled" : "disabled"}`,
        ),
    };
    return (
      <PeerRow
        key={key}
        track={track}
        standing={standing}
        index={index}
        now={now}
        choice={mayChange ? choice : null}
      />
    );
  };
  return (
    <VirtualRows
      label="Peers"
      count={shown.length}
      rowHeight={ROW_HEIGHT}
      header={
        <PeerHead
          order={order}
          onOrder={onOrder}
          choice={mayChange
            ? {
              isAll: shown.every(({ track }) => chosen.has(track.state.publicKey)),
              onAll: (isAll) =>
                onChosen(new Set(isAll ? shown.map(({ track }) => track.state.publicKey) : [])),
            }
            : null}
        />
      }
      row={row}
    />
  );
}

function Bulk(
  { chosen, onDone }: { chosen: ReadonlySet<string>; onDone: () => void },
): JSX.Element {
  const [isExpiring, setExpiring] = useState(false);
  const apply = async (set: KeyChanges, done: string) => {
    const what = `${countText(chosen.size, "peer")} ${done}`;
    if (await attempt(() => changePeers([...chosen], set), what)) onDone();
  };
  return (
    <div class="bulk" role="group" aria-label="Change all that are chosen">
      <span class="strong">{countText(chosen.size, "peer")} chosen</span>
      <Button isSmall onClick={() => void apply(enabling(true), "enabled")}>Enable</Button>
      <Button isSmall onClick={() => void apply(enabling(false), "disabled")}>Disable</Button>
      <Button isSmall onClick={() => setExpiring(true)}>Expire…</Button>
      <div class="end">
        <Button isSmall kind="plain" icon="close" label="Choose none" onClick={onDone} />
      </div>
      {isExpiring
        ? (
          <ExpireDialog
            onSet={(expires) => changePeers([...chosen], { Expires: expires })}
            onDone={onDone}
            onClose={() => setExpiring(false)}
          />
        )
        : null}
    </div>
  );
}

function NoPeers({ isFiltered }: { isFiltered: boolean }): JSX.Element {
  if (isFiltered) {
    return (
      <Empty icon="search" title="No matching peers">
        <p>Try fewer words, or another filter.</p>
      </Empty>
    );
  }
  return (
    <Empty icon="phone" title="No devices yet">
      <p>Add a phone or a laptop: give it a name, then scan the QR code.</p>
      {mayOperate.value
        ? <Button kind="main" icon="plus" onClick={openAddPeer}>Add a device</Button>
        : null}
    </Empty>
  );
}
