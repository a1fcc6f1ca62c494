/** Screen "gateways": those that have the same peers as this one, who has their address, and the store of the peers. */
import type { JSX } from "preact";
import { Badge, Card, Empty, Fact, Notice, TitledScreen, Wait } from "../parts/parts.tsx";
import { liveTick, model } from "../state/live_feed.ts";
import {
  clockError,
  type StoreStatus,
  type VirtualAddressStatus,
} from "../../../control/fleet/store_status.ts";
import { agoText } from "../text/format.ts";

export function GatewaysScreen(): JSX.Element {
  void liveTick.value;
  const { status } = model;
  return (
    <TitledScreen title="Gateways">
      {status === null ? <Wait /> : status.store === null
        ? (
          <Card>
            <Empty icon="gateways" title="This gateway is not in a fleet">
              <p>
                Its peers are in its configuration. With Store, several gateways have the same ones.
              </p>
            </Empty>
          </Card>
        )
        : (
          <div class="stack">
            {status.store.virtualAddress === null
              ? null
              : <FleetCard of={status.store.virtualAddress} />}
            <StoreCard store={status.store} now={Date.parse(status.time)} />
          </div>
        )}
    </TitledScreen>
  );
}

function FleetCard(
  { of: { address, holder, gateways } }: { of: VirtualAddressStatus },
): JSX.Element {
  return (
    <Card
      title="Fleet"
      isFull
      beside={<span class="muted small">one of them has {address}</span>}
    >
      <div class="table-box" tabIndex={0} role="group" aria-label="Gateways of the fleet">
        <table class="table">
          <thead>
            <tr>
              <th>Gateway</th>
              <th>State</th>
              <th>Address of the fleet</th>
              <th>Listens at</th>
              <th>Clock</th>
            </tr>
          </thead>
          <tbody>
            {gateways.map(({ number, name, endpoint, isSelf, isUp, isDraining, clockOffset }) => (
              <tr key={number}>
                <td>
                  <strong>{name}</strong> {isSelf ? <span class="muted">this one</span> : null}
                </td>
                <td data-label="State">
                  <Badge tone={isUp ? "good" : "bad"}>{isUp ? "up" : "silent"}</Badge>
                  {isDraining ? <Badge tone="warn">drained</Badge> : null}
                </td>
                <td data-label="Address of the fleet">
                  {holder === number ? <Badge tone="accent">has it</Badge> : "–"}
                </td>
                <td data-label="Listens at">
                  <code>{endpoint}</code>
                </td>
                <td data-label="Clock">
                  {clockError({ clockOffset }) ?? (clockOffset === null ? "–" : "right")}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {holder !== null ? null : (
        <div class="card-body">
          <Notice tone="bad">No gateway that this one knows of has {address}.</Notice>
        </div>
      )}
    </Card>
  );
}

function StoreCard({ store, now }: { store: StoreStatus; now: number }): JSX.Element {
  const { connected, server, servers, replicas, lastContact, problem, leftOut, admitsNew } = store;
  return (
    <Card
      title="Store of the peers"
      beside={<Badge tone={connected ? "good" : "bad"}>{connected ? "connected" : "lost"}</Badge>}
    >
      <div class="stack">
        {problem === null ? null : (
          <Notice tone={admitsNew ? "warn" : "bad"}>
            {problem}: {admitsNew
              ? "peers cannot be changed meanwhile"
              : "peers cannot be changed, and none without a session gets one"}
          </Notice>
        )}
        {leftOut === 0 ? null : (
          <Notice tone="warn">
            {leftOut} of its entries cannot be used: the gateway's log says which, and why.
          </Notice>
        )}
        <dl class="facts">
          <Fact name="Servers">{servers.join(", ")}</Fact>
          <Fact name="Connected to">{server ?? "none"}</Fact>
          <Fact name="Last contact">{agoText(lastContact, now)}</Fact>
          <Fact name="Replicas">
            {replicas ?? "–"}
          </Fact>
        </dl>
      </div>
    </Card>
  );
}
