/** One's own passkeys, which a device or a security key keeps. */
import { startRegistration } from "@simplewebauthn/browser";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button } from "../../parts/controls.tsx";
import { Loaded } from "../../parts/loaded.tsx";
import { Card, Empty } from "../../parts/parts.tsx";
import { call } from "../../state/api.ts";
import { announce, attempt } from "../../state/messages.ts";
import { useResource } from "../../state/resource.ts";
import type { Passkey } from "../../state/shapes.ts";
import { agoText, timeText } from "../../text/format.ts";
import { PasswordDialog } from "./password_dialog.tsx";

interface Challenge {
  readonly id: string;
  readonly options: Parameters<typeof startRegistration>[0]["optionsJSON"];
}

export function Passkeys(): JSX.Element {
  const passkeys = useResource<readonly Passkey[]>("/account/passkeys");
  const [isAdding, setAdding] = useState(false);
  const add = async (password: string) => {
    const { id, options } = await call<Challenge>("POST", "/account/passkeys/options", {
      body: { password },
    });
    const response = await startRegistration({ optionsJSON: options });
    const name = `Added ${timeText(Date.now()).slice(0, 10)}`;
    await call("POST", "/account/passkeys", { body: { id, name, response } });
    announce("The passkey is added");
    await passkeys.reload();
    return () => setAdding(false);
  };
  const remove = async ({ id, name }: Passkey) => {
    await attempt(
      () => call("DELETE", `/account/passkeys/${encodeURIComponent(id)}`),
      `${name} is removed`,
    );
    await passkeys.reload();
  };
  return (
    <Card
      title="Passkeys"
      isFull
      actions={<Button isSmall onClick={() => setAdding(true)}>Add</Button>}
    >
      <Loaded of={passkeys}>
        {(list) =>
          list.length === 0
            ? (
              <Empty icon="key" title="No passkeys yet">
                <p>
                  A passkey logs you in without a password, and no phishing page can ask for it.
                </p>
              </Empty>
            )
            : (
              <ul class="list">
                {list.map((passkey) => (
                  <li key={passkey.id}>
                    <span class="grow cut">
                      {passkey.name}
                      <span class="muted small">
                        {` used ${agoText(passkey.lastUsed, Date.now())}`}
                      </span>
                    </span>
                    <Button
                      kind="plain"
                      isSmall
                      isDanger
                      icon="trash"
                      label={`Remove ${passkey.name}`}
                      onClick={() => void remove(passkey)}
                    />
                  </li>
                ))}
              </ul>
            )}
      </Loaded>
      {isAdding
        ? (
          <PasswordDialog
            title="Add a passkey"
            action="Continue"
            onPassword={add}
            onClose={() => setAdding(false)}
          />
        )
        : null}
    </Card>
  );
}
