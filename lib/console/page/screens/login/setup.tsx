/** Screen "set-up": by the link that the console printed, the first account and its second factor are made. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, Form, TextField } from "../../parts/controls.tsx";
import { Notice } from "../../parts/parts.tsx";
import { call, messageOf } from "../../state/api.ts";
import { goTo } from "../../state/router.ts";
import { loadSession, setAccount } from "../../state/session.ts";
import type { Account } from "../../state/shapes.ts";
import { Gate } from "./gate.tsx";
import { EnrolTotp, RecoveryCodes, type TotpSecret } from "./second_factor.tsx";

/** Characters, as the console asks for. */
export const MIN_PASSWORD = 10;

type Step =
  | { readonly kind: "account" }
  | { readonly kind: "totp"; readonly secret: TotpSecret }
  | { readonly kind: "codes"; readonly codes: readonly string[] };

export function SetUpScreen({ token }: { token: string }): JSX.Element {
  const [step, setStep] = useState<Step>({ kind: "account" });
  const finish = () => {
    void loadSession();
    goTo();
  };
  if (step.kind === "totp") {
    return (
      <Gate title="Protect your account" about="A password alone can be guessed or stolen.">
        <EnrolTotp {...step.secret} onDone={(codes) => setStep({ kind: "codes", codes })} />
        <Button kind="plain" isWide onClick={finish}>Not now</Button>
      </Gate>
    );
  }
  if (step.kind === "codes") {
    return (
      <Gate title="Recovery codes">
        <RecoveryCodes codes={step.codes} onDone={finish} />
      </Gate>
    );
  }
  return (
    <Gate title="Welcome" about="Make the first account. It may do everything.">
      <FirstAccount token={token} onDone={setStep} />
    </Gate>
  );
}

function FirstAccount(
  { token, onDone }: { token: string; onDone: (step: Step) => void },
): JSX.Element {
  const [name, setName] = useState("admin");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [trouble, setTrouble] = useState<string | null>(null);
  const make = async () => {
    setTrouble(null);
    if (password !== again) {
      setTrouble("The two passwords are not the same.");
      return;
    }
    try {
      const { account } = await call<{ account: Account }>("POST", "/setup", {
        body: { token, name, password },
      });
      const secret = await call<TotpSecret>("POST", "/account/totp", { body: { password } });
      // The link has done its work, and the browser need not remember it.
      history.replaceState(null, "", "#/setup");
      setAccount(account);
      onDone({ kind: "totp", secret });
    } catch (error) {
      setTrouble(messageOf(error));
    }
  };
  return (
    <Form onSubmit={make}>
      <TextField
        label="Name"
        value={name}
        onInput={setName}
        autocomplete="username"
        isRequired
      />
      <TextField
        label="Password"
        type="password"
        value={password}
        onInput={setPassword}
        autocomplete="new-password"
        hint={`At least ${MIN_PASSWORD} characters; a few words are best.`}
        minLength={MIN_PASSWORD}
        isFocused
        isRequired
      />
      <TextField
        label="Password again"
        type="password"
        value={again}
        onInput={setAgain}
        autocomplete="new-password"
        isRequired
      />
      {trouble === null ? null : <Notice tone="bad">{trouble}</Notice>}
      <Button kind="main" isSubmit isWide>Make the account</Button>
    </Form>
  );
}

/** Where nothing is set up and there is no link. */
export function NotSetUpScreen(): JSX.Element {
  return (
    <Gate title="Not set up yet">
      <p>
        Open the link that <code>vpn console</code>{" "}
        printed when it started. It works once, for the first account.
      </p>
    </Gate>
  );
}
