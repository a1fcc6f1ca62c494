/** Dialog that makes or changes a group. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { TextField } from "../../parts/controls.tsx";
import { ActionDialog } from "../../parts/dialog.tsx";
import { call } from "../../state/api.ts";
import { announce } from "../../state/messages.ts";
import type { GroupEntry } from "../../../../control/application/methods.ts";

interface GroupProps {
  /** Null for a new one. */
  readonly group: GroupEntry | null;
  readonly onDone: () => Promise<void>;
  readonly onClose: () => void;
}

export function GroupDialog({ group, onDone, onClose }: GroupProps): JSX.Element {
  const [name, setName] = useState(group?.name ?? "");
  const [allow, setAllow] = useState(group?.allow ?? "");
  const [deny, setDeny] = useState(group?.deny ?? "");
  const save = async () => {
    try {
      await call("PUT", `/groups/${encodeURIComponent(name)}`, {
        body: { allow: allow.trim(), deny: deny.trim() },
        revision: group?.revision ?? null,
      });
      announce(`The rules of ${name} are in force`);
    } finally {
      // Where somebody else has changed it, the next dialog begins with that.
      await onDone();
    }
  };
  return (
    <ActionDialog
      title={group === null ? "Add a group" : `Group ${group.name}`}
      action="Save"
      onConfirm={save}
      onClose={onClose}
    >
      {group === null
        ? <TextField label="Name" value={name} onInput={setName} isFocused isRequired />
        : null}
      <TextField
        label="Allow"
        value={allow}
        onInput={setAllow}
        placeholder="anywhere"
        hint="As in internet, 10.20.0.0/16 tcp/443"
        isFocused={group !== null}
      />
      <TextField
        label="Deny"
        value={deny}
        onInput={setDeny}
        placeholder="nothing"
        hint="Wins over what is allowed"
      />
    </ActionDialog>
  );
}
