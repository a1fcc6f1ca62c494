/**
 * Exposition: Prometheus's text format for metrics, version 0.0.4, from families of samples to the bytes of an answer.
 */

/** What an answer in this format says of itself. */
export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** A value at the time of asking, and what tells it from the others of its family. */
export interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

/** All samples of one name. The name of a counter ends in `_total`; a unit, a base one, stands before that. */
export interface MetricFamily {
  readonly name: string;
  readonly type: "counter" | "gauge";
  /** One sentence. */
  readonly help: string;
  /** May be made as they are asked for, once. */
  readonly samples: Iterable<Sample>;
}

/** The families as text; one without samples is left out. */
export function formatExposition(families: Iterable<MetricFamily>): string {
  return [...expositionLines(families)].join("");
}

/** The same by the line: of thousands of peers there are many, which nobody can wait for at once. */
export function* expositionLines(families: Iterable<MetricFamily>): Generator<string> {
  for (const { name, type, help, samples } of families) {
    let hasHead = false;
    for (const { labels = {}, value } of samples) {
      if (!hasHead) yield `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`;
      hasHead = true;
      yield `${name}${labelText(labels)} ${numberText(value)}\n`;
    }
  }
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

/** As Go's ParseFloat() reads it. */
function numberText(value: number): string {
  if (Math.abs(value) === Infinity) return value > 0 ? "+Inf" : "-Inf";
  return `${value}`;
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}

export function gauge(name: string, help: string, samples: Iterable<Sample>): MetricFamily {
  return { name, type: "gauge", help, samples };
}
