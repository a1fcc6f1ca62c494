/** Packages of Debian's archive: what `apt-cache show` tells of them, and which libraries one needs. */

/** One package, of one version. */
export interface Package {
  readonly name: string;
  readonly version: string;
  /** What it cannot run without: each one of several, the best first. */
  readonly depends: readonly (readonly string[])[];
}

/** Tells of these packages what the archive knows; the others are left out. */
export type ShowPackages = (names: readonly string[]) => Promise<ReadonlyMap<string, Package>>;

/** Packages by name; of several versions the first, which is the one that apt would take. */
export function parsePackages(text: string): Map<string, Package> {
  const packages = new Map<string, Package>();
  for (const stanza of text.split(/\n\s*\n/)) {
    const fields = parseFields(stanza);
    const name = fields.get("Package");
    const version = fields.get("Version");
    if (name === undefined || version === undefined || packages.has(name)) continue;
    const depends = ["Pre-Depends", "Depends"].flatMap((field) => parseDepends(fields.get(field)));
    packages.set(name, { name, version, depends });
  }
  return packages;
}

/** Fields of a stanza; lines that begin with a blank continue the one above. */
function parseFields(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of stanza.replaceAll(/\n[ \t]+/g, " ").split("\n")) {
    const [, name, value] = /^([^\s:]+):\s*(.*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) fields.set(name, value);
  }
  return fields;
}

/** Names alone: what is behind one, in `(>= 2.38)`, `:any` or `[amd64]`, the archive of one release has in order. */
function parseDepends(text = ""): string[][] {
  return text.split(",")
    .map((choice) => choice.split("|").map((one) => /^[^\s:([]+/.exec(one.trim())?.[0] ?? ""))
    .map((choice) => choice.filter((name) => name !== ""))
    .filter((choice) => choice.length > 0);
}

/** How Debian names packages of shared libraries, with one exception. */
const LIBRARY = /^(lib|zlib1g$)/;

/**
 * Names of the libraries that a package needs, and those that these need, in alphabetical order. Only libraries: what
 * else is depended on (debconf, other programs) is for an installed package.
 */
export async function librariesOf(root: Package, show: ShowPackages): Promise<string[]> {
  const found = new Set<string>();
  const looked = new Set<string>();
  for (let packages = [root]; packages.length > 0;) {
    const choices = packages.flatMap(({ depends }) => depends)
      .map((choice) => choice.filter((name) => LIBRARY.test(name)))
      .filter((choice) => choice.length > 0);
    const names = [...new Set(choices.flat())].filter((name) => !looked.has(name));
    const known = names.length === 0 ? new Map<string, Package>() : await show(names);
    names.forEach((name) => looked.add(name));
    packages = [];
    for (const choice of choices) {
      if (choice.some((name) => found.has(name))) continue;
      const chosen = choice.map((name) => known.get(name)).find((one) => one !== undefined);
      if (chosen === undefined) continue;
      found.add(chosen.name);
      packages.push(chosen);
    }
  }
  return [...found].sort();
}
