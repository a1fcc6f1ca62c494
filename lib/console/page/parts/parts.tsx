/** Parts of screens: their head, cards, badges, notices, and what is shown where there is nothing yet. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon, type IconName } from "./icon.tsx";
import { CopyButton } from "./controls.tsx";

interface ScreenProps {
  readonly title: string;
  /** Beside the title. */
  readonly beside?: ComponentChildren;
  /** Buttons at the end of the line. */
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
}

/** A screen: its title is focused when it comes, so that readers of the screen begin there. */
export function TitledScreen({ title, beside, actions, children }: ScreenProps): JSX.Element {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (document.querySelector("dialog[open]") === null) {
      heading.current?.focus({ preventScroll: true });
    }
    scrollTo(0, 0);
  }, []);
  useEffect(() => {
    document.title = `${title} · vpn`;
  }, [title]);
  return (
    <>
      <div class="screen-head">
        <h1 ref={heading} tabIndex={-1}>{title}</h1>
        {beside}
        {actions === undefined ? null : <div class="end">{actions}</div>}
      </div>
      {children}
    </>
  );
}

interface CardProps {
  readonly title?: string;
  readonly beside?: ComponentChildren;
  readonly actions?: ComponentChildren;
  /** Whether the content comes up to the edges, as a table does. */
  readonly isFull?: boolean;
  readonly children: ComponentChildren;
}

export function Card({ title, beside, actions, isFull, children }: CardProps): JSX.Element {
  return (
    <section class="card" aria-label={title}>
      {title === undefined ? null : (
        <div class="card-head">
          <h2>{title}</h2>
          {beside}
          {actions === undefined ? null : <div class="end">{actions}</div>}
        </div>
      )}
      {isFull ? children : <div class="card-body">{children}</div>}
    </section>
  );
}

export type Tone = "good" | "warn" | "bad" | "accent" | "plain";

export function Badge(
  { tone, children }: { tone: Tone; children: ComponentChildren },
): JSX.Element {
  return <span class={`badge is-${tone}`}>{children}</span>;
}

export function Notice(
  { tone, children }: { tone: Tone; children: ComponentChildren },
): JSX.Element {
  return (
    <div class={`notice is-${tone}`} role={tone === "bad" ? "alert" : undefined}>
      <Icon name={tone === "good" ? "check" : "warning"} size={16} />
      <div>{children}</div>
    </div>
  );
}

interface EmptyProps {
  readonly icon: IconName;
  readonly title: string;
  readonly children?: ComponentChildren;
}

export function Empty({ icon, title, children }: EmptyProps): JSX.Element {
  return (
    <div class="empty">
      <Icon name={icon} size={30} />
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Wait(): JSX.Element {
  return (
    <div class="empty" role="status">
      <div class="wait" />
      <span class="out-of-sight">Loading</span>
    </div>
  );
}

/** One of `<dl class="facts">`. */
export function Fact(
  { name, children }: { name: string; children: ComponentChildren },
): JSX.Element {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

/** A key, or what is as long, with a button that copies it. */
export function Key({ text, label }: { text: string; label: string }): JSX.Element {
  return (
    <span class="key">
      <code title={text}>{text}</code>
      <CopyButton text={text} label={label} />
    </span>
  );
}

export function Meter(
  { part, label }: { part: number; label: string },
): JSX.Element {
  const percent = Math.min(100, Math.round(part * 100));
  return (
    <div
      class={`meter${part >= 1 ? " is-full" : ""}`}
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
    >
      <div style={{ width: `${percent}%` }} />
    </div>
  );
}
