/** Rules as a file has them, each for itself. */
import type { JSX } from "preact";

export function RuleList({ text, none }: { text: string; none: string }): JSX.Element {
  const rules = text.split(",").map((rule) => rule.trim()).filter((rule) => rule !== "");
  if (rules.length === 0) return <span class="muted">{none}</span>;
  return (
    <span class="rules">
      {rules.map((rule) => <span key={rule} class="rule">{rule}</span>)}
    </span>
  );
}
