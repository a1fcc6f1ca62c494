/** Screen "accounts": who may log in, and as what. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, LabelledField, TextField } from "../../parts/controls.tsx";
import { ActionDialog } from "../../parts/dialog.tsx";
import { Loaded } from "../../parts/loaded.tsx";
import { Badge, Card, TitledScreen } from "../../parts/parts.tsx";
import { call } from "../../state/api.ts";
import { announce, attempt } from "../../state/messages.ts";
import { useResource } from "../../state/resource.ts";
import { session } from "../../state/session.ts";
import type { Account, AccountRole } from "../../state/shapes.ts";
import { agoText } from "../../text/format.ts";
import { MIN_PASSWORD } from "../login/setup.tsx";

const ROLES: readonly { readonly role: AccountRole; readonly text: string }[] = [
  { role: "admin", text: "Admin: may do everything" },
  { role: "operator", text: "Operator: adds and changes devices" },
  { role: "viewer", text: "Viewer: sees, and changes nothing" },
];

type Open =
  | { readonly kind: "add" }
  | { readonly kind: "edit" | "remove"; readonly account: Account };

export function AccountsScreen(): JSX.Element {
  const accounts = useResource<readonly Account[]>("/accounts");
  const [open, setOpen] = useState<Open | null>(null);
  const close = () => setOpen(null);
  const own = session.value?.account?.name;
  return (
    <TitledScreen
      title="Accounts"
      actions={
        <Button kind="main" icon="plus" onClick={() => setOpen({ kind: "add" })}>
          Add an account
        </Button>
      }
    >
      <Card isFull>
        <Loaded of={accounts}>
          {(list) => (
            <div class="table-box" tabIndex={0} role="group" aria-label="Accounts">
              <table class="table">
                <thead>
                  <tr>
                    <th>Name</th>
                    <th>Role</th>
                    <th>Second factor</th>
                    <th>Last login</th>
                    <th>
                      <span class="out-of-sight">Change</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {list.map((account) => (
                    <tr key={account.name}>
                      <td>
                        <span class="strong">{account.name}</span>
                        {account.name === own ? <span class="muted beside">you</span> : null}
                      </td>
                      <td data-label="Role">{account.role}</td>
                      <td data-label="Second factor">
                        {account.hasTotp
                          ? <Badge tone="good">on</Badge>
                          : <Badge tone="warn">off</Badge>}
                      </td>
                      <td data-label="Last login" class="nowrap">
                        {agoText(account.lastLogin, Date.now())}
                      </td>
                      <td>
                        <div class="row is-tight">
                          <Button
                            kind="plain"
                            isSmall
                            icon="edit"
                            label={`Change ${account.name}`}
                            onClick={() => setOpen({ kind: "edit", account })}
                          />
                          <Button
                            kind="plain"
                            isSmall
                            isDanger
                            icon="trash"
                            label={`Remove ${account.name}`}
                            onClick={() => setOpen({ kind: "remove", account })}
                          />
                        </div>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Loaded>
      </Card>
      {open?.kind === "add" ? <AddAccount onDone={accounts.reload} onClose={close} /> : null}
      {open?.kind === "edit"
        ? <EditAccount account={open.account} onDone={accounts.reload} onClose={close} />
        : null}
      {open?.kind === "remove"
        ? (
          <ActionDialog
            title={`Remove ${open.account.name}?`}
            action="Remove"
            isDanger
            onClose={close}
            onConfirm={async () => {
              await call("DELETE", accountPath(open.account.name));
              announce(`${open.account.name} is removed`);
              await accounts.reload();
            }}
          >
            <p>Its sessions and tokens end at once.</p>
          </ActionDialog>
        )
        : null}
    </TitledScreen>
  );
}

function accountPath(name: string): string {
  return `/accounts/${encodeURIComponent(name)}`;
}

interface EditProps {
  readonly onDone: () => Promise<void>;
  readonly onClose: () => void;
}

function AddAccount({ onDone, onClose }: EditProps): JSX.Element {
  const [name, setName] = useState("");
  const [role, setRole] = useState<AccountRole>("operator");
  const [password, setPassword] = useState("");
  const add = async () => {
    await call("POST", "/accounts", { body: { name, role, password } });
    announce(`${name} is added`);
    await onDone();
  };
  return (
    <ActionDialog title="Add an account" action="Add" onConfirm={add} onClose={onClose}>
      <TextField label="Name" value={name} onInput={setName} isFocused isRequired />
      <RoleField role={role} onRole={setRole} />
      <TextField
        label="First password"
        type="password"
        value={password}
        onInput={setPassword}
        autocomplete="new-password"
        minLength={MIN_PASSWORD}
        hint={`At least ${MIN_PASSWORD} characters; to be changed after the first login.`}
        isRequired
      />
    </ActionDialog>
  );
}

function EditAccount({ account, onDone, onClose }: EditProps & { account: Account }): JSX.Element {
  const [role, setRole] = useState<AccountRole>(account.role);
  const [password, setPassword] = useState("");
  const save = async () => {
    await call("PATCH", accountPath(account.name), {
      body: { role, ...password === "" ? {} : { password } },
    });
    announce(`${account.name} is changed`);
    await onDone();
  };
  const removeTotp = async () => {
    const done = await attempt(
      () => call("PATCH", accountPath(account.name), { body: { removeTotp: true } }),
      `${account.name} has no second factor now`,
    );
    if (done) {
      await onDone();
      onClose();
    }
  };
  return (
    <ActionDialog title={account.name} action="Save" onConfirm={save} onClose={onClose}>
      <RoleField role={role} onRole={setRole} />
      <TextField
        label="New password"
        type="password"
        value={password}
        onInput={setPassword}
        autocomplete="new-password"
        placeholder="as it is"
        minLength={MIN_PASSWORD}
        hint="A new one ends the account’s sessions, and removes its passkeys, tokens and links."
      />
      {account.hasTotp
        ? (
          <div class="row">
            <Button isDanger onClick={() => void removeTotp()}>Remove the second factor</Button>
            <span class="muted small">for one whose phone is lost</span>
          </div>
        )
        : null}
    </ActionDialog>
  );
}

function RoleField(
  { role, onRole }: { role: AccountRole; onRole: (role: AccountRole) => void },
): JSX.Element {
  return (
    <LabelledField label="Role">
      {(id) => (
        <select
          id={id}
          class="select"
          value={role}
          onChange={(event) => onRole(event.currentTarget.value as AccountRole)}
        >
          {ROLES.map((each) => <option key={each.role} value={each.role}>{each.text}</option>)}
        </select>
      )}
    </LabelledField>
  );
}
