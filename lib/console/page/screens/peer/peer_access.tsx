/** Where a peer may go: its groups, its own rules, what they have cost it. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, TextField } from "../../parts/controls.tsx";
import { EditForm } from "../../parts/edit_form.tsx";
import { Badge, Card, Fact } from "../../parts/parts.tsx";
import { linkTo } from "../../state/router.ts";
import { mayAdminister } from "../../state/session.ts";
import type { PeerEntry } from "../../../../control/application/methods.ts";
import type { LivePeerState } from "../../state/shapes.ts";
import { changePeer } from "../peers/peer_changes.ts";
import { RuleList } from "../access/rule_list.tsx";

interface AccessProps {
  readonly state: LivePeerState;
  readonly entry: PeerEntry;
  readonly onChange: () => Promise<void>;
}

export function AccessCard({ state, entry, onChange }: AccessProps): JSX.Element {
  const [isEditing, setEditing] = useState(false);
  const { Allow: allow, Deny: deny } = entry.settings;
  return (
    <Card
      title="Access"
      actions={
        <>
          <a class="small" href={linkTo("access")}>Test a rule</a>
          {mayAdminister.value && !isEditing
            ? <Button isSmall onClick={() => setEditing(true)}>Edit</Button>
            : null}
        </>
      }
    >
      {isEditing
        ? <AccessForm entry={entry} onChange={onChange} onClose={() => setEditing(false)} />
        : (
          <dl class="facts">
            <Fact name="Groups">
              {entry.groups.length === 0
                ? "none"
                : entry.groups.map((group) => <Badge key={group} tone="plain">{group}</Badge>)}
            </Fact>
            <Fact name="May go to">
              <RuleList text={allow ?? ""} none="anywhere, or where its groups may" />
            </Fact>
            <Fact name="May not go to">
              <RuleList text={deny ?? ""} none="no more than its groups say" />
            </Fact>
            {state.denied.map(({ rule, packets }) => (
              <Fact key={rule} name="Denied">
                {packets.toLocaleString("en")} packets by <span class="rule">{rule}</span>
              </Fact>
            ))}
          </dl>
        )}
    </Card>
  );
}

function AccessForm(
  { entry, onChange, onClose }: Omit<AccessProps, "state"> & { onClose: () => void },
): JSX.Element {
  const [groups, setGroups] = useState(entry.settings["Groups"] ?? "");
  const [allow, setAllow] = useState(entry.settings["Allow"] ?? "");
  const [deny, setDeny] = useState(entry.settings["Deny"] ?? "");
  const orNone = (text: string) => text.trim() === "" ? null : text.trim();
  const save = (revision: string | null) =>
    changePeer(entry.publicKey, {
      Groups: orNone(groups),
      Allow: orNone(allow),
      Deny: orNone(deny),
    }, revision);
  return (
    <EditForm
      revision={entry.revision}
      onSave={save}
      saved="The rules are in force"
      onChange={onChange}
      onClose={onClose}
    >
      <TextField
        label="Groups"
        value={groups}
        onInput={setGroups}
        placeholder="none"
        hint="Names, with commas between them"
      />
      <TextField
        label="Allow"
        value={allow}
        onInput={setAllow}
        placeholder="anywhere"
        hint="As in internet, 10.20.0.0/16 tcp/443, peer:printer"
      />
      <TextField
        label="Deny"
        value={deny}
        onInput={setDeny}
        placeholder="nothing"
        hint="Wins over what is allowed"
      />
    </EditForm>
  );
}
