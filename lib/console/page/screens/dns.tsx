/** Screen "DNS": what the gateway's proxy was asked, and what it kept back. */
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Loaded } from "../parts/loaded.tsx";
import { Card, Empty, Fact, Meter, TitledScreen } from "../parts/parts.tsx";
import { useResource } from "../state/resource.ts";
import { linkTo } from "../state/router.ts";
import { mayAdminister } from "../state/session.ts";
import type { SettingsText } from "../../../control/application/methods.ts";

/** ms between two looks. */
const INTERVAL = 3_000;

type Figures = Readonly<Record<string, number>>;

/** What the figures are called here; others are shown under their own names. */
const NAMES: Readonly<Record<string, string>> = {
  merged: "Merged with an equal query in flight",
  overBudget: "Refused: over the client’s share",
  refused: "Dropped: over the rate limit",
  evicted: "Evicted: the table was full",
  evictedConnections: "TCP connections evicted",
  wrongAnswers: "Answers late, malformed or forged",
  blockedNames: "Names on the block list",
};
/** Shown large, and not again below. */
const LARGE = ["queries", "hits", "blocked"];

/** The keys of the configuration that are about names. */
const KEYS = /^\s*(Dns\w*|DNS)\s*=\s*(.*)$/;

export function DnsScreen(): JSX.Element {
  const figures = useResource<Figures | null>("/dns");
  useEffect(() => {
    const timer = setInterval(() => void figures.refresh(), INTERVAL);
    return () => clearInterval(timer);
  }, [figures.refresh]);
  return (
    <TitledScreen title="DNS">
      {figures.isHere && figures.value === null
        ? (
          <Card>
            <Empty icon="dns" title="The gateway answers no DNS">
              <p>
                With its proxy on, clients resolve names through the tunnel, find each other by
                name, and are spared what a block list has.
              </p>
            </Empty>
          </Card>
        )
        : <Loaded of={figures}>{(value) => <DnsFigures figures={value ?? {}} />}</Loaded>}
      {mayAdminister.value ? <DnsSettings /> : null}
    </TitledScreen>
  );
}

function DnsFigures({ figures }: { figures: Figures }): JSX.Element {
  const { queries = 0, hits = 0, blocked = 0 } = figures;
  const part = (count: number) => queries === 0 ? 0 : count / queries;
  const percent = (count: number) => `${(part(count) * 100).toFixed(1)} %`;
  const others = Object.entries(figures).filter(([name]) => !LARGE.includes(name));
  return (
    <div class="stack">
      <div class="grid tiles is-three">
        <div class="card tile">
          <div class="name">Queries</div>
          <div class="figure">{queries.toLocaleString("en")}</div>
          <div class="more">since the gateway started</div>
        </div>
        <div class="card tile">
          <div class="name">Blocked</div>
          <div class="figure">
            {blocked.toLocaleString("en")} <span class="muted">{percent(blocked)}</span>
          </div>
          <Meter
            part={Math.min(0.999, part(blocked))}
            label="Part of the queries that was blocked"
          />
        </div>
        <div class="card tile">
          <div class="name">From the cache</div>
          <div class="figure">
            {hits.toLocaleString("en")} <span class="muted">{percent(hits)}</span>
          </div>
          <Meter
            part={Math.min(0.999, part(hits))}
            label="Part of the queries that the cache knew"
          />
        </div>
      </div>
      <Card title="Other figures">
        <dl class="facts">
          {others.map(([name, count]) => (
            <Fact key={name} name={NAMES[name] ?? name}>{count.toLocaleString("en")}</Fact>
          ))}
        </dl>
      </Card>
    </div>
  );
}

function DnsSettings(): JSX.Element {
  const settings = useResource<SettingsText>("/settings");
  return (
    <div class="below">
      <Card title="Settings" actions={<a href={linkTo("settings")}>Change</a>}>
        <Loaded of={settings}>
          {({ text }) => {
            const lines = text.split("\n").flatMap((line) => {
              const [, name, value] = KEYS.exec(line) ?? [];
              return name === undefined ? [] : [{ name, value }];
            });
            return lines.length === 0
              ? <p class="muted">The configuration says nothing about names: defaults hold.</p>
              : (
                <dl class="facts">
                  {lines.map(({ name, value }) => (
                    <Fact key={`${name} ${value}`} name={name}>
                      <code>{value}</code>
                    </Fact>
                  ))}
                </dl>
              );
          }}
        </Loaded>
      </Card>
    </div>
  );
}
