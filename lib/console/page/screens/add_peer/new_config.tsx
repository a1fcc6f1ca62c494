/** A configuration that is shown once: QR code, file, text, and whether the device has connected. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, CopyButton } from "../../parts/controls.tsx";
import { Notice } from "../../parts/parts.tsx";
import { QrCode } from "../../parts/qr.tsx";
import { liveTick, model } from "../../state/live_feed.ts";
import { configFileName } from "../../text/config_file.ts";

interface ConfigProps {
  readonly name: string;
  /** Null where nobody is logged in, who could see whether it comes. */
  readonly publicKey: string | null;
  readonly text: string;
}

export function NewConfig({ name, publicKey, text }: ConfigProps): JSX.Element {
  const [isTextShown, setTextShown] = useState(false);
  return (
    <div class="added">
      <QrCode text={text} label={`QR code of the configuration of ${name}`} />
      <div class="stack">
        <ol class="steps">
          <li>Install WireGuard from the phone’s store, and open it.</li>
          <li>Press the plus sign, choose “Scan from QR code”.</li>
          <li>Point the camera here, then turn the tunnel on.</li>
        </ol>
        {publicKey === null ? null : <Arrival publicKey={publicKey} />}
        <div class="row is-wrapped">
          <Button icon="download" onClick={() => download(configFileName(name), text)}>
            File
          </Button>
          <Button onClick={() => setTextShown(!isTextShown)}>
            {isTextShown ? "Hide text" : "Show text"}
          </Button>
          <CopyButton text={text} label="Copy the configuration" />
        </div>
        {isTextShown ? <pre class="code-box" tabIndex={0}>{text}</pre> : null}
        <p class="muted small">
          The private key was made in this browser and is nowhere else. Once this is closed, it
          cannot be shown again.
        </p>
      </div>
    </div>
  );
}

function Arrival({ publicKey }: { publicKey: string }): JSX.Element {
  void liveTick.value;
  const isUp = model.peers.get(publicKey)?.state.isUp ?? false;
  return (
    <div role="status">
      {isUp ? <Notice tone="good">It is connected.</Notice> : (
        <div class="notice">
          <div class="wait is-small" />
          <div>Waiting for it to connect</div>
        </div>
      )}
    </div>
  );
}

function download(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
