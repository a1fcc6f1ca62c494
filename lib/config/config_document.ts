/** Owns a configuration file as lines: sections, and the keys with their values that stand in them. */
import { ConfigError, quoted } from "./config_error.ts";
import { nearestName } from "./nearest.ts";

const SECTION_NAMES = ["Interface", "Peer"] as const;
export type SectionName = (typeof SECTION_NAMES)[number];

/** A `Key = value` line. */
export interface Entry {
  readonly fileName: string;
  /** From 1. */
  readonly line: number;
  /** As it stands in the file. */
  readonly key: string;
  /** Without the space around it and without a comment. */
  readonly value: string;
}

/** A `[Name]` line and the entries under it. */
export interface Section {
  readonly fileName: string;
  readonly line: number;
  readonly name: SectionName;
  readonly entries: readonly Entry[];
}

/**
 * Splits a file into sections. As with `wg` and `wg-quick`, `#` begins a comment wherever it stands, and names are
 * matched without regard to capitals.
 *
 * @throws {ConfigError} for a line that is none of blank, comment, `[Section]` and `Key = value`, for an unknown
 *   section, and for a key outside a section
 */
export function parseDocument(text: string, fileName: string): readonly Section[] {
  const sections: (Section & { entries: Entry[] })[] = [];
  const lines = text.replace(/^\ufeff/, "").split("\n");
  for (const [index, content] of lines.entries()) {
    const stripped = content.replace(/#.*$/s, "").trim();
    if (stripped === "") continue;
    const line = index + 1;
    const at = `${fileName}:${line}`;
    if (stripped.startsWith("[")) {
      sections.push({ fileName, line, name: sectionName(stripped, at), entries: [] });
      continue;
    }
    const equals = stripped.indexOf("=");
    const key = stripped.slice(0, Math.max(equals, 0)).trim();
    // What is not a plain word is not shown: it may be a key pasted without its name.
    if (!/^[A-Za-z][A-Za-z0-9_-]{0,29}$/.test(key)) {
      throw new ConfigError(`${at}: cannot read this line: it is not of the form "Key = value"`);
    }
    const section = sections.at(-1);
    if (section === undefined) {
      throw new ConfigError(`${at}: ${key} stands in no section: begin with a line "[Interface]"`);
    }
    section.entries.push({ fileName, line, key, value: stripped.slice(equals + 1).trim() });
  }
  return sections;
}

function sectionName(header: string, at: string): SectionName {
  const name = /^\[\s*([^\]]*?)\s*\]$/.exec(header)?.[1];
  if (name === undefined) {
    throw new ConfigError(`${at}: cannot read ${quoted(header)}: a section begins with "[Name]"`);
  }
  const known = SECTION_NAMES.find((each) => each.toLowerCase() === name.toLowerCase());
  if (known !== undefined) return known;
  const nearest = nearestName(name, SECTION_NAMES);
  throw new ConfigError(
    `${at}: unknown section ${quoted(name)}: ${
      nearest === undefined ? "there are [Interface] and [Peer]" : `did you mean "[${nearest}]"?`
    }`,
  );
}
