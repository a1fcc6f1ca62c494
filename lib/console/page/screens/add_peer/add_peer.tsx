/** Adding a device: its name, a key pair made here, and its configuration as QR code and file, shown once. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, CopyButton, Form, TextField } from "../../parts/controls.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Notice } from "../../parts/parts.tsx";
import { call, messageOf } from "../../state/api.ts";
import { makeKeyPair } from "../../state/keys.ts";
import type { CreatedPeer } from "../../../../control/application/methods.ts";
import type { OneTimeLink } from "../../state/shapes.ts";
import { clientConfig } from "../../text/config_file.ts";
import { aheadText } from "../../text/format.ts";
import { NewConfig } from "./new_config.tsx";

const isOpen = signal(false);

export function openAddPeer(): void {
  isOpen.value = true;
}

type Step =
  | { readonly kind: "name" }
  | { readonly kind: "config"; readonly publicKey: string; readonly text: string }
  | { readonly kind: "link"; readonly link: OneTimeLink & { readonly url: string } };

export function AddPeer(): JSX.Element | null {
  return isOpen.value ? <AddPeerDialog /> : null;
}

function AddPeerDialog(): JSX.Element {
  const [name, setName] = useState("");
  const [step, setStep] = useState<Step>({ kind: "name" });
  const close = () => isOpen.value = false;
  if (step.kind === "config") {
    return (
      <Dialog key="config" title={`${name} is added`} isWide onClose={close}>
        <NewConfig name={name} publicKey={step.publicKey} text={step.text} />
        <div class="form-end below">
          <Button kind="main" isFocused onClick={close}>Done</Button>
        </div>
      </Dialog>
    );
  }
  if (step.kind === "link") {
    return (
      <Dialog key="link" title={`A link for ${name}`} onClose={close}>
        <NewLink link={step.link} />
        <div class="form-end">
          <Button kind="main" isFocused onClick={close}>Done</Button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog key="name" title="Add a device" onClose={close}>
      <NameForm name={name} onName={setName} onStep={setStep} />
    </Dialog>
  );
}

interface NameFormProps {
  readonly name: string;
  readonly onName: (name: string) => void;
  readonly onStep: (step: Step) => void;
}

function NameForm({ name, onName, onStep }: NameFormProps): JSX.Element {
  const [trouble, setTrouble] = useState<string | null>(null);
  const attemptTo = async (action: () => Promise<Step>) => {
    setTrouble(null);
    try {
      onStep(await action());
    } catch (error) {
      setTrouble(messageOf(error));
    }
  };
  const add = async (): Promise<Step> => {
    const { privateKey, publicKey } = await makeKeyPair();
    const { client } = await call<CreatedPeer>("POST", "/peers", { body: { name, publicKey } });
    return { kind: "config", publicKey, text: clientConfig(client.text, privateKey) };
  };
  const link = async (): Promise<Step> => ({
    kind: "link",
    link: await call("POST", "/links", { body: { name } }),
  });
  return (
    <Form onSubmit={() => attemptTo(add)}>
      <TextField
        label="Name"
        value={name}
        onInput={onName}
        placeholder="anna-phone"
        hint="Whose device it is, and which one."
        isFocused
        isRequired
        isLarge
      />
      {trouble === null ? null : <Notice tone="bad">{trouble}</Notice>}
      <div class="form-end is-spread">
        <Button icon="link" disabled={name === ""} onClick={() => void attemptTo(link)}>
          Link for somebody else
        </Button>
        <Button kind="main" isSubmit>Show QR code</Button>
      </div>
    </Form>
  );
}

function NewLink({ link }: { link: OneTimeLink & { readonly url: string } }): JSX.Element {
  return (
    <div class="stack">
      <p>
        The first to open it gets the configuration, with a key made in their own browser. It works
        once, and expires {aheadText(link.expires, Date.now())}.
      </p>
      <div class="row">
        <input
          class="input mono"
          readOnly
          aria-label="The link"
          value={link.url}
          onFocus={(event) => event.currentTarget.select()}
        />
        <CopyButton text={link.url} label="Copy the link" />
      </div>
      <p class="muted small">The link is not shown again.</p>
    </div>
  );
}
