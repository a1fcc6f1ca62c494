/** Setting up the second factor: the secret as a QR code, the first code typed back, recovery codes shown once. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, CopyButton, Form, TextField } from "../../parts/controls.tsx";
import { Key, Notice } from "../../parts/parts.tsx";
import { QrCode } from "../../parts/qr.tsx";
import { call, messageOf } from "../../state/api.ts";

export interface TotpSecret {
  readonly secret: string;
  readonly uri: string;
}

interface EnrolProps extends TotpSecret {
  readonly onDone: (recoveryCodes: readonly string[]) => void;
}

export function EnrolTotp({ secret, uri, onDone }: EnrolProps): JSX.Element {
  const [code, setCode] = useState("");
  const [trouble, setTrouble] = useState<string | null>(null);
  const confirm = async () => {
    setTrouble(null);
    try {
      const answer = await call<{ recoveryCodes: string[] }>("PUT", "/account/totp", {
        body: { code: code.trim() },
      });
      onDone(answer.recoveryCodes);
    } catch (error) {
      setTrouble(messageOf(error));
    }
  };
  return (
    <Form onSubmit={confirm}>
      <div class="totp">
        <QrCode text={uri} label="QR code for an app that makes codes" />
        <div class="stack">
          <p>Scan this with an app that makes codes, and type the six digits that it shows.</p>
          <p class="muted small">Without a camera, give the app this secret:</p>
          <Key text={secret} label="Copy the secret" />
        </div>
      </div>
      <TextField
        label="Code"
        value={code}
        onInput={setCode}
        autocomplete="one-time-code"
        inputMode="numeric"
        isFocused
        isRequired
        isLarge
        isCode
      />
      {trouble === null ? null : <Notice tone="bad">{trouble}</Notice>}
      <Button kind="main" isSubmit isWide>Turn on</Button>
    </Form>
  );
}

export function RecoveryCodes(
  { codes, onDone }: { codes: readonly string[]; onDone: () => void },
): JSX.Element {
  return (
    <div class="stack">
      <Notice tone="warn">
        Keep these codes where your phone is not. Each logs you in once when the phone is lost. They
        are not shown again.
      </Notice>
      <div class="code-box codes">
        {codes.map((code) => <code key={code}>{code}</code>)}
      </div>
      <div class="row">
        <CopyButton text={codes.join("\n")} label="Copy all codes" />
        <span class="muted small">Copy all</span>
      </div>
      <Button kind="main" isWide onClick={onDone}>I have kept them</Button>
    </div>
  );
}
