/** What `vpn doctor` has found on the gateway's host, when that was, and having it look again. */
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Button } from "../../parts/controls.tsx";
import { Icon } from "../../parts/icon.tsx";
import { Loaded } from "../../parts/loaded.tsx";
import { Badge, Card } from "../../parts/parts.tsx";
import { call } from "../../state/api.ts";
import { attempt } from "../../state/messages.ts";
import { useResource } from "../../state/resource.ts";
import { mayOperate } from "../../state/session.ts";
import type { CheckFinding, Examination } from "../../../../control/application/methods.ts";
import { agoText, countText } from "../../text/format.ts";

/** ms between two looks, and while an examination is under way. */
const INTERVAL = 60_000;
const WATCH_INTERVAL = 1_500;
/** What the gateway says of itself is beside this, and newer. */
const SAID_ELSEWHERE: ReadonlySet<string> = new Set(["running", "running-file"]);

/** What there is to fix, the worst first. */
export function toFix(checks: readonly CheckFinding[]): readonly CheckFinding[] {
  return ["fail", "warn"].flatMap((status) =>
    checks.filter((check) => check.status === status && !SAID_ELSEWHERE.has(check.name))
  );
}

export function DoctorCard(): JSX.Element {
  const found = useResource<Examination>("/doctor");
  const isRunning = found.value?.isRunning ?? false;
  useEffect(() => {
    const timer = setInterval(() => void found.reload(), isRunning ? WATCH_INTERVAL : INTERVAL);
    return () => clearInterval(timer);
  }, [found.reload, isRunning]);
  const again = async () => {
    if (await attempt(() => call("POST", "/doctor"))) await found.reload();
  };
  return (
    <Card
      title="Host checks"
      isFull
      beside={found.value === null ? null : <Sum of={found.value} />}
      actions={mayOperate.value
        ? (
          <Button isSmall disabled={isRunning} onClick={() => void again()}>
            {isRunning ? "Checking" : "Check again"}
          </Button>
        )
        : undefined}
    >
      <Loaded of={found}>{(value) => <Findings of={value} />}</Loaded>
    </Card>
  );
}

function Sum({ of: { time, problem, checks } }: { of: Examination }): JSX.Element | null {
  if (time === null || problem !== null) return null;
  const findings = toFix(checks);
  if (findings.length === 0) return <Badge tone="good">Well</Badge>;
  const isBad = findings.some(({ status }) => status === "fail");
  return <Badge tone={isBad ? "bad" : "warn"}>{findings.length}</Badge>;
}

function Findings({ of: { isRunning, time, problem, checks } }: { of: Examination }): JSX.Element {
  const passed = checks.filter(({ status }) => status === "ok").length;
  return (
    <ul class="list">
      {toFix(checks).map(({ name, status, why, remedy }) => (
        <li key={`${name} ${why}`}>
          <span class={`tone-${status === "fail" ? "bad" : "warn"}`}>
            <Icon name="warning" size={16} />
          </span>
          <div class="grow wrap">
            {why}
            {remedy === null ? null : (
              <div class="muted small">
                Fix: <Marked text={remedy} />
              </div>
            )}
          </div>
        </li>
      ))}
      {problem === null ? null : (
        <li>
          <span class="tone-warn">
            <Icon name="warning" size={16} />
          </span>
          <span class="grow wrap">The last check told nothing: {problem}</span>
        </li>
      )}
      <li aria-live="polite">
        <span class="muted grow">
          {time === null
            ? isRunning ? "The host is being checked" : "The host has not been checked yet"
            : `${countText(passed, "check")} passed, ${agoText(time, Date.now())}`}
        </span>
      </li>
    </ul>
  );
}

/** With what stands between backquotes as code: commands and lines of the configuration. */
function Marked({ text }: { text: string }): JSX.Element {
  return (
    <>
      {text.split("`").map((part, index) =>
        index % 2 === 1 ? <code key={index}>{part}</code> : part
      )}
    </>
  );
}
