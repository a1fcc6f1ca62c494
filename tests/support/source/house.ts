/**
 * House rules: what the sources must be as a whole, as functions from all files to their offences, so that the rules
 * can be tested on made-up files. The rules for one file alone are in architecture.ts.
 */
import { arrows, partOf, roomInside } from "./architecture.ts";
import { exportedNames, takenNames } from "./names.ts";
import { importsOf, stripSource } from "./source_text.ts";

/** Sources by their paths from the root. */
export type Sources = ReadonlyMap<string, string>;

/** What is allowed for now or for good: what, and the reason. */
export type Exceptions = Readonly<Record<string, string>>;

const MAX_LINES = 400;
const MAX_FILES = 25;

/** The program itself, tests aside. */
function program(sources: Sources): [path: string, source: string][] {
  return [...sources].filter(([path]) => /^(?:lib|ffi)\/|^main\.ts$/.test(path));
}

/** The file of a relative specifier in the file at `path`. */
function targetOf(path: string, specifier: string): string {
  return new URL(specifier, `file:///${path}`).pathname.slice(1);
}

/** The files of the project that a source imports, types and `import()` included. */
function targetsOf(path: string, source: string): string[] {
  return importsOf(source, stripSource(source))
    .filter((specifier) => specifier !== null && specifier.startsWith("."))
    .map((specifier) => targetOf(path, specifier!));
}

/** Offences that no exception names, and exceptions that no offence needs any more. */
function besides(found: ReadonlyMap<string, string>, exceptions: Exceptions): string[] {
  const offences = [...found].filter(([what]) => !(what in exceptions)).map(([, text]) => text);
  const idle = Object.keys(exceptions).filter((what) => !found.has(what));
  return [...offences, ...idle.map((what) => `${what}: it needs no exception any more`)];
}

/** Arrows of the tables of architecture.ts that no import uses. */
export function unusedArrows(sources: Sources): string[] {
  const used = new Set<string>();
  for (const [path, source] of program(sources)) {
    for (const target of targetsOf(path, source)) {
      used.add(`${partOf(path)} -> ${partOf(target)}`);
      used.add(`${roomInside(path)} -> ${roomInside(target)}`);
    }
  }
  const rooms = new Set(
    program(sources).flatMap(([path]) => [partOf(path), roomInside(path)]),
  );
  return arrows(rooms)
    .map(([from, to]) => `${from} -> ${to}`)
    .filter((arrow) => !used.has(arrow))
    .map((arrow) => `${arrow}: no import uses this arrow: take it out of the table`);
}

/**
 * Files that import one another in a ring, types included: none of them can be understood, or tested, without the
 * others.
 */
export function fileCycles(sources: Sources): string[] {
  const graph = new Map(
    program(sources).map(([path, source]) => [path, targetsOf(path, source)] as const),
  );
  return ringsOf(graph).map((ring) => `${ring.sort().join(" ")}: these files import one another`);
}

/**
 * Sets of two or more nodes that reach one another (Tarjan, "Depth-first search and linear graph algorithms", 1972).
 */
function ringsOf(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const rings: string[][] = [];
  const visit = (node: string) => {
    order.set(node, order.size);
    low.set(node, order.get(node)!);
    stack.push(node);
    for (const next of graph.get(node) ?? []) {
      if (!graph.has(next)) continue;
      if (!order.has(next)) visit(next);
      if (stack.includes(next)) low.set(node, Math.min(low.get(node)!, low.get(next)!));
    }
    if (low.get(node) !== order.get(node)) return;
    const ring = stack.splice(stack.indexOf(node));
    if (ring.length > 1 || graph.get(node)!.includes(node)) rings.push(ring);
  };
  for (const node of graph.keys()) if (!order.has(node)) visit(node);
  return rings;
}

/**
 * Names that more than one file exports: one thing has one name, and a name means one thing. A file that others import
 * as a whole (`import * as ipv4`) has its name in front of every use, so its names are its own.
 */
export function repeatedNames(sources: Sources): string[] {
  const files = program(sources);
  const spaces = new Set(
    files.flatMap(([path, source]) => namespacesOf(source).map((each) => targetOf(path, each))),
  );
  const owners = new Map<string, Set<string>>();
  for (const [path, source] of files) {
    if (spaces.has(path)) continue;
    for (const name of exportedNames(source)) {
      owners.set(name, (owners.get(name) ?? new Set()).add(path));
    }
  }
  return [...owners].filter(([, paths]) => paths.size > 1)
    .map(([name, paths]) => `${name}: exported by ${[...paths].join(" and ")}`);
}

/** The specifiers of what a source imports as a whole. */
function namespacesOf(source: string): string[] {
  return Array.from(source.matchAll(/^import \* as \w+ from "(\.[^"]+)"/gm), ([, path]) => path!);
}

/**
 * Exports that the program does not use: by no import, and not in their own file. What the file itself uses may be
 * exported for its tests, or, a type, because it is part of a signature; a value that neither imports nor tests take
 * stays inside.
 *
 * @param exceptions by path and name, as "lib/a.ts: name", or by the path of a file of which all names may go unused
 */
export function deadExports(sources: Sources, exceptions: Exceptions = {}): string[] {
  const taken = new Set<string>();
  const takenByTests = new Set<string>();
  for (const [path, source] of sources) {
    const into = path.startsWith("tests/") ? takenByTests : taken;
    for (const { specifier, name } of takenNames(source)) {
      if (specifier.startsWith(".")) into.add(`${targetOf(path, specifier)}: ${name}`);
    }
  }
  const found = new Map<string, string>();
  for (const [path, source] of program(sources)) {
    const code = stripSource(source);
    for (const name of exportedNames(source)) {
      const key = `${path}: ${name}`;
      if (taken.has(key) || taken.has(`${path}: *`)) continue;
      const uses = code.match(new RegExp(`(?<![\\w$])${name}(?![\\w$])`, "g"))!.length;
      const isType = new RegExp(`export (?:interface|type) ${name}\\b`).test(code);
      if (uses > 1 && (isType || takenByTests.has(key))) continue;
      const what = path in exceptions ? path : key;
      found.set(what, `${key}: the program does not use this export`);
    }
  }
  return besides(found, exceptions);
}

/** Files with too many lines. */
export function longFiles(sources: Sources): string[] {
  return [...sources].map(([path, source]) => [path, source.trimEnd().split("\n").length] as const)
    .filter(([, lines]) => lines > MAX_LINES)
    .map(([path, lines]) => `${path}: ${lines} lines, more than ${MAX_LINES}`);
}

/** Folders with too many files of their own. */
export function crowdedFolders(sources: Sources): string[] {
  const counts = new Map<string, number>();
  for (const path of sources.keys()) {
    const folder = path.slice(0, path.lastIndexOf("/") + 1);
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  return [...counts].filter(([, count]) => count > MAX_FILES)
    .map(([folder, count]) => `${folder}: ${count} files, more than ${MAX_FILES}`);
}
