/** The `[Group]` sections, and that the groups that peers say they are in are there. */
import type { GroupConfig, PeerConfig } from "../config.ts";
import { GROUP_KEYS, SECTION_KEYS } from "../values/keys.ts";
import type { Entry, Section } from "./config_document.ts";
import { ConfigError } from "../config_error.ts";
import { nearestName } from "./nearest.ts";
import type { Notes } from "./notes.ts";
import { badValue, readSection } from "./section.ts";

export class GroupReader {
  readonly #notes: Notes;
  readonly #groups = new Map<string, GroupConfig>();

  constructor(notes: Notes) {
    this.#notes = notes;
  }

  /** Reads the next section. @throws {ConfigError} */
  read(section: Section): void {
    const { values, entries } = readSection(section, GROUP_KEYS, {
      tables: SECTION_KEYS,
      notes: this.#notes,
    });
    const { Name: name } = values;
    if (name === undefined) {
      throw new ConfigError(
        `${section.fileName}:${section.line}: [Group]: Name is missing: it is what Groups of a peer refers to`,
      );
    }
    const earlier = this.#groups.get(name);
    if (earlier !== undefined) {
      throw badValue(entries.get("Name")!, `the group on line ${earlier.line} has this name`);
    }
    const { Allow: allow, Deny: deny } = values;
    this.#groups.set(name, { name, allow, deny, line: section.line });
  }

  /**
   * All groups, once all sections are read.
   *
   * @param given where each peer says which groups it is in
   * @throws {ConfigError} where one of them is not there
   */
  groups(
    peers: readonly Pick<PeerConfig, "publicKey" | "groups">[],
    given: (publicKey: Uint8Array) => Entry | undefined,
  ): readonly GroupConfig[] {
    for (const { publicKey, groups } of peers) {
      const unknown = groups.find((name) => !this.#groups.has(name));
      if (unknown === undefined) continue;
      const nearest = nearestName(unknown, [...this.#groups.keys()]);
      const help = nearest === undefined
        ? `there is no [Group] with Name = ${unknown}`
        : `did you mean "${nearest}"?`;
      throw badValue(given(publicKey)!, help, unknown);
    }
    return [...this.#groups.values()];
  }
}
