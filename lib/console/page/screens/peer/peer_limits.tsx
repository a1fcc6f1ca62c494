/** Limits of a peer: when its access ends, how much it may use, how fast. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, TextField } from "../../parts/controls.tsx";
import { EditForm } from "../../parts/edit_form.tsx";
import { Card, Fact } from "../../parts/parts.tsx";
import { mayOperate } from "../../state/session.ts";
import type { PeerEntry } from "../../../../control/application/methods.ts";
import type { LivePeerState } from "../../state/shapes.ts";
import { aheadText, bitRateText, timeText } from "../../text/format.ts";
import { ExpireDialog } from "../peers/expire_dialog.tsx";
import { changePeer } from "../peers/peer_changes.ts";

interface LimitsProps {
  readonly state: LivePeerState;
  readonly entry: PeerEntry;
  readonly onChange: () => Promise<void>;
}

export function LimitsCard({ state, entry, onChange }: LimitsProps): JSX.Element {
  const [editing, setEditing] = useState<"limits" | "expiry" | null>(null);
  const { expires } = entry;
  const { Quota: quota, QuotaRate: quotaRate } = entry.settings;
  return (
    <Card
      title="Limits"
      actions={mayOperate.value && editing !== "limits"
        ? (
          <>
            <Button isSmall onClick={() => setEditing("expiry")}>Expire…</Button>
            <Button isSmall onClick={() => setEditing("limits")}>Edit</Button>
          </>
        )
        : undefined}
    >
      {editing === "limits"
        ? <LimitsForm entry={entry} onChange={onChange} onClose={() => setEditing(null)} />
        : (
          <dl class="facts">
            <Fact name="Access ends">
              {expires === null
                ? "never"
                : `${timeText(expires)}, ${aheadText(expires, Date.now())}`}
            </Fact>
            <Fact name="Quota">{quota ?? "none"}</Fact>
            {quota === undefined ? null : (
              <Fact name="Beyond it">
                {quotaRate === undefined ? "nothing passes" : `${quotaRate} bit/s`}
              </Fact>
            )}
            <Fact name="Rate">
              {state.rateLimit === null ? "any" : bitRateText(state.rateLimit)}
            </Fact>
          </dl>
        )}
      {editing === "expiry"
        ? (
          <ExpireDialog
            onSet={async (time) => {
              await changePeer(entry.publicKey, { Expires: time });
              await onChange();
            }}
            onClose={() => setEditing(null)}
          />
        )
        : null}
    </Card>
  );
}

function LimitsForm(
  { entry, onChange, onClose }: Omit<LimitsProps, "state"> & { onClose: () => void },
): JSX.Element {
  const [quota, setQuota] = useState(entry.settings["Quota"] ?? "");
  const [quotaRate, setQuotaRate] = useState(entry.settings["QuotaRate"] ?? "");
  const [rateLimit, setRateLimit] = useState(entry.settings["RateLimit"] ?? "");
  const orNone = (text: string) => text.trim() === "" ? null : text.trim();
  const save = (revision: string | null) =>
    changePeer(entry.publicKey, {
      Quota: orNone(quota),
      QuotaRate: orNone(quotaRate),
      RateLimit: orNone(rateLimit),
    }, revision);
  return (
    <EditForm
      revision={entry.revision}
      onSave={save}
      saved="The limits are set"
      onChange={onChange}
      onClose={onClose}
    >
      <TextField
        label="Quota"
        value={quota}
        onInput={setQuota}
        placeholder="none"
        hint="Both directions together, as in 100G/month, 5G/day, 20G/total"
      />
      <TextField
        label="Rate beyond the quota"
        value={quotaRate}
        onInput={setQuotaRate}
        placeholder="nothing passes"
        hint="Bits a second, as in 1M"
      />
      <TextField
        label="Rate"
        value={rateLimit}
        onInput={setRateLimit}
        placeholder="any"
        hint="Bits a second each way, as in 50M"
      />
    </EditForm>
  );
}
