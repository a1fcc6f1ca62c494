/** Screen "overview": rates as they are, who is there, how the gateway is, what has happened. */
import type { JSX } from "preact";
import { Button } from "../../parts/controls.tsx";
import { Chart } from "../../parts/chart.tsx";
import { Icon } from "../../parts/icon.tsx";
import { Badge, Card, Empty, TitledScreen, Wait } from "../../parts/parts.tsx";
import { Sparkline } from "../../parts/sparkline.tsx";
import { liveTick, model } from "../../state/live_feed.ts";
import { PEER_HISTORY, TOTAL_HISTORY } from "../../state/live_model.ts";
import { linkTo } from "../../state/router.ts";
import { mayOperate } from "../../state/session.ts";
import { bitRateText, byteRateText, bytesText, durationText } from "../../text/format.ts";
import { openAddPeer } from "../add_peer/add_peer.tsx";
import { nameOf } from "../peers/peer_look.tsx";
import { DoctorCard } from "./doctor_card.tsx";
import { HealthCard } from "./health_card.tsx";
import { LatestEvents } from "./latest_events.tsx";

/** Peers that are named as the busiest. */
const BUSIEST = 5;

export function OverviewScreen(): JSX.Element {
  void liveTick.value;
  const { status } = model;
  return (
    <TitledScreen
      title="Overview"
      beside={status === null ? null : <StateBadge />}
      actions={mayOperate.value
        ? <Button kind="main" icon="plus" onClick={openAddPeer}>Add a device</Button>
        : undefined}
    >
      {status === null ? <Wait /> : (
        <div class="stack">
          <Tiles />
          <div class="grid two-columns">
            <div class="stack">
              <Card title="Traffic" beside={<span class="muted small">last three minutes</span>}>
                <Chart
                  label="Rates of the last three minutes, received and sent"
                  data={[model.times, model.received.map(bits), model.sent.map(bits)]}
                  kind="lines"
                  height={236}
                  text={bitRateText}
                  step={TOTAL_HISTORY}
                />
              </Card>
              <Busiest />
            </div>
            <div class="stack">
              <HealthCard />
              <DoctorCard />
              <LatestEvents />
            </div>
          </div>
        </div>
      )}
    </TitledScreen>
  );
}

/** So that the marks of the axis are round ones. */
function bits(bytes: number): number {
  return bytes * 8;
}

function StateBadge(): JSX.Element {
  const { state, since, time } = model.status!;
  const age = durationText((Date.parse(time) - Date.parse(since)) / 1000);
  if (state === "up") return <Badge tone="good">Up for {age}</Badge>;
  return <Badge tone="warn">{state === "degraded" ? `Degraded, up for ${age}` : "Blocked"}</Badge>;
}

function Tiles(): JSX.Element {
  let up = 0;
  let received = 0;
  let sent = 0;
  for (const { state } of model.peers.values()) {
    if (state.isUp) up++;
    received += state.received;
    sent += state.sent;
  }
  const { nat } = model.status!;
  return (
    <div class="grid tiles">
      <div class="card tile">
        <div class="name">Peers online</div>
        <div class="figure">
          {up} <span class="muted">of {model.peers.size.toLocaleString("en")}</span>
        </div>
        <div class="more">{nat.sessions.toLocaleString("en")} flows to the internet</div>
      </div>
      <div class="card tile">
        <div class="name is-received">
          <Icon name="down" size={14} />Received
        </div>
        <div class="figure">{byteRateText(model.receivedRate)}</div>
        <div class="more">from the peers, now</div>
      </div>
      <div class="card tile">
        <div class="name is-sent">
          <Icon name="up" size={14} />Sent
        </div>
        <div class="figure">{byteRateText(model.sentRate)}</div>
        <div class="more">to the peers, now</div>
      </div>
      <div class="card tile">
        <div class="name">Since the start</div>
        <div class="figure">{bytesText(received + sent)}</div>
        <div class="more">{bytesText(received)} in, {bytesText(sent)} out</div>
      </div>
    </div>
  );
}

function Busiest(): JSX.Element {
  const busy = [...model.peers.values()].filter(({ rate, state }) => rate > 0 || state.isUp)
    .sort((a, b) => b.rate - a.rate || b.state.received - a.state.received)
    .slice(0, BUSIEST);
  return (
    <Card title="Busiest now" isFull actions={<a href={linkTo("peers")}>All peers</a>}>
      {busy.length === 0
        ? (
          <Empty icon="peers" title="Nobody is online">
            <p>Peers with traffic are listed here, the busiest first.</p>
          </Empty>
        )
        : (
          <ul class="list">
            {busy.map((track) => (
              <li key={track.state.publicKey}>
                <span class="dot is-good" />
                <a class="grow cut" href={linkTo("peers", track.state.publicKey)}>
                  {nameOf(track.state)}
                </a>
                <div class="spark-box">
                  <Sparkline values={track.history} room={PEER_HISTORY} />
                </div>
                <span class="number rate-cell">{byteRateText(track.rate)}</span>
              </li>
            ))}
          </ul>
        )}
    </Card>
  );
}
