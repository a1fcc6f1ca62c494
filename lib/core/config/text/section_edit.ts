/**
 * Section edit: the text of a file with keys of its peers and groups changed, sections added and taken out, where every
 * other byte and every comment stays. The file is read once, however many changes there are.
 */
import { documentSteps, type Entry, type Section } from "./config_document.ts";

/** A section that is edited: a peer, by its public key in base64, or a group by its name. */
export interface SectionId {
  readonly kind: "Peer" | "Group";
  readonly id: string;
}

/** All `[Interface]` sections as one. */
export const INTERFACE_SECTION = { kind: "Interface", id: "" } as const;
type AnyId = SectionId | typeof INTERFACE_SECTION;

/** What becomes of a key: a line without `#`, or null to take it out. */
export interface KeyEdit {
  readonly key: string;
  readonly value: string | null;
  /** Whether several lines of it add up. */
  readonly repeats: boolean;
}

export class SectionEditor {
  /** With their ends; more than one of a file where something was added behind it. */
  readonly #lines: string[];
  readonly #newline: string;
  readonly #sections = new Map<string, Section[]>();
  readonly #added: string[] = [];

  private constructor(text: string, sections: readonly Section[]) {
    this.#lines = text === "" ? [] : text.split(/(?<=\n)/);
    this.#newline = text.includes("\r\n") ? "\r\n" : "\n";
    for (const section of sections) {
      const place = placeOf(section);
      if (place === null) continue;
      const earlier = this.#sections.get(place);
      if (earlier === undefined) this.#sections.set(place, [section]);
      else earlier.push(section);
    }
  }

  /** An editor of this text, in steps. @throws {ConfigError} for one that is no configuration */
  static *of(text: string): Generator<void, SectionEditor> {
    return new SectionEditor(text, yield* documentSteps(text, ""));
  }

  /**
   * Changes a key on the line that counts, which is the last; of one whose lines add up, the others go. A new key
   * stands behind the last one of the last section.
   */
  set(of: AnyId, { key, value, repeats }: KeyEdit): void {
    const sections = this.#sectionsOf(of);
    const lines = this.#lines;
    const isOfKey = (entry: Entry) => entry.key.toLowerCase() === key.toLowerCase();
    const given = sections.flatMap(({ entries }) => entries).filter(isOfKey);
    const counting = given.at(-1);
    for (const entry of given) {
      const isKept = entry === counting && value !== null;
      if (!isKept && value !== null && !repeats) continue;
      this.#change(entry, (line) => isKept ? withValue(line, value) : commentOf(line));
    }
    if (counting !== undefined || value === null) return;
    // Of one that was taken out there may be no line any more.
    const last = sections.at(-1)!.entries.findLast(({ line }) => lines[line - 1] !== "")!.line - 1;
    const indent = /^\s*/.exec(lines[last]!)![0];
    if (!lines[last]!.endsWith("\n")) lines[last] += this.#newline;
    lines[last] += `${indent}${key} = ${value}${this.#newline}`;
  }

  /** Changes the line of an entry, behind which others may have been put. */
  #change({ line }: Entry, change: (line: string) => string): void {
    const text = this.#lines[line - 1]!;
    const end = text.indexOf("\n") + 1 || text.length;
    this.#lines[line - 1] = change(text.slice(0, end)) + text.slice(end);
  }

  /**
   * Takes sections out: each from its header, with the comment right above it, to its last key. An empty line above
   * goes with it, as `add()` puts one there. Other comments stay.
   */
  remove(of: SectionId): void {
    const lines = this.#lines;
    for (const section of this.#sectionsOf(of)) {
      let first = section.line - 1;
      while (/^\s*#/.test(lines[first - 1] ?? "")) first--;
      if (/^\s*$/.test(lines[first - 1] ?? "-")) first--;
      const end = section.entries.at(-1)?.line ?? section.line;
      for (let at = first; at < end; at++) lines[at] = "";
    }
    this.#sections.delete(placeText(of));
  }

  /** Adds a section at the end, behind an empty line. */
  add(kind: SectionId["kind"], entries: readonly (readonly [key: string, value: string])[]): void {
    const lines = ["", `[${kind}]`, ...entries.map(([key, value]) => `${key} = ${value}`), ""];
    this.#added.push(lines.join(this.#newline));
  }

  /** The text as it is by now. */
  get text(): string {
    const text = this.#lines.join("");
    if (this.#added.length === 0) return text;
    const ended = text === "" || text.endsWith("\n") ? text : text + this.#newline;
    return ended + this.#added.join("");
  }

  #sectionsOf(of: AnyId): readonly Section[] {
    const sections = this.#sections.get(placeText(of));
    if (sections === undefined) throw new RangeError(`Cannot find [${of.kind}] ${of.id}`);
    return sections;
  }
}

function placeOf({ name, entries }: Section): string | null {
  if (name === "Interface") return placeText(INTERFACE_SECTION);
  const key = name === "Peer" ? "publickey" : "name";
  const value = entries.findLast((entry) => entry.key.toLowerCase() === key)?.value;
  if (value === undefined) return null;
  // As `wg` reads a key: without blanks.
  return placeText({ kind: name, id: name === "Peer" ? value.replace(/\s/g, "") : value });
}

function placeText({ kind, id }: AnyId): string {
  return `${kind} ${id}`;
}

/** A line `Key = value # comment` with another value. */
function withValue(line: string, value: string): string {
  const hash = line.indexOf("#");
  const said = hash < 0 ? line : line.slice(0, hash);
  const start = said.indexOf("=") + 1;
  const old = said.slice(start);
  const blanks = old.trim() === "" ? " " : old.slice(0, old.length - old.trimStart().length);
  const end = Math.max(start, said.trimEnd().length);
  return `${said.slice(0, start)}${blanks || " "}${value}${line.slice(end)}`;
}

/** What is left of a line whose key is taken out. */
function commentOf(line: string): string {
  const at = line.indexOf("#");
  return at < 0 ? "" : /^\s*/.exec(line)![0] + line.slice(at);
}
