/** Screen of one peer: how it stands, its traffic, its limits and access, its events. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, Switch } from "../../parts/controls.tsx";
import { ActionDialog } from "../../parts/dialog.tsx";
import { Loaded } from "../../parts/loaded.tsx";
import { Card, Empty, Fact, Key, Meter, Notice, TitledScreen, Wait } from "../../parts/parts.tsx";
import { Sparkline } from "../../parts/sparkline.tsx";
import { peerPath } from "../../state/api.ts";
import { liveTick, model } from "../../state/live_feed.ts";
import { PEER_HISTORY, type PeerTrack } from "../../state/live_model.ts";
import { announce, attempt } from "../../state/messages.ts";
import { type Resource, useResource } from "../../state/resource.ts";
import { goTo, linkTo } from "../../state/router.ts";
import { mayAdminister, mayOperate } from "../../state/session.ts";
import type { PeerEntry } from "../../../../control/application/methods.ts";
import type { LivePeerState } from "../../state/shapes.ts";
import { agoText, aheadText, byteRateText, bytesText, timeText } from "../../text/format.ts";
import { changePeer, deletePeer, enabling } from "../peers/peer_changes.ts";
import { nameOf, StandingBadge, standingOf, TRANSPORT_TEXTS } from "../peers/peer_look.tsx";
import { AccessCard } from "./peer_access.tsx";
import { EventsCard } from "./peer_events.tsx";
import { LimitsCard } from "./peer_limits.tsx";
import { RenameDialog } from "./rename_dialog.tsx";
import { openRotation, PendingRotation } from "./rotate_peer.tsx";
import { TrafficCard } from "./traffic.tsx";

export function PeerScreen({ publicKey }: { publicKey: string }): JSX.Element {
  void liveTick.value;
  const track = model.peers.get(publicKey);
  const entry = useResource<PeerEntry>(peerPath(publicKey));
  if (model.status === null) return <Wait />;
  if (track === undefined) {
    return (
      <TitledScreen title="Peer">
        <Card>
          <Empty icon="peers" title="There is no such peer">
            <p>It has been removed, or the link is old.</p>
            <a class="button" href={linkTo("peers")}>All peers</a>
          </Empty>
        </Card>
      </TitledScreen>
    );
  }
  return <KnownPeer key={publicKey} track={track} entry={entry} />;
}

function KnownPeer(
  { track, entry }: { track: PeerTrack; entry: Resource<PeerEntry> },
): JSX.Element {
  const { state } = track;
  const [dialog, setDialog] = useState<"rename" | "remove" | null>(null);
  const name = nameOf(state);
  const standing = standingOf(state);
  const key = state.publicKey;
  const enable = async (isEnabled: boolean) => {
    await attempt(
      () => changePeer(key, enabling(isEnabled)),
      `${name} is ${isEnabled ? "enabled" : "disabled"}`,
    );
    await entry.reload();
  };
  return (
    <>
      <a class="back-link small" href={linkTo("peers")}>← All peers</a>
      <TitledScreen
        title={name}
        beside={<StandingBadge standing={standing} />}
        actions={mayOperate.value
          ? (
            <>
              <span class="check">
                <span class="muted small">Enabled</span>
                <Switch
                  label="Enabled"
                  isOn={state.admission !== "disabled"}
                  onChange={(isOn) => void enable(isOn)}
                />
              </span>
              <Button icon="edit" onClick={() => setDialog("rename")}>Rename</Button>
              <Button icon="trash" isDanger onClick={() => setDialog("remove")}>Remove</Button>
            </>
          )
          : undefined}
      >
        {state.otherEndpoint === null ? null : (
          <div class="connection">
            <Notice tone="warn">
              Its key is in use at two places, {state.endpoint} and{" "}
              {state.otherEndpoint}: the configuration was copied to a second device.
            </Notice>
          </div>
        )}
        {entry.value === null ? null : (
          <PendingRotation
            entry={entry.value}
            mayEnd={mayAdminister.value}
            onChange={entry.reload}
          />
        )}
        <div class="grid two-columns has-aside">
          <TrafficCard publicKey={key} />
          <div class="stack aside">
            <StateCard
              track={track}
              onRotate={() => openRotation({ publicKey: key, name, onDone: entry.reload })}
            />
            <Loaded of={entry}>
              {(value) => (
                <>
                  <LimitsCard state={state} entry={value} onChange={entry.reload} />
                  <AccessCard state={state} entry={value} onChange={entry.reload} />
                </>
              )}
            </Loaded>
          </div>
          <EventsCard publicKey={key} />
        </div>
      </TitledScreen>
      {dialog === "rename"
        ? (
          <RenameDialog
            publicKey={key}
            name={state.name ?? ""}
            onDone={entry.reload}
            onClose={() => setDialog(null)}
          />
        )
        : null}
      {dialog === "remove" ? <RemoveDialog state={state} onClose={() => setDialog(null)} /> : null}
    </>
  );
}

function RemoveDialog(
  { state, onClose }: { state: LivePeerState; onClose: () => void },
): JSX.Element {
  const name = nameOf(state);
  const remove = async () => {
    await deletePeer(state.publicKey);
    announce(`${name} is removed`);
    goTo("peers");
  };
  return (
    <ActionDialog
      title={`Remove ${name}?`}
      action="Remove"
      isDanger
      onConfirm={remove}
      onClose={onClose}
    >
      <p>
        Its access ends at once, and its key cannot come back but as a new device. To keep it for
        later, disable it.
      </p>
    </ActionDialog>
  );
}

function StateCard(
  { track, onRotate }: { track: PeerTrack; onRotate: () => void },
): JSX.Element {
  const { state } = track;
  return (
    <Card
      title="Now"
      actions={mayAdminister.value
        ? <Button isSmall onClick={onRotate}>New key</Button>
        : undefined}
    >
      <div class="peer-spark">
        <Sparkline values={track.history} room={PEER_HISTORY} height={44} />
      </div>
      <dl class="facts">
        <Fact name="Rate">
          {byteRateText(track.receivedRate)} received, {byteRateText(track.sentRate)} sent
        </Fact>
        <Fact name="Since the start">
          {bytesText(state.received)} received, {bytesText(state.sent)} sent
        </Fact>
        {state.quota === null ? null : (
          <Fact name="Quota">
            <Quota quota={state.quota} />
          </Fact>
        )}
        <Fact name="Handshake">
          <span title={state.latestHandshake === null ? "" : timeText(state.latestHandshake)}>
            {agoText(state.latestHandshake, Date.now())}
          </span>
        </Fact>
        <Fact name="Endpoint">{state.endpoint ?? "not known"}</Fact>
        <Fact name="Transport">{TRANSPORT_TEXTS[state.transport]}</Fact>
        <Fact name="Addresses">{state.allowedIps.join(", ")}</Fact>
        {state.roundTrip === null
          ? null
          : <Fact name="Round trip">{(state.roundTrip * 1000).toFixed(1)} ms</Fact>}
        {state.mtu === 0 ? null : <Fact name="MTU">{state.mtu} bytes</Fact>}
        {state.hello === null ? null : <Fact name="Program">{state.hello.software}</Fact>}
        {state.nat === null
          ? null
          : <Fact name="Flows outside">{state.nat.sessions.toLocaleString("en")}</Fact>}
        <Fact name="Public key">
          <Key text={state.publicKey} label="Copy the public key" />
        </Fact>
      </dl>
    </Card>
  );
}

function Quota({ quota }: { quota: NonNullable<LivePeerState["quota"]> }): JSX.Element {
  const { used, bytes, period, resetsAt } = quota;
  return (
    <>
      {bytesText(used)} of {bytesText(bytes)}
      {period === "total" ? "" : ` this ${period}`}
      <Meter part={used / bytes} label="Quota used" />
      {resetsAt === null
        ? null
        : <span class="muted small">resets {aheadText(resetsAt, Date.now())}</span>}
    </>
  );
}
