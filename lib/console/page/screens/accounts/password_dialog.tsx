/** Dialog that asks for the password again, before something that a stolen session must not do. */
import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { Button, Form, TextField } from "../../parts/controls.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Notice } from "../../parts/parts.tsx";
import { messageOf } from "../../state/api.ts";

interface PasswordProps {
  readonly title: string;
  readonly action: string;
  /** Does it, and says what comes then, in place of the dialog. */
  readonly onPassword: (password: string) => Promise<() => void>;
  readonly onClose: () => void;
}

export function PasswordDialog({ title, action, onPassword, onClose }: PasswordProps): JSX.Element {
  const [password, setPassword] = useState("");
  const [trouble, setTrouble] = useState<string | null>(null);
  const isDone = useRef(false);
  const submit = async () => {
    setTrouble(null);
    try {
      const next = await onPassword(password);
      isDone.current = true;
      next();
    } catch (error) {
      setTrouble(messageOf(error));
    }
  };
  return (
    <Dialog title={title} onClose={() => isDone.current || onClose()}>
      <Form onSubmit={submit}>
        <TextField
          label="Your password"
          type="password"
          value={password}
          onInput={setPassword}
          autocomplete="current-password"
          isFocused
          isRequired
        />
        {trouble === null ? null : <Notice tone="bad">{trouble}</Notice>}
        <div class="form-end">
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="main" isSubmit>{action}</Button>
        </div>
      </Form>
    </Dialog>
  );
}
