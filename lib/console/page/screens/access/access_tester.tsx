/** A test of the rules: may this peer reach that, and which rule says so. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, Form, LabelledField, TextField } from "../../parts/controls.tsx";
import { Icon } from "../../parts/icon.tsx";
import { Card, Notice } from "../../parts/parts.tsx";
import { call, messageOf } from "../../state/api.ts";
import { model } from "../../state/live_feed.ts";
import type { TrialResult } from "../../../../core/peers/access_trial.ts";

const PROTOCOLS = ["tcp", "udp", "icmp", "gre", "esp"] as const;
/** Those with ports. */
const WITH_PORT: readonly string[] = ["tcp", "udp"];

export function AccessTester(): JSX.Element {
  const [peer, setPeer] = useState("");
  const [protocol, setProtocol] = useState<string>("tcp");
  const [address, setAddress] = useState("");
  const [port, setPort] = useState("443");
  const [verdict, setVerdict] = useState<TrialResult | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const hasPort = WITH_PORT.includes(protocol);
  const test = async () => {
    setTrouble(null);
    setVerdict(null);
    try {
      setVerdict(
        await call<TrialResult>("POST", "/access/test", {
          body: { peer, protocol, address: address.trim(), port: hasPort ? Number(port) : null },
        }),
      );
    } catch (error) {
      setTrouble(messageOf(error));
    }
  };
  const names = [...model.peers.values()].flatMap(({ state }) => state.name ?? []).sort();
  return (
    <Card title="Test the rules">
      <Form onSubmit={test}>
        <LabelledField label="Peer">
          {(id) => (
            <>
              <input
                id={id}
                class="input"
                list={`${id}-names`}
                placeholder="laptop"
                autocomplete="off"
                required
                value={peer}
                onInput={(event) => setPeer(event.currentTarget.value)}
              />
              <datalist id={`${id}-names`}>
                {names.map((name) => <option key={name} value={name} />)}
              </datalist>
            </>
          )}
        </LabelledField>
        <TextField
          label="Reaches"
          value={address}
          onInput={setAddress}
          placeholder="10.20.1.5"
          isRequired
        />
        <div class="form-row is-pair">
          <LabelledField label="Protocol">
            {(id) => (
              <select
                id={id}
                class="select"
                value={protocol}
                onChange={(event) => setProtocol(event.currentTarget.value)}
              >
                {PROTOCOLS.map((each) => <option key={each} value={each}>{each}</option>)}
              </select>
            )}
          </LabelledField>
          {hasPort
            ? (
              <TextField
                label="Port"
                value={port}
                onInput={setPort}
                inputMode="numeric"
                isRequired
              />
            )
            : null}
        </div>
        <Button isSubmit>Test</Button>
        <div role="status">
          {verdict === null ? null : <VerdictBox verdict={verdict} />}
        </div>
        {trouble === null ? null : <Notice tone="bad">{trouble}</Notice>}
      </Form>
    </Card>
  );
}

function VerdictBox({ verdict }: { verdict: TrialResult }): JSX.Element {
  const { isAllowed, rule, hasRules } = verdict;
  return (
    <div class={`verdict is-${isAllowed ? "good" : "bad"}`}>
      <Icon name={isAllowed ? "check" : "close"} />
      <div>
        <div class="strong">{isAllowed ? "It passes" : "It is denied"}</div>
        <div class="small">
          {rule === null ? hasRules ? "No Allow holds" : "The peer has no rules" : (
            <>
              Decided by <code>{rule}</code>
            </>
          )}
        </div>
      </div>
    </div>
  );
}
