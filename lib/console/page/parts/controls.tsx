/** Controls: buttons, switches, fields, and a choice of a few. */
import type { ComponentChildren, JSX } from "preact";
import { useId, useState } from "preact/hooks";
import { Icon, type IconName } from "./icon.tsx";

interface ButtonProps {
  readonly children?: ComponentChildren;
  readonly icon?: IconName;
  /** What it does, where it shows an icon alone. */
  readonly label?: string;
  readonly kind?: "main" | "plain";
  readonly isDanger?: boolean;
  readonly isSmall?: boolean;
  readonly isWide?: boolean;
  readonly isSubmit?: boolean;
  /** Where a dialog begins. */
  readonly isFocused?: boolean;
  readonly disabled?: boolean;
  readonly onClick?: () => void;
}

export function Button(props: ButtonProps): JSX.Element {
  const { children, icon, label, kind, isDanger, isSmall, isWide } = props;
  const classes = [
    "button",
    kind === undefined ? "" : `is-${kind}`,
    isDanger ? "is-danger" : "",
    isSmall ? "is-small" : "",
    isWide ? "is-wide" : "",
    children === undefined ? "is-icon" : "",
  ];
  return (
    <button
      type={props.isSubmit ? "submit" : "button"}
      class={classes.filter((each) => each !== "").join(" ")}
      aria-label={label}
      title={label}
      disabled={props.disabled ?? false}
      autofocus={props.isFocused}
      onClick={props.onClick}
    >
      {icon === undefined ? null : <Icon name={icon} size={isSmall ? 15 : 17} />}
      {children}
    </button>
  );
}

interface SwitchProps {
  readonly label: string;
  readonly isOn: boolean;
  readonly disabled?: boolean;
  readonly onChange: (isOn: boolean) => void;
}

export function Switch({ label, isOn, disabled = false, onChange }: SwitchProps): JSX.Element {
  return (
    <button
      type="button"
      role="switch"
      class="switch"
      aria-checked={isOn}
      aria-label={label}
      title={label}
      disabled={disabled}
      onClick={(event) => {
        event.stopPropagation();
        onChange(!isOn);
      }}
    />
  );
}

interface FieldProps {
  readonly label: string;
  readonly hint?: ComponentChildren;
  readonly children: (id: string) => ComponentChildren;
}

/** A label, what it is about, and a hint below. */
export function LabelledField({ label, hint, children }: FieldProps): JSX.Element {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(id)}
      {hint === undefined ? null : <p class="hint" id={`${id}-hint`}>{hint}</p>}
    </div>
  );
}

interface TextFieldProps {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly hint?: ComponentChildren;
  readonly type?: "text" | "password" | "number";
  readonly placeholder?: string;
  readonly autocomplete?: string;
  readonly inputMode?: "numeric" | "text";
  readonly isLarge?: boolean;
  readonly isCode?: boolean;
  readonly isFocused?: boolean;
  readonly isRequired?: boolean;
  readonly isInvalid?: boolean;
  readonly minLength?: number;
  readonly maxLength?: number;
}

export function TextField(props: TextFieldProps): JSX.Element {
  const { label, hint, value, onInput, isLarge, isCode } = props;
  return (
    <LabelledField label={label} {...hint === undefined ? {} : { hint }}>
      {(id) => (
        <input
          id={id}
          class={`input${isLarge ? " is-large" : ""}${isCode ? " is-code" : ""}`}
          type={props.type ?? "text"}
          value={value}
          placeholder={props.placeholder}
          autocomplete={props.autocomplete ?? "off"}
          autocapitalize="off"
          spellcheck={false}
          inputMode={props.inputMode}
          required={props.isRequired}
          minLength={props.minLength}
          maxLength={props.maxLength}
          aria-invalid={props.isInvalid ? "true" : undefined}
          aria-describedby={hint === undefined ? undefined : `${id}-hint`}
          // In a dialog, what is focused first; on a screen of one field too.
          autofocus={props.isFocused}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      )}
    </LabelledField>
  );
}

interface SegmentsProps<Value extends string> {
  readonly label: string;
  readonly value: Value;
  readonly choices: readonly { readonly value: Value; readonly text: string }[];
  readonly onChange: (value: Value) => void;
}

/** One of a few, all of which are seen. */
export function Segments<Value extends string>(
  { label, value, choices, onChange }: SegmentsProps<Value>,
): JSX.Element {
  return (
    <div class="segments" role="group" aria-label={label}>
      {choices.map((choice) => (
        <button
          key={choice.value}
          type="button"
          class="segment"
          aria-pressed={choice.value === value}
          onClick={() => onChange(choice.value)}
        >
          {choice.text}
        </button>
      ))}
    </div>
  );
}

/** A form whose button waits for what it has begun. */
export function Form(
  { children, onSubmit }: { children: ComponentChildren; onSubmit: () => Promise<unknown> },
): JSX.Element {
  const [isBusy, setBusy] = useState(false);
  const submit = async () => {
    if (isBusy) return;
    setBusy(true);
    try {
      await onSubmit();
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      class="form"
      aria-busy={isBusy}
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      {children}
    </form>
  );
}

/** Text that is copied by a press. */
export function CopyButton({ text, label }: { text: string; label: string }): JSX.Element {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    await copyText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1_500);
  };
  return (
    <Button
      kind="plain"
      isSmall
      icon={isCopied ? "check" : "copy"}
      label={isCopied ? "Copied" : label}
      onClick={() => void copy()}
    />
  );
}

/** On plain HTTP outside of this machine, browsers have no clipboard for pages; a selection can still be copied. */
async function copyText(text: string): Promise<void> {
  if (navigator.clipboard !== undefined) return await navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "out-of-sight";
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
