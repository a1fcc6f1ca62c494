/** Screen "tokens": what programs use the API by, and one-time links that are still open. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, CopyButton, LabelledField, TextField } from "../../parts/controls.tsx";
import { ActionDialog, Dialog } from "../../parts/dialog.tsx";
import { Loaded } from "../../parts/loaded.tsx";
import { Badge, Card, Empty, Notice, TitledScreen } from "../../parts/parts.tsx";
import { call } from "../../state/api.ts";
import { attempt } from "../../state/messages.ts";
import { useResource } from "../../state/resource.ts";
import { mayAdminister, mayOperate } from "../../state/session.ts";
import type { ApiToken, OneTimeLink } from "../../state/shapes.ts";
import { agoText, aheadText } from "../../text/format.ts";

const SCOPES = [
  { scope: "read", text: "Read: changes nothing" },
  { scope: "peers", text: "Peers: changes devices" },
  { scope: "admin", text: "Admin: everything" },
] as const;

const DAYS = [
  { value: "30", text: "30 days" },
  { value: "90", text: "90 days" },
  { value: "365", text: "A year" },
  { value: "never", text: "Does not expire" },
] as const;

export function TokensScreen(): JSX.Element {
  const tokens = useResource<readonly ApiToken[]>("/tokens");
  const [isAdding, setAdding] = useState(false);
  const [made, setMade] = useState<string | null>(null);
  const remove = async ({ id, name }: ApiToken) => {
    await attempt(() => call("DELETE", `/tokens/${encodeURIComponent(id)}`), `${name} is revoked`);
    await tokens.reload();
  };
  return (
    <TitledScreen
      title="API tokens"
      beside={<a class="small" href="/api/v1/openapi.json" target="_blank">OpenAPI document</a>}
      actions={
        <Button kind="main" icon="plus" onClick={() => setAdding(true)}>Make a token</Button>
      }
    >
      <div class="stack">
        <Card isFull>
          <Loaded of={tokens}>
            {(list) =>
              list.length === 0 ? <NoTokens /> : <TokenTable list={list} onRemove={remove} />}
          </Loaded>
        </Card>
        {mayOperate.value ? <Links /> : null}
      </div>
      {isAdding
        ? (
          <AddToken
            onMade={async (token) => {
              setMade(token);
              await tokens.reload();
            }}
            onClose={() => setAdding(false)}
          />
        )
        : null}
      {made === null ? null : (
        <Dialog title="The token" onClose={() => setMade(null)}>
          <div class="stack">
            <Notice tone="warn">
              It is shown only once: the console keeps its hash alone.
            </Notice>
            <div class="row">
              <input
                class="input mono"
                readOnly
                aria-label="The token"
                autofocus
                value={made}
                onFocus={(event) => event.currentTarget.select()}
              />
              <CopyButton text={made} label="Copy the token" />
            </div>
            <div class="form-end">
              <Button kind="main" onClick={() => setMade(null)}>Done</Button>
            </div>
          </div>
        </Dialog>
      )}
    </TitledScreen>
  );
}

function NoTokens(): JSX.Element {
  return (
    <Empty icon="key" title="No tokens yet">
      <p>
        A token gives a program access to the API, in the header Authorization.
      </p>
    </Empty>
  );
}

function TokenTable(
  { list, onRemove }: {
    list: readonly ApiToken[];
    onRemove: (token: ApiToken) => Promise<void>;
  },
): JSX.Element {
  const now = Date.now();
  return (
    <div class="table-box" tabIndex={0} role="group" aria-label="API tokens">
      <table class="table">
        <thead>
          <tr>
            <th>Name</th>
            <th>Scope</th>
            <th>Account</th>
            <th>Expires</th>
            <th>Last use</th>
            <th>
              <span class="out-of-sight">Revoke</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {list.map((token) => (
            <tr key={token.id}>
              <td class="strong">{token.name}</td>
              <td data-label="Scope">
                <Badge tone={token.scope === "admin" ? "warn" : "plain"}>{token.scope}</Badge>
              </td>
              <td data-label="Account">{token.account}</td>
              <td data-label="Expires" class="nowrap">
                {token.expires === null ? "never" : aheadText(token.expires, now)}
              </td>
              <td data-label="Last use" class="nowrap">{agoText(token.lastUsed, now)}</td>
              <td class="number">
                <Button
                  kind="plain"
                  isSmall
                  isDanger
                  icon="trash"
                  label={`Revoke ${token.name}`}
                  onClick={() => void onRemove(token)}
                />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function AddToken(
  { onMade, onClose }: { onMade: (token: string) => Promise<void>; onClose: () => void },
): JSX.Element {
  const [name, setName] = useState("");
  const [scope, setScope] = useState<ApiToken["scope"]>("read");
  const [days, setDays] = useState<string>("90");
  const make = async () => {
    const { token } = await call<{ token: string }>("POST", "/tokens", {
      body: { name, scope, days: days === "never" ? null : Number(days) },
    });
    await onMade(token);
  };
  const scopes = SCOPES.filter((each) =>
    each.scope === "read" || mayAdminister.value || (each.scope === "peers" && mayOperate.value)
  );
  return (
    <ActionDialog title="Make a token" action="Make" onConfirm={make} onClose={onClose}>
      <TextField
        label="Name"
        value={name}
        onInput={setName}
        placeholder="monitoring"
        isFocused
        isRequired
      />
      <LabelledField label="Scope">
        {(id) => (
          <select
            id={id}
            class="select"
            value={scope}
            onChange={(event) => setScope(event.currentTarget.value as ApiToken["scope"])}
          >
            {scopes.map((each) => <option key={each.scope} value={each.scope}>{each.text}</option>)}
          </select>
        )}
      </LabelledField>
      <LabelledField label="Expires">
        {(id) => (
          <select
            id={id}
            class="select"
            value={days}
            onChange={(event) => setDays(event.currentTarget.value)}
          >
            {DAYS.map(({ value, text }) => <option key={value} value={value}>{text}</option>)}
          </select>
        )}
      </LabelledField>
    </ActionDialog>
  );
}

function Links(): JSX.Element {
  const links = useResource<readonly OneTimeLink[]>("/links");
  const now = Date.now();
  const remove = async ({ id, name }: OneTimeLink) => {
    await attempt(
      () => call("DELETE", `/links/${encodeURIComponent(id)}`),
      `The link for ${name} is revoked`,
    );
    await links.reload();
  };
  return (
    <Card title="One-time links that are open" isFull>
      <Loaded of={links}>
        {(list) =>
          list.length === 0
            ? (
              <Empty icon="link" title="No links are open">
                <p>Make one under “Add a device”, for somebody who sets up their own device.</p>
              </Empty>
            )
            : (
              <ul class="list">
                {list.map((link) => (
                  <li key={link.id}>
                    <span class="grow cut">
                      <span class="strong">{link.name}</span>
                      <span class="muted">
                        {` by ${link.createdBy}, ends ${aheadText(link.expires, now)}`}
                      </span>
                    </span>
                    <Button
                      kind="plain"
                      isSmall
                      isDanger
                      icon="trash"
                      label={`Revoke the link for ${link.name}`}
                      onClick={() => void remove(link)}
                    />
                  </li>
                ))}
              </ul>
            )}
      </Loaded>
    </Card>
  );
}
