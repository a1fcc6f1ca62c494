/** What a change of the settings would do, line by line, before it is made. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button } from "../../parts/controls.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Notice } from "../../parts/parts.tsx";
import { messageOf } from "../../state/api.ts";
import type { SettingsPreview } from "../../../../control/application/methods.ts";

const SIGNS = { same: " ", added: "+", removed: "−" } as const;
/** Lines around a change that are shown with it. */
const AROUND = 2;

type Line = SettingsPreview["lines"][number];

/** The lines that differ, with some around them; null stands for those left out. */
export function shownLines(lines: readonly Line[]): (Line | null)[] {
  const isNear = (index: number) =>
    lines.slice(Math.max(0, index - AROUND), index + AROUND + 1)
      .some(({ kind }) => kind !== "same");
  const shown: (Line | null)[] = [];
  for (const [index, line] of lines.entries()) {
    if (isNear(index)) shown.push(line);
    else if (shown.at(-1) !== null) shown.push(null);
  }
  return shown;
}

interface PreviewProps {
  readonly preview: SettingsPreview;
  readonly onApply: () => Promise<void>;
  readonly onClose: () => void;
}

export function PreviewDialog({ preview, onApply, onClose }: PreviewProps): JSX.Element {
  const { lines, live, restart, warnings } = preview;
  const [trouble, setTrouble] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const apply = async () => {
    setBusy(true);
    try {
      await onApply();
      onClose();
    } catch (error) {
      setTrouble(messageOf(error));
      setBusy(false);
    }
  };
  return (
    <Dialog title="Changes" isWide onClose={onClose}>
      <div class="stack">
        <div class="diff" tabIndex={0} role="group" aria-label="Lines that change">
          {shownLines(lines).map((line, index) =>
            line === null
              ? <div key={index} class="muted">⋯</div>
              : (
                <div key={index} class={`is-${line.kind}`}>
                  <span class="out-of-sight">{line.kind === "same" ? "" : `${line.kind}: `}</span>
                  {`${SIGNS[line.kind]} ${line.text}`}
                </div>
              )
          )}
        </div>
        {live.length === 0 ? null : <p>In effect at once: {live.join(", ")}.</p>}
        {restart.length === 0
          ? null
          : <Notice tone="warn">Only from the next start: {restart.join(", ")}.</Notice>}
        {warnings.map((warning) => <Notice key={warning} tone="warn">{warning}</Notice>)}
        {trouble === null ? null : <Notice tone="bad">{trouble}</Notice>}
        <div class="form-end">
          <Button onClick={onClose}>Back</Button>
          <Button kind="main" disabled={isBusy} onClick={() => void apply()}>Apply</Button>
        </div>
      </div>
    </Dialog>
  );
}
