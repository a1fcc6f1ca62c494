/** Configuration document: a file as lines, with sections and the keys and values that stand in them. */
import { atOnce } from "../at_once.ts";
import { ConfigError, quoted } from "../config_error.ts";
import { nearestName } from "./nearest.ts";

const SECTION_NAMES = ["Interface", "Peer", "Group"] as const;
export type SectionName = (typeof SECTION_NAMES)[number];

/** What the host calls things by number, as files in /etc have it. */
export interface HostNames {
  /** The port of a service, as in `https`; undefined for an unknown one. */
  service(name: string): number | undefined;
  /** The number of a routing table; undefined for an unknown one. */
  table(name: string): number | undefined;
}

/** A `Key = value` line. */
export interface Entry {
  readonly fileName: string;
  /** From 1. */
  readonly line: number;
  /** As it stands in the file. */
  readonly key: string;
  /** Without the space around it and without a comment. */
  readonly value: string;
  /** Left out where no names of the host's are known. */
  readonly names?: HostNames | undefined;
}

/** A `[Name]` line and the entries under it. */
export interface Section {
  readonly fileName: string;
  readonly line: number;
  readonly name: SectionName;
  readonly entries: readonly Entry[];
  /**
   * Comments on the lines right above the header, without an empty line between, and on lines above one of its keys.
   */
  readonly above: readonly string[];
  readonly comments: readonly string[];
}

/**
 * Splits a file into sections. As with `wg` and `wg-quick`, `#` begins a comment wherever it stands, and names are
 * matched without regard to capitals, or to blanks in them, which `wg` drops.
 *
 * @throws {ConfigError} for a line that is none of blank, comment, `[Section]` and `Key = value`, for an unknown
 *   section, and for a key outside a section
 */
export function parseDocument(
  text: string,
  fileName: string,
  names?: HostNames,
): readonly Section[] {
  return atOnce(documentSteps(text, fileName, names));
}

/** The same in steps. */
export function* documentSteps(
  text: string,
  fileName: string,
  names?: HostNames,
): Generator<void, readonly Section[]> {
  const sections: (Section & { entries: Entry[]; comments: string[] })[] = [];
  let comments: string[] = [];
  let above: string[] = [];
  const lines = text.replace(/^\ufeff/, "").split("\n");
  for (const [index, content] of lines.entries()) {
    yield;
    const stripped = content.replace(/#.*$/s, "").trim();
    if (stripped === "") {
      const comment = content.trim();
      if (comment === "") above = [];
      else {
        comments.push(comment);
        above.push(comment);
      }
      continue;
    }
    const line = index + 1;
    const at = `${fileName}:${line}`;
    if (stripped.startsWith("[")) {
      const name = sectionName(stripped, at);
      sections.push({ fileName, line, name, entries: [], above, comments: [] });
      above = [];
      comments = [];
      continue;
    }
    const equals = stripped.indexOf("=");
    const key = stripped.slice(0, Math.max(equals, 0)).replace(/\s/g, "");
    // What is not a plain word is not shown: it may be a key pasted without its name.
    if (!/^[A-Za-z][A-Za-z0-9_-]{0,29}$/.test(key)) {
      throw new ConfigError(`${at}: cannot read this line: it is not of the form "Key = value"`);
    }
    const section = sections.at(-1);
    if (section === undefined) {
      throw new ConfigError(
        `${at}: ${key} is outside of a section: begin the file with a line "[Interface]"`,
      );
    }
    section.entries.push({ fileName, line, key, value: stripped.slice(equals + 1).trim(), names });
    for (const comment of comments) section.comments.push(comment);
    above = [];
    comments = [];
  }
  return sections;
}

function sectionName(header: string, at: string): SectionName {
  const name = /^\[([^\]]*)\]$/.exec(header.replace(/\s/g, ""))?.[1];
  if (name === undefined) {
    throw new ConfigError(`${at}: cannot read ${quoted(header)}: a section begins with "[Name]"`);
  }
  const known = SECTION_NAMES.find((each) => each.toLowerCase() === name.toLowerCase());
  if (known !== undefined) return known;
  const nearest = nearestName(name, SECTION_NAMES);
  throw new ConfigError(
    `${at}: unknown section ${quoted(name)}: ${
      nearest === undefined
        ? "there are [Interface], [Peer] and [Group]"
        : `did you mean "[${nearest}]"?`
    }`,
  );
}
