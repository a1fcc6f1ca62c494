/**
 * Strict reader of Prometheus's text format 0.0.4: what Prometheus would let pass, such as a family in pieces or
 * without its HELP, is an error here.
 */

/** One name's samples. */
export interface ParsedFamily {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: ParsedSample[];
}

export interface ParsedSample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const HELP = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/s;
const TYPE = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge)$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.+)\})? (\S+)$/s;
/** One pair at the place of the last match; `__` begins names that are Prometheus's own. */
const LABEL = /((?!__)[a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(,|$)/y;
const NUMBER = /^(?:[+-]Inf|NaN|-?\d+(?:\.\d+)?(?:e[+-]\d+)?)$/;

/**
 * The families by their names, in their order.
 *
 * @throws {Error} which names the line that breaks a rule
 */
export function parseExposition(text: string): Map<string, ParsedFamily> {
  if (!text.endsWith("\n")) throw new Error("The last line does not end");
  const families = new Map<string, ParsedFamily>();
  let family: ParsedFamily | null = null;
  const lines = text.slice(0, -1).split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    const refuse = (why: string) => new Error(`Line ${i + 1}, ${JSON.stringify(line)}: ${why}`);
    if (line.startsWith("#")) {
      const [, name, help] = HELP.exec(line) ?? [];
      const [, typed, type] = TYPE.exec(lines[++i] ?? "") ?? [];
      if (name === undefined || name !== typed) throw refuse("no HELP and TYPE of one name");
      if (families.has(name)) throw refuse("a family in two pieces");
      if (family?.samples.length === 0) throw refuse(`${family.name} has no samples`);
      family = { name, type: type!, help: unescape(help!), samples: [] };
      families.set(name, family);
      continue;
    }
    const [, name, labelText = "", value = ""] = SAMPLE.exec(line) ?? [];
    if (name === undefined) throw refuse("no sample");
    if (name !== family?.name) throw refuse("a sample of another family");
    if (!NUMBER.test(value)) throw refuse("no number");
    const labels = parseLabels(labelText);
    if (labels === null) throw refuse("no labels");
    const key = JSON.stringify(Object.entries(labels).sort());
    if (
      family.samples.some((other) => JSON.stringify(Object.entries(other.labels).sort()) === key)
    ) {
      throw refuse("a sample given twice");
    }
    family.samples.push({ labels, value: Number(value.replace("Inf", "Infinity")) });
  }
  return families;
}

function parseLabels(text: string): Record<string, string> | null {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const [, name, value, separator] = LABEL.exec(text) ?? [];
    if (name === undefined || name in labels) return null;
    if (separator === "," && LABEL.lastIndex === text.length) return null;
    labels[name] = unescape(value!);
  }
  return labels;
}

function unescape(text: string): string {
  return text.replace(/\\(.)/g, (_, character) => character === "n" ? "\n" : character);
}
