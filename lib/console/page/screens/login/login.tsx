/** Screen "login": name and password, the second factor where the account has one, or a passkey alone. */
import { startAuthentication } from "@simplewebauthn/browser";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, Form, TextField } from "../../parts/controls.tsx";
import { Notice } from "../../parts/parts.tsx";
import { ApiError, call, messageOf } from "../../state/api.ts";
import { session, setAccount } from "../../state/session.ts";
import type { Account } from "../../state/shapes.ts";
import { Gate } from "./gate.tsx";

export function LoginScreen(): JSX.Element {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  /** Null until it is asked for. */
  const [code, setCode] = useState<string | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const attemptLogin = async (login: () => Promise<{ account: Account }>) => {
    setTrouble(null);
    try {
      setAccount((await login()).account);
    } catch (error) {
      if (error instanceof ApiError && error.problem === "second-factor" && code === null) {
        setCode("");
      } else setTrouble(messageOf(error));
    }
  };
  const byPassword = () =>
    call<{ account: Account }>("POST", "/login", {
      body: { name, password, ...code === null ? {} : { code: code.trim() } },
    });
  return (
    <Gate
      title={code === null ? "Log in" : "Second factor"}
      about={code === null
        ? `The console of ${session.value?.gateway}`
        : "The six digits that your app shows, or a recovery code."}
    >
      <Form onSubmit={() => attemptLogin(byPassword)}>
        {code === null
          ? (
            <>
              <TextField
                label="Name"
                value={name}
                onInput={setName}
                autocomplete="username"
                isFocused
                isRequired
              />
              <TextField
                label="Password"
                type="password"
                value={password}
                onInput={setPassword}
                autocomplete="current-password"
                isRequired
              />
            </>
          )
          : (
            <TextField
              key="code"
              label="Code"
              value={code}
              onInput={setCode}
              autocomplete="one-time-code"
              isFocused
              isRequired
              isLarge
              isCode
            />
          )}
        {trouble === null ? null : <Notice tone="bad">{trouble}</Notice>}
        <Button kind="main" isSubmit isWide>Log in</Button>
        {code === null && session.value?.passkeys
          ? (
            <Button isWide icon="key" onClick={() => void attemptLogin(byPasskey)}>
              Use a passkey
            </Button>
          )
          : null}
        {code === null ? null : <Button kind="plain" onClick={() => setCode(null)}>Back</Button>}
      </Form>
    </Gate>
  );
}

interface PasskeyChallenge {
  readonly id: string;
  readonly options: Parameters<typeof startAuthentication>[0]["optionsJSON"];
}

async function byPasskey(): Promise<{ account: Account }> {
  const { id, options } = await call<PasskeyChallenge>("POST", "/login/passkey/options", {
    body: {},
  });
  const response = await startAuthentication({ optionsJSON: options });
  return await call("POST", "/login/passkey", { body: { id, response } });
}
