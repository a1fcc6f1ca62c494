/**
 * Settings text: the `[Interface]` section of a file as it may be shown and given back, without its secrets, and the
 * file with it put back in its place; in steps, as the rest of the file may be long.
 */
import { documentSteps, parseDocument, type Section } from "./config_document.ts";
import { RefusalError } from "../refusal_error.ts";

/** In place of a secret. */
const SECRET = "(secret)";
const SECRET_KEYS: readonly string[] = ["privatekey", "webhooksecret"];
/** Commands may have one among their words. */
const HOOK_KEYS: readonly string[] = ["preup", "postup", "predown", "postdown"];
/** What may be one in a comment or a command: base64 of 32 bytes, or most of it; and what is called one. */
const MAYBE_KEY = /[A-Za-z0-9+/]{40,}={0,2}/g;
const NAMED_SECRET = /((?:private|preshared)\s*key|webhook\s*secret)(\s*=\s*)[^\s"';|]+/gi;

/** Where the section stands: line numbers from 0, the end not included. */
interface Place {
  readonly first: number;
  readonly end: number;
}

/** A line of the section, and what is shown of it, without what is behind it. */
interface OwnLine {
  readonly line: string;
  readonly shown: string;
}

/** The section's text, with its secrets. @throws {ConfigError | RefusalError} for a file with none, or several */
export function* settingsIn(text: string): Generator<void, string> {
  const lines = linesOf(text);
  const { first, end } = placeIn(yield* documentSteps(text, ""), lines);
  return lines.slice(first, end).join("");
}

/** The same without them. */
export function withoutSecrets(settings: string): string {
  return linesOf(settings).map(hidden).join("");
}

/**
 * The file with another section in the place of its own. What stands for a secret is the secret that it was.
 *
 * @throws {ConfigError | RefusalError} for what is not one `[Interface]` section, or stands for no secret
 */
export function* withSettings(text: string, settings: string): Generator<void, string> {
  const lines = linesOf(text);
  const { first, end } = placeIn(yield* documentSteps(text, ""), lines);
  const sections = parseDocument(settings, "settings");
  if (sections.length !== 1 || sections[0]!.name !== "Interface") {
    throw new RefusalError("invalid", "The settings are one section [Interface]");
  }
  const own = lines.slice(first, end);
  const newline = text.includes("\r\n") ? "\r\n" : "\n";
  const given = settings.replace(/\r?\n/g, newline).trimEnd() + newline;
  // Of lines that look the same, the first that comes back is the first, and so on.
  const shown = own.map((line): OwnLine => ({ line, shown: hidden(line).trimEnd() }));
  const left = [...shown];
  const restored = linesOf(given)
    .map((line, index) => revealed(line, { own: shown, left }, index + 1));
  const isLast = end === lines.length && !text.endsWith("\n");
  const section = isLast ? restored.join("").trimEnd() : restored.join("");
  return [...lines.slice(0, first), section, ...lines.slice(end)].join("");
}

/** Which of these keys have other values in one file than in the other. @throws {ConfigError} */
export function* changedOf(
  keys: readonly string[],
  before: string,
  after: string,
): Generator<void, string[]> {
  const old = yield* documentSteps(before, "");
  const now = yield* documentSteps(after, "");
  return keys.filter((key) => valuesOf(old, key).join("\n") !== valuesOf(now, key).join("\n"));
}

/** Values that a key has in the one file and did not have in the other. @throws {ConfigError} */
export function* addedTo(key: string, before: string, after: string): Generator<void, string[]> {
  const known = new Set(valuesOf(yield* documentSteps(before, ""), key));
  return valuesOf(yield* documentSteps(after, ""), key).filter((value) => !known.has(value));
}

function valuesOf(sections: readonly Section[], key: string): string[] {
  return sections.filter(({ name }) => name === "Interface")
    .flatMap(({ entries }) => entries)
    .filter((entry) => entry.key.toLowerCase() === key.toLowerCase())
    .map(({ value }) => value);
}

/** The lines with their ends. */
function linesOf(text: string): string[] {
  return text === "" ? [] : text.split(/(?<=\n)/);
}

/** From its header to its last line or comment; comments right above the next header are that section's. */
function placeIn(sections: readonly Section[], lines: readonly string[]): Place {
  const own = sections.filter(({ name }) => name === "Interface");
  if (own.length !== 1) {
    throw new RefusalError(
      "refused",
      `The file has ${own.length} sections [Interface]: edit the file itself, and run \`vpn reload\``,
    );
  }
  const next = sections[sections.indexOf(own[0]!) + 1];
  const least = own[0]!.entries.at(-1)?.line ?? own[0]!.line;
  let end = next === undefined ? lines.length : next.line - 1;
  while (end > least && next !== undefined && /^\s*#/.test(lines[end - 1]!)) end--;
  while (end > least && lines[end - 1]!.trim() === "") end--;
  return { first: own[0]!.line - 1, end };
}

/** A line as it may be shown. */
function hidden(line: string): string {
  // In one pass, whatever is in it: a line is as long as a request.
  const said = line.replace(/#.*$/s, "");
  const equals = said.indexOf("=") + 1;
  const key = said.slice(0, Math.max(0, equals - 1)).replace(/\s/g, "").toLowerCase();
  if (HOOK_KEYS.includes(key)) return withoutKeys(line);
  const value = said.slice(equals);
  const isSecret = SECRET_KEYS.includes(key) && value.trim() !== "";
  const first = equals + value.length - value.trimStart().length;
  const end = said.trimEnd().length;
  const shown = isSecret ? line.slice(0, first) + SECRET + line.slice(end) : line;
  const hash = shown.indexOf("#");
  return hash < 0 ? shown : shown.slice(0, hash) + withoutKeys(shown.slice(hash));
}

function withoutKeys(text: string): string {
  return text.replace(NAMED_SECRET, `$1$2${SECRET}`).replace(MAYBE_KEY, SECRET);
}

/**
 * A line with the secret that it was, as the same line had it, or the same key.
 *
 * @param lines the section's own, and those that have not come back yet
 */
function revealed(
  line: string,
  { own, left }: { readonly own: readonly OwnLine[]; readonly left: OwnLine[] },
  number: number,
): string {
  if (!line.includes(SECRET)) return line;
  const text = line.trimEnd();
  const isSame = ({ shown }: OwnLine) => shown === text;
  const at = left.findIndex(isSame);
  const same = at < 0 ? own.find(isSame) : left.splice(at, 1)[0];
  if (same !== undefined) return same.line.trimEnd() + line.slice(text.length);
  const [, before = "", rest = ""] = /^([^#=]*)=\s*\(secret\)(.*)$/s.exec(line) ?? [];
  const nameOf = (text: string) => text.replace(/[#=].*$/s, "").replace(/\s/g, "").toLowerCase();
  const name = nameOf(before);
  const kept = SECRET_KEYS.includes(name)
    ? own.findLast((each) => nameOf(each.line) === name)
    : undefined;
  if (kept === undefined || rest.includes(SECRET)) {
    throw new RefusalError(
      "invalid",
      `Line ${number}: ${SECRET} stands for the value that is set already: give the value, or leave the line as it was`,
    );
  }
  const value = kept.line.replace(/#.*$/s, "").replace(/^[^=]*=/, "").trim();
  return line.replace(SECRET, () => value);
}
