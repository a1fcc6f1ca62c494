/** Dialog that asks when access ends. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { LabelledField, TextField } from "../../parts/controls.tsx";
import { ActionDialog } from "../../parts/dialog.tsx";
import { announce } from "../../state/messages.ts";

const CHOICES = [
  { value: "1h", text: "In an hour" },
  { value: "1d", text: "In a day" },
  { value: "7d", text: "In a week" },
  { value: "30d", text: "In 30 days" },
  { value: "365d", text: "In a year" },
  { value: "at", text: "At a time of choice" },
  { value: "never", text: "Never" },
] as const;

interface ExpireProps {
  /** @param expires null for never */
  readonly onSet: (expires: string | null) => Promise<unknown>;
  readonly onDone?: () => void;
  readonly onClose: () => void;
}

export function ExpireDialog({ onSet, onDone, onClose }: ExpireProps): JSX.Element {
  const [choice, setChoice] = useState<string>("30d");
  const [time, setTime] = useState("");
  const set = async () => {
    await onSet(choice === "never" ? null : choice === "at" ? time.trim() : choice);
    announce(choice === "never" ? "Access does not expire" : "The expiry is set");
    onDone?.();
  };
  return (
    <ActionDialog title="When access ends" action="Set" onConfirm={set} onClose={onClose}>
      <LabelledField label="Expires">
        {(id) => (
          <select
            id={id}
            class="select"
            value={choice}
            onChange={(event) => setChoice(event.currentTarget.value)}
          >
            {CHOICES.map(({ value, text }) => <option key={value} value={value}>{text}</option>)}
          </select>
        )}
      </LabelledField>
      {choice === "at"
        ? (
          <TextField
            label="Time"
            value={time}
            onInput={setTime}
            placeholder="2027-01-31T18:00:00Z"
            hint="A day, or a time with its zone"
            isRequired
          />
        )
        : null}
    </ActionDialog>
  );
}
