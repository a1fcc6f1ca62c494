/** Screen "account": one's own password, second factor, passkeys and sessions. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, Form, TextField } from "../../parts/controls.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Loaded } from "../../parts/loaded.tsx";
import { Badge, Card, Notice, TitledScreen } from "../../parts/parts.tsx";
import { call, messageOf } from "../../state/api.ts";
import { announce, attempt } from "../../state/messages.ts";
import { useResource } from "../../state/resource.ts";
import { loadSession, session } from "../../state/session.ts";
import type { LoginSession } from "../../state/shapes.ts";
import { agoText } from "../../text/format.ts";
import { EnrolTotp, RecoveryCodes, type TotpSecret } from "../login/second_factor.tsx";
import { MIN_PASSWORD } from "../login/setup.tsx";
import { Passkeys } from "./passkeys.tsx";
import { PasswordDialog } from "./password_dialog.tsx";

export function OwnAccountScreen(): JSX.Element {
  const account = session.value?.account;
  return (
    <TitledScreen title="Your account" beside={<Badge tone="plain">{account?.role}</Badge>}>
      <div class="grid halves">
        <div class="stack">
          <SecondFactor />
          {session.value?.passkeys ? <Passkeys /> : null}
        </div>
        <div class="stack">
          <Password />
          <Sessions />
        </div>
      </div>
    </TitledScreen>
  );
}

function Password(): JSX.Element {
  const [password, setPassword] = useState("");
  const [newPassword, setNewPassword] = useState("");
  const [trouble, setTrouble] = useState<string | null>(null);
  const change = async () => {
    setTrouble(null);
    try {
      await call("POST", "/account/password", { body: { password, newPassword } });
      announce("The password is changed. Other sessions have ended");
      setPassword("");
      setNewPassword("");
    } catch (error) {
      setTrouble(messageOf(error));
    }
  };
  return (
    <Card title="Password">
      <Form onSubmit={change}>
        <TextField
          label="Current password"
          type="password"
          value={password}
          onInput={setPassword}
          autocomplete="current-password"
          isRequired
        />
        <TextField
          label="New password"
          type="password"
          value={newPassword}
          onInput={setNewPassword}
          autocomplete="new-password"
          minLength={MIN_PASSWORD}
          hint={`At least ${MIN_PASSWORD} characters; a few words are best.`}
          isRequired
        />
        {trouble === null ? null : <Notice tone="bad">{trouble}</Notice>}
        <div class="form-end">
          <Button isSubmit>Change</Button>
        </div>
      </Form>
    </Card>
  );
}

type Open =
  | { readonly kind: "on" | "off" | "codes" }
  | { readonly kind: "enrol"; readonly secret: TotpSecret }
  | { readonly kind: "shown"; readonly codes: readonly string[] };

function SecondFactor(): JSX.Element {
  const [open, setOpen] = useState<Open | null>(null);
  const account = session.value?.account;
  const close = () => {
    setOpen(null);
    void loadSession();
  };
  return (
    <Card
      title="Second factor"
      beside={account?.hasTotp ? <Badge tone="good">on</Badge> : <Badge tone="warn">off</Badge>}
    >
      <div class="stack">
        <p>
          A code that an app on your phone makes, asked for beside the password.
          {account?.hasTotp ? ` ${account.recoveryCodes} recovery codes are left.` : ""}
        </p>
        <div class="row is-wrapped">
          {account?.hasTotp
            ? (
              <>
                <Button onClick={() => setOpen({ kind: "codes" })}>New recovery codes</Button>
                <Button isDanger onClick={() => setOpen({ kind: "off" })}>Turn off</Button>
              </>
            )
            : <Button kind="main" onClick={() => setOpen({ kind: "on" })}>Turn on</Button>}
        </div>
      </div>
      {open?.kind === "on"
        ? (
          <PasswordDialog
            title="Turn the second factor on"
            action="Continue"
            onPassword={async (password) => {
              const secret = await call<TotpSecret>("POST", "/account/totp", {
                body: { password },
              });
              return () => setOpen({ kind: "enrol", secret });
            }}
            onClose={close}
          />
        )
        : null}
      {open?.kind === "off"
        ? (
          <PasswordDialog
            title="Turn the second factor off"
            action="Turn off"
            onPassword={async (password) => {
              await call("DELETE", "/account/totp", { body: { password } });
              return close;
            }}
            onClose={close}
          />
        )
        : null}
      {open?.kind === "codes"
        ? (
          <PasswordDialog
            title="New recovery codes"
            action="Make"
            onPassword={async (password) => {
              const { recoveryCodes } = await call<{ recoveryCodes: string[] }>(
                "POST",
                "/account/recovery-codes",
                { body: { password } },
              );
              return () => setOpen({ kind: "shown", codes: recoveryCodes });
            }}
            onClose={close}
          />
        )
        : null}
      {open?.kind === "enrol"
        ? (
          <Dialog key="enrol" title="Turn the second factor on" onClose={close}>
            <EnrolTotp {...open.secret} onDone={(codes) => setOpen({ kind: "shown", codes })} />
          </Dialog>
        )
        : null}
      {open?.kind === "shown"
        ? (
          <Dialog key="shown" title="Recovery codes" onClose={close}>
            <RecoveryCodes codes={open.codes} onDone={close} />
          </Dialog>
        )
        : null}
    </Card>
  );
}

function Sessions(): JSX.Element {
  const sessions = useResource<readonly LoginSession[]>("/account/sessions");
  const end = async (id: string) => {
    await attempt(
      () => call("DELETE", `/account/sessions/${encodeURIComponent(id)}`),
      "The session has ended",
    );
    await sessions.reload();
  };
  return (
    <Card title="Sessions" isFull>
      <Loaded of={sessions}>
        {(list) => (
          <ul class="list">
            {list.map(({ id, source, lastUsed, isCurrent }) => (
              <li key={id}>
                <span class="grow cut">
                  {source}
                  <span class="muted small">{` used ${agoText(lastUsed, Date.now())}`}</span>
                </span>
                {isCurrent
                  ? <Badge tone="good">this one</Badge>
                  : <Button isSmall onClick={() => void end(id)}>End</Button>}
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </Card>
  );
}
