/** Dialog that gives a peer another name. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { TextField } from "../../parts/controls.tsx";
import { ActionDialog } from "../../parts/dialog.tsx";
import { announce } from "../../state/messages.ts";
import { changePeer } from "../peers/peer_changes.ts";

interface RenameProps {
  readonly publicKey: string;
  readonly name: string;
  readonly onDone: () => Promise<void>;
  readonly onClose: () => void;
}

export function RenameDialog({ publicKey, name, onDone, onClose }: RenameProps): JSX.Element {
  const [next, setNext] = useState(name);
  const rename = async () => {
    await changePeer(publicKey, { Name: next });
    announce(`It is called ${next} now`);
    await onDone();
  };
  return (
    <ActionDialog title="Rename" action="Rename" onConfirm={rename} onClose={onClose}>
      <TextField label="Name" value={next} onInput={setNext} isFocused isRequired isLarge />
    </ActionDialog>
  );
}
