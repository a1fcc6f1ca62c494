/** A form in a card, which changes what it was opened with and no later state of it. */
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, Form } from "./controls.tsx";
import { Notice } from "./parts.tsx";
import { messageOf } from "../state/api.ts";
import { announce } from "../state/messages.ts";

interface EditFormProps {
  /** Of what is edited, as it is known now; what is known may be renewed while the form is open. */
  readonly revision: string | null;
  /** Saves what the fields have, on the revision that the form was opened with. */
  readonly onSave: (revision: string | null) => Promise<unknown>;
  /** What is announced then. */
  readonly saved: string;
  /** Asks again for what is edited. */
  readonly onChange: () => Promise<void>;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

export function EditForm(props: EditFormProps): JSX.Element {
  const { onSave, saved, onChange, onClose, children } = props;
  const [revision] = useState(props.revision);
  const [trouble, setTrouble] = useState<string | null>(null);
  const save = async () => {
    setTrouble(null);
    try {
      await onSave(revision);
    } catch (error) {
      setTrouble(messageOf(error));
      // Somebody else may have changed it: the next form begins with that.
      await onChange();
      return;
    }
    announce(saved);
    onClose();
    await onChange();
  };
  return (
    <Form onSubmit={save}>
      {children}
      {trouble === null ? null : <Notice tone="bad">{trouble}</Notice>}
      <div class="form-end">
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="main" isSubmit>Save</Button>
      </div>
    </Form>
  );
}
