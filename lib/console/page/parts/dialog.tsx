/** Dialogs over the page, which the browser itself keeps the focus in and closes by Escape. */
import type { ComponentChildren, JSX } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button, Form } from "./controls.tsx";
import { Notice } from "./parts.tsx";
import { messageOf } from "../state/api.ts";

interface DialogProps {
  readonly title: string;
  readonly isWide?: boolean;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

export function Dialog({ title, isWide, onClose, children }: DialogProps): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  // Before the next key: what is typed right after the press that opens it would go nowhere otherwise.
  useLayoutEffect(() => {
    dialog.current!.showModal();
    // What is focused may stand at the end, and one begins to read at the start.
    dialog.current!.scrollTop = 0;
  }, []);
  return (
    <dialog
      ref={dialog}
      class={`dialog${isWide ? " is-wide" : ""}`}
      aria-labelledby={id}
      onClose={onClose}
    >
      <div class="dialog-head">
        <h2 id={id}>{title}</h2>
        <Button kind="plain" icon="close" label="Close" onClick={() => dialog.current?.close()} />
      </div>
      <div class="dialog-body">{children}</div>
    </dialog>
  );
}

interface ConfirmProps {
  readonly title: string;
  /** What the button says. */
  readonly action: string;
  readonly isDanger?: boolean;
  readonly onConfirm: () => Promise<unknown>;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

/** A dialog that does something and closes; what went wrong, it shows. */
export function ActionDialog(
  { title, action, isDanger, onConfirm, onClose, children }: ConfirmProps,
): JSX.Element {
  const [trouble, setTrouble] = useState<string | null>(null);
  const act = async () => {
    setTrouble(null);
    try {
      await onConfirm();
    } catch (error) {
      setTrouble(messageOf(error));
      return;
    }
    onClose();
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <Form onSubmit={act}>
        {children}
        {trouble === null ? null : <Notice tone="bad">{trouble}</Notice>}
        <div class="form-end">
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="main" isSubmit {...isDanger ? { isDanger } : {}}>{action}</Button>
        </div>
      </Form>
    </Dialog>
  );
}
