/** Another key pair for a peer, made here, and its configuration with it, shown once. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, Form } from "../../parts/controls.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Notice } from "../../parts/parts.tsx";
import { call, messageOf, peerPath } from "../../state/api.ts";
import { makeKeyPair } from "../../state/keys.ts";
import { model } from "../../state/live_feed.ts";
import { attempt } from "../../state/messages.ts";
import { goTo } from "../../state/router.ts";
import type { CreatedPeer, PeerEntry } from "../../../../control/application/methods.ts";
import { clientConfig } from "../../text/config_file.ts";
import { timeText } from "../../text/format.ts";
import { NewConfig } from "../add_peer/new_config.tsx";

interface Subject {
  readonly publicKey: string;
  readonly name: string;
  readonly onDone: () => Promise<void>;
}

/** Not the screen's: that of a peer goes with the key that it had. */
const subject = signal<Subject | null>(null);

export function openRotation(of: Subject): void {
  subject.value = of;
}

export function RotatePeer(): JSX.Element | null {
  return subject.value === null ? null : <RotationDialog of={subject.value} />;
}

function RotationDialog({ of: { publicKey, name, onDone } }: { of: Subject }): JSX.Element {
  const [made, setMade] = useState<{ readonly publicKey: string; readonly text: string } | null>(
    null,
  );
  const [trouble, setTrouble] = useState<string | null>(null);
  const close = () => {
    subject.value = null;
    if (made !== null && model.peers.has(made.publicKey)) goTo("peers", made.publicKey);
  };
  const rotate = async () => {
    setTrouble(null);
    try {
      const pair = await makeKeyPair();
      const { client } = await call<CreatedPeer>("POST", `${peerPath(publicKey)}/rotation`, {
        body: { publicKey: pair.publicKey },
        revision: null,
      });
      setMade({
        publicKey: pair.publicKey,
        text: clientConfig(client.text, pair.privateKey),
      });
      await onDone();
    } catch (error) {
      setTrouble(messageOf(error));
    }
  };
  if (made !== null) {
    return (
      <Dialog key="config" title={`${name} has a new key`} isWide onClose={close}>
        <NewConfig name={name} publicKey={made.publicKey} text={made.text} />
        <div class="form-end below">
          <Button kind="main" isFocused onClick={close}>Done</Button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog key="question" title={`A new key for ${name}`} onClose={close}>
      <Form onSubmit={rotate}>
        <p>
          The device gets another configuration; its address, rules and quota stay. The one it has
          works until it connects with the new one.
        </p>
        {trouble === null ? null : <Notice tone="bad">{trouble}</Notice>}
        <div class="form-end">
          <Button onClick={close}>Cancel</Button>
          <Button kind="main" isSubmit isFocused>Show QR code</Button>
        </div>
      </Form>
    </Dialog>
  );
}

/** That a new key is not in use yet, and giving it up. */
export function PendingRotation(
  { entry: { publicKey, nextPublicKey, keyExpires }, mayEnd, onChange }: {
    readonly entry: PeerEntry;
    readonly mayEnd: boolean;
    readonly onChange: () => Promise<void>;
  },
): JSX.Element | null {
  if (nextPublicKey === null) return null;
  const giveUp = async () => {
    const path = `${peerPath(publicKey)}/rotation`;
    await attempt(() => call("DELETE", path, { revision: null }), "It keeps the key that it has");
    await onChange();
  };
  return (
    <div class="connection">
      <Notice tone="warn">
        Its new key has not been used: the one before is valid until then
        {keyExpires === null ? "" : `, and until ${timeText(keyExpires)} at most`}.{" "}
        {mayEnd ? <Button isSmall onClick={() => void giveUp()}>Give up the new key</Button> : null}
      </Notice>
    </div>
  );
}
