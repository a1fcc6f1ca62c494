/** Tests that the Grafana dashboard is whole and asks for nothing but metrics and labels that there are. */
import { formatExposition } from "../../lib/core/metrics/exposition.ts";
import { vpnMetrics } from "../../lib/core/metrics/vpn_metrics.ts";
import { parseExposition } from "../support/metrics/exposition_parser.ts";
import { GATEWAY } from "../support/metrics/snapshots.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { hostTest, whereAllowed } from "../support/permissions.ts";

interface Target {
  readonly refId: string;
  readonly expr: string;
  readonly legendFormat?: string;
  readonly format?: string;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly datasource: { readonly type: string; readonly uid: string };
  readonly targets: readonly Target[];
}

interface Variable {
  readonly name: string;
  readonly type: string;
  readonly query: string | { readonly query: string };
}

interface Dashboard {
  readonly title: string;
  readonly uid: string;
  readonly schemaVersion: number;
  readonly templating: { readonly list: readonly Variable[] };
  readonly panels: readonly Panel[];
}

const URL_OF_FILE = new URL("../../lib/packaging/grafana_dashboard.json", import.meta.url);
const DASHBOARD: Dashboard = await whereAllowed(async () =>
  JSON.parse(await Deno.readTextFile(URL_OF_FILE))
);
/** What Prometheus adds to each sample. */
const TARGET_LABELS = ["instance", "job"];
/** Words of PromQL that stand where a metric might. */
const KEYWORDS = ["by", "without", "on", "ignoring", "and", "or", "unless", "bool", "offset"];

/** The labels of each metric. */
const METRICS = new Map(
  Array.from(parseExposition(formatExposition(vpnMetrics(GATEWAY))), ([name, { samples }]) => {
    return [name, [...TARGET_LABELS, ...Object.keys(samples[0]!.labels)]] as const;
  }),
);

/** What a PromQL expression reads: its metrics, and the labels that it selects or groups by. */
function readsOf(expression: string): { metrics: string[]; labels: string[] } {
  const withoutTexts = expression.replace(/"[^"]*"/g, '""');
  const labels = Array.from(
    withoutTexts.matchAll(/([a-z_]+)\s*(?:=~|!~|!=|=)/g),
    ([, name]) => name!,
  );
  const groups = withoutTexts.matchAll(/\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g);
  for (const [, names] of groups) labels.push(...names!.split(/\s*,\s*/));
  const rest = withoutTexts
    .replace(/\b(?:by|without|on|ignoring)\s*\([^)]*\)/g, " ")
    .replace(/\{[^}]*\}|\[[^\]]*\]/g, " ");
  const metrics = Array.from(
    rest.matchAll(/[a-z_][a-z0-9_]*(?!\s*\(|[a-z0-9_])/g),
    ([name]) => name,
  )
    .filter((name) => !KEYWORDS.includes(name));
  return { metrics, labels };
}

/** All expressions, those of the variables included. */
function expressions(): string[] {
  const ofVariables = DASHBOARD.templating.list
    .filter(({ type }) => type === "query")
    .map(({ query }) => {
      const [, metric, label] = /^label_values\((.*), (\w+)\)$/
        .exec(typeof query === "string" ? query : query.query) ?? [];
      return `max by (${label}) (${metric})`;
    });
  return [
    ...ofVariables,
    ...DASHBOARD.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
  ];
}

hostTest(
  "readsOf(), the reader of these tests, tells metrics from functions, labels and words",
  () => {
    assertEquals(
      readsOf(
        'sum by (a, b) (rate(m_total{c=~"x", d="m2"}[$__rate_interval])) * 8 and on (e) n > 0',
      ),
      { metrics: ["m_total", "n"], labels: ["c", "d", "a", "b", "e"] },
    );
  },
);

hostTest("the dashboard's queries read metrics and labels that there are", () => {
  for (const expression of expressions()) {
    const { metrics, labels } = readsOf(expression);
    assert(metrics.length > 0, expression);
    for (const name of metrics) assert(METRICS.has(name), `${name} in ${expression}`);
    const known = metrics.flatMap((name) => METRICS.get(name)!);
    for (const label of labels) assert(known.includes(label), `${label} in ${expression}`);
  }
});

hostTest("the dashboard's legends name labels that the queries leave", () => {
  for (const { title, targets } of DASHBOARD.panels) {
    for (const { expr, legendFormat, format } of targets) {
      assert(legendFormat !== undefined || format === "table", title);
      const [, grouped] = /^\w+ by \(([^)]*)\)/.exec(expr) ?? [];
      const left = grouped?.split(", ") ??
        readsOf(expr).metrics.flatMap((name) => METRICS.get(name)!);
      for (const [, label] of legendFormat?.matchAll(/\{\{(\w+)\}\}/g) ?? []) {
        assert(left.includes(label!), `${label} in "${title}"`);
      }
    }
  }
});

hostTest(
  "the dashboard shows throughput by peer, handshakes, drops by reason, the NAT, DNS and internal errors",
  () => {
    const shown = new Set(expressions().flatMap((expression) => readsOf(expression).metrics));
    // The transport of a peer is for queries of one's own, as is what tells nothing over time.
    const left = [...METRICS.keys()].filter((name) => !shown.has(name));
    assertEquals(left, [
      "vpn_udp_segmentation_enabled",
      "vpn_peer_rate_limited_packets_total",
      "vpn_peer_info",
      "vpn_peer_admitted",
      "vpn_peer_expiry_timestamp_seconds",
      "vpn_peer_quota_bytes",
      "vpn_peer_quota_used_bytes",
      "vpn_peer_nat_ports",
      "vpn_peer_nat_sessions",
      "vpn_dns_merged_queries_total",
      "vpn_dns_evicted_connections_total",
      "process_start_time_seconds",
    ]);
  },
);

hostTest("the dashboard's variables are used, and are all that is used", () => {
  const names = DASHBOARD.templating.list.map(({ name }) => name);
  const text = JSON.stringify(DASHBOARD);
  const used = Array.from(
    text.matchAll(/\$(?:\{(\w+)\}|(\w+))/g),
    ([, one, other]) => one ?? other!,
  );
  assertEquals(
    new Set(used.filter((name) => !name.startsWith("__"))),
    new Set(names),
  );
});

hostTest("the dashboard's panels are told apart, fill their rows and cover no other", () => {
  const { panels, schemaVersion, title, uid } = DASHBOARD;
  assert(schemaVersion >= 36 && title !== "" && uid !== "");
  assertEquals(new Set(panels.map(({ id }) => id)).size, panels.length);
  const covered = new Set<string>();
  for (const { title, gridPos: { x, y, w, h }, datasource, targets } of panels) {
    assertEquals(datasource, { type: "prometheus", uid: "${datasource}" }, title);
    assertEquals(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
    for (let column = x; column < x + w; column++) {
      for (let row = y; row < y + h; row++) {
        assert(column < 24 && !covered.has(`${column} ${row}`), title);
        covered.add(`${column} ${row}`);
      }
    }
  }
  assertEquals(covered.size % 24, 0);
});
