/** Section reader: reads one section by a table of its keys: unknown keys, repeated keys, and values by their line. */
import type { Entry, Section } from "./config_document.ts";
import { BadValueError, ConfigError, quoted } from "../config_error.ts";
import { takeForeignKey } from "./foreign_keys.ts";
import { nearestName } from "./nearest.ts";
import type { Notes } from "./notes.ts";

/** A key that may stand once in a section. */
export interface SingleKey<T> {
  readonly repeats: false;
  readonly parse: (entry: Entry) => T;
}

/** A key that may be repeated and gives several values each time. */
export interface ListKey<T> {
  readonly repeats: true;
  readonly parse: (entry: Entry) => readonly T[];
}

/** The keys of a section by their documented spelling. */
export type KeyTable = Readonly<Record<string, SingleKey<unknown> | ListKey<unknown>>>;

/** What a section says: one value or `undefined` for each single key, a list for each that repeats. */
export type Values<Table extends KeyTable> = {
  readonly [Key in keyof Table]: Table[Key] extends ListKey<infer T> ? readonly T[]
    : Table[Key] extends SingleKey<infer T> ? T | undefined
    : never;
};

export function single<T>(parse: (entry: Entry) => T): SingleKey<T> {
  return { repeats: false, parse };
}

export function list<T>(parse: (entry: Entry) => readonly T[]): ListKey<T> {
  return { repeats: true, parse };
}

/**
 * Reads a section line by line, so that the first mistake in it is the one reported. Of a key that is given twice the
 * last counts, as for `wg`.
 *
 * @param tables the keys of all sections, to tell a misplaced key from a mistyped one
 * @returns the values, and the entry that gave each key, the first one of a list
 * @throws {ConfigError}
 */
export function readSection<Table extends KeyTable>(
  section: Section,
  table: Table,
  { tables, notes }: { readonly tables: Readonly<Record<string, KeyTable>>; readonly notes: Notes },
): { values: Values<Table>; entries: ReadonlyMap<string, Entry> } {
  const names = Object.keys(table);
  const entries = new Map<string, Entry>();
  const values: Record<string, unknown> = Object.fromEntries(
    names.map((name) => [name, table[name]!.repeats ? [] : undefined]),
  );
  for (const entry of section.entries) {
    const name = names.find((each) => each.toLowerCase() === entry.key.toLowerCase());
    if (name === undefined) {
      if (takeForeignKey(section.name, entry, notes)) continue;
      throw unknownKey(entry, section, { names, tables });
    }
    const key = table[name]!;
    const first = entries.get(name);
    if (key.repeats) {
      // One line may have more values than a call can have arguments.
      for (const value of key.parse({ ...entry, key: name })) {
        (values[name] as unknown[]).push(value);
      }
    } else {
      if (first !== undefined) {
        notes.warn({ ...entry, key: name }, `replaces the one on line ${first.line}`);
      }
      values[name] = key.parse({ ...entry, key: name });
    }
    if (first === undefined || !key.repeats) entries.set(name, { ...entry, key: name });
  }
  return { values: values as Values<Table>, entries };
}

function unknownKey(
  entry: Entry,
  section: Section,
  { names, tables }: {
    readonly names: readonly string[];
    readonly tables: Readonly<Record<string, KeyTable>>;
  },
): ConfigError {
  const at = `${entry.fileName}:${entry.line}`;
  for (const [other, table] of Object.entries(tables)) {
    const misplaced = Object.keys(table).find((each) =>
      each.toLowerCase() === entry.key.toLowerCase()
    );
    if (misplaced === undefined) continue;
    return new ConfigError(`${at}: ${misplaced} belongs in section [${other}]`);
  }
  const nearest = nearestName(entry.key, names);
  const help = nearest === undefined
    ? `[${section.name}] has ${names.join(", ")}`
    : `did you mean "${nearest}"?`;
  return new ConfigError(`${at}: unknown key ${quoted(entry.key)}: ${help}`);
}

/** The error for a value that breaks `rule`. `value` is the part that does, where it is not the whole. */
export function badValue(
  entry: Entry,
  rule: string,
  value: string = entry.value,
): BadValueError {
  return new BadValueError(
    `${entry.fileName}:${entry.line}: ${entry.key}`,
    `cannot use ${quoted(value)}: ${rule}`,
  );
}
