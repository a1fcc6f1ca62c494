/** Screen "settings": the gateway's own section of its configuration, with what would change before it does. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, Form } from "../../parts/controls.tsx";
import { Loaded } from "../../parts/loaded.tsx";
import { Card, Notice, TitledScreen } from "../../parts/parts.tsx";
import { call, get, messageOf } from "../../state/api.ts";
import { announce } from "../../state/messages.ts";
import { useResource } from "../../state/resource.ts";
import type {
  SettingsPreview,
  SettingsResult,
  SettingsText,
} from "../../../../control/application/methods.ts";
import { PreviewDialog } from "./preview_dialog.tsx";

export function SettingsScreen(): JSX.Element {
  const settings = useResource<SettingsText>("/settings");
  const [result, setResult] = useState<SettingsResult | null>(null);
  return (
    <TitledScreen title="Settings">
      <div class="stack">
        {result === null ? null : <ResultNotice result={result} />}
        <Card title="The [Interface] section">
          <Loaded of={settings}>
            {(value) => (
              <SettingsForm
                key={value.revision}
                settings={value}
                onDone={async (done) => {
                  setResult(done);
                  await settings.reload();
                }}
              />
            )}
          </Loaded>
        </Card>
      </div>
    </TitledScreen>
  );
}

interface FormProps {
  readonly settings: SettingsText;
  readonly onDone: (result: SettingsResult) => Promise<void>;
}

/** What a change would come to, and of which state of the file. */
interface Review {
  readonly preview: SettingsPreview;
  readonly revision: string;
}

function SettingsForm({ settings, onDone }: FormProps): JSX.Element {
  const [text, setText] = useState(settings.text);
  const [review, setReview] = useState<Review | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const isChanged = text !== settings.text;
  const look = async () => {
    setTrouble(null);
    try {
      // Of the file as it is now: somebody else may have changed it since, which the differences show.
      const { revision } = await get<SettingsText>("/settings");
      const preview = await call<SettingsPreview>("POST", "/settings/preview", { body: { text } });
      setReview({ preview, revision });
    } catch (error) {
      setTrouble(messageOf(error));
    }
  };
  const apply = async ({ revision }: Review) => {
    const result = await call<SettingsResult>("PUT", "/settings", {
      body: { text },
      revision,
    });
    announce("The settings are written");
    await onDone(result);
  };
  return (
    <Form onSubmit={look}>
      <p class="muted small">
        As it stands in the file, with its comments. Secrets are shown as “(secret)”, and stay as
        they are where that is left.
      </p>
      <textarea
        class="area"
        aria-label="The configuration"
        rows={Math.min(30, Math.max(12, text.split("\n").length + 1))}
        spellcheck={false}
        autocapitalize="off"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      {trouble === null ? null : <Notice tone="bad">{trouble}</Notice>}
      <div class="form-end">
        {isChanged ? <Button onClick={() => setText(settings.text)}>Discard</Button> : null}
        <Button kind="main" isSubmit disabled={!isChanged}>Review changes</Button>
      </div>
      {review === null ? null : (
        <PreviewDialog
          preview={review.preview}
          onApply={() => apply(review)}
          onClose={() => setReview(null)}
        />
      )}
    </Form>
  );
}

function ResultNotice({ result }: { result: SettingsResult }): JSX.Element {
  const { changes, restart, problems } = result;
  return (
    <>
      {problems.map((problem) => <Notice key={problem} tone="bad">{problem}</Notice>)}
      {restart.length === 0
        ? null
        : <Notice tone="warn">From the next start of the gateway: {restart.join(", ")}.</Notice>}
      {changes.length === 0
        ? null
        : <Notice tone="good">In effect now: {changes.join("; ")}.</Notice>}
    </>
  );
}
