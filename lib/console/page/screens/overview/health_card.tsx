/** How the gateway is: what is lacking, what is unwise, and that all is well where it is. */
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Icon } from "../../parts/icon.tsx";
import { Loaded } from "../../parts/loaded.tsx";
import { Badge, Card, type Tone } from "../../parts/parts.tsx";
import { model } from "../../state/live_feed.ts";
import { useResource } from "../../state/resource.ts";
import type { Health } from "../../../../control/application/methods.ts";

/** ms between two looks. */
const INTERVAL = 30_000;

interface Finding {
  readonly tone: Tone;
  readonly text: string;
}

/** What there is to say, the worst first; nothing where all is well. */
export function findingsOf(health: Health): Finding[] {
  return [
    ...health.missing.map((text) => ({ tone: "bad" as const, text: `Lacking: ${text}` })),
    ...health.problem === null ? [] : [{ tone: "bad" as const, text: health.problem }],
    ...health.pending.map((text) => ({ tone: "warn" as const, text: `Until a reload: ${text}` })),
    ...health.restart.map((text) => ({ tone: "warn" as const, text: `Until a restart: ${text}` })),
    ...health.warnings.map((text) => ({ tone: "warn" as const, text })),
    ...health.deadRules.map((text) => ({ tone: "warn" as const, text })),
  ];
}

export function HealthCard(): JSX.Element {
  const health = useResource<Health>("/health");
  useEffect(() => {
    const timer = setInterval(() => void health.refresh(), INTERVAL);
    return () => clearInterval(timer);
  }, [health.refresh]);
  return (
    <Card
      title="Health"
      isFull
      beside={health.value === null ? null : <Sum health={health.value} />}
    >
      <Loaded of={health}>
        {(value) => {
          const findings = findingsOf(value);
          return (
            <ul class="list">
              {findings.map(({ tone, text }) => (
                <li key={text}>
                  <span class={`tone-${tone}`}>
                    <Icon name="warning" size={16} />
                  </span>
                  <span class="grow wrap">{text}</span>
                </li>
              ))}
              {findings.length > 0 ? null : (
                <li>
                  <span class="tone-good">
                    <Icon name="check" size={16} />
                  </span>
                  <span>Nothing is lacking, and no rule is in vain</span>
                </li>
              )}
              <Figures />
            </ul>
          );
        }}
      </Loaded>
    </Card>
  );
}

function Sum({ health }: { health: Health }): JSX.Element {
  const findings = findingsOf(health);
  if (findings.length === 0) return <Badge tone="good">Well</Badge>;
  const isBad = findings.some(({ tone }) => tone === "bad");
  return <Badge tone={isBad ? "bad" : "warn"}>{findings.length}</Badge>;
}

function Figures(): JSX.Element | null {
  if (model.status === null) return null;
  const { drops, listenPort, addresses, aead } = model.status;
  const dropped = Object.values(drops).reduce((sum, count) => sum + count, 0);
  const facts = [
    ["UDP port", `${listenPort}`],
    ["Inside", addresses.join(", ")],
    ["Cipher", aead],
    ["Packets dropped", dropped.toLocaleString("en")],
  ] as const;
  return (
    <>
      {facts.map(([name, text]) => (
        <li key={name}>
          <span class="muted grow">{name}</span>
          <span class="cut" title={text}>{text}</span>
        </li>
      ))}
    </>
  );
}
