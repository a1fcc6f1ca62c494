/** Screen of a one-time link: for somebody without an account, who gets a configuration by it. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Button, Form } from "../../parts/controls.tsx";
import { Notice, Wait } from "../../parts/parts.tsx";
import { call, messageOf } from "../../state/api.ts";
import { makeKeyPair } from "../../state/keys.ts";
import type { CreatedPeer } from "../../../../control/application/methods.ts";
import { clientConfig } from "../../text/config_file.ts";
import { aheadText } from "../../text/format.ts";
import { NewConfig } from "../add_peer/new_config.tsx";
import { Gate } from "./gate.tsx";

interface Offer {
  readonly name: string;
  readonly expires: string;
}

export function RedeemScreen({ token }: { token: string }): JSX.Element {
  const [offer, setOffer] = useState<Offer | null>(null);
  const [text, setText] = useState<string | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const attemptTo = async (action: () => Promise<void>) => {
    setTrouble(null);
    try {
      await action();
    } catch (error) {
      setTrouble(messageOf(error));
    }
  };
  useEffect(() => {
    void attemptTo(async () => setOffer(await call("POST", "/links/inspect", { body: { token } })));
  }, [token]);
  const redeem = async () => {
    const { privateKey, publicKey } = await makeKeyPair();
    const { client } = await call<CreatedPeer>("POST", "/links/redeem", {
      body: { token, publicKey },
    });
    setText(clientConfig(client.text, privateKey));
    // It is used up, and the browser need not remember it.
    history.replaceState(null, "", "#/link");
  };
  if (offer !== null && text !== null) {
    return (
      <main class="gate">
        <div class="gate-card is-wide card">
          <h1>{offer.name}</h1>
          <div class="gate-body">
            <NewConfig name={offer.name} publicKey={null} text={text} />
          </div>
        </div>
      </main>
    );
  }
  return (
    <Gate
      title={offer === null ? "A link for a device" : `Connect ${offer.name}`}
      about={offer === null
        ? undefined
        : `This link expires ${aheadText(offer.expires, Date.now())}.`}
    >
      {trouble === null ? null : <Notice tone="bad">{trouble}</Notice>}
      {offer === null
        ? trouble === null ? <Wait /> : null
        : (
          <Form onSubmit={() => attemptTo(redeem)}>
            <p>
              You get the configuration of a VPN, once. Open this where you can keep it: on the
              device itself, or beside a phone that reads the QR code.
            </p>
            <Button kind="main" isSubmit isWide>Show my configuration</Button>
          </Form>
        )}
    </Gate>
  );
}
