/** Names between modules: which names a source exports, and which names of which modules it takes. */
import { stripSource } from "./source_text.ts";

/** A name that a source takes from a module; "*" for all of them, under no name that could be followed. */
export interface TakenName {
  /** As the source names it: "./a.ts". */
  readonly specifier: string;
  readonly name: string;
}

/** Declarations that are exported where they stand. */
const DECLARATIONS =
  /(?<![\w$.])export\s+(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(?:const\s+enum|const|let|var|function\*?|class|interface|type|enum|namespace)\s+([\w$]+)/g;

/** `export { a, type B as C };` without a module behind it. */
const LISTED = /(?<![\w$.])export\s+(?:type\s+)?\{([^}]*)\}(?!\s*from)/g;

/** `import { a } from`, `export { a } from`, with or without a default in front. */
const NAMED =
  /(?<![\w$.])(?:import|export)\s+(?:type\s+)?(?:[\w$]+\s*,\s*)?\{([^}]*)\}\s*from\s*(["'])( *)\2/g;

/** `import * as a from`, `export * from`. */
const WHOLE =
  /(?<![\w$.])(?:import|export)\s+(?:type\s+)?\*\s*(?:as\s+([\w$]+)\s*)?from\s*(["'])( *)\2/g;

/** `const { a, b } = await import(`. */
const LATER = /\{([^{}]*)\}\s*=\s*await\s+import\s*\(\s*(["'])( *)\2/g;

/** `import("...").A`, as types have it. */
const TYPE = /(?<![\w$.])import\s*\(\s*(["'])( *)\1\s*\)\s*\.\s*([\w$]+)/g;

/** The names that a source exports itself; those that it hands on from another module are that module's. */
export function exportedNames(source: string): string[] {
  const code = stripSource(source);
  const names = Array.from(code.matchAll(DECLARATIONS), ([, name]) => name!);
  for (const [, list] of code.matchAll(LISTED)) {
    names.push(...namesIn(list!).map(({ as }) => as));
  }
  return names;
}

/** The names that a source takes from other modules, also to hand them on. */
export function takenNames(source: string): TakenName[] {
  const code = stripSource(source);
  const taken: TakenName[] = [];
  const text = (end: number, blank: string) => source.slice(end - blank.length - 1, end - 1);
  for (const match of code.matchAll(NAMED)) {
    const specifier = text(match.index + match[0].length, match[3]!);
    for (const { name } of namesIn(match[1]!)) taken.push({ specifier, name });
  }
  for (const match of code.matchAll(WHOLE)) {
    const specifier = text(match.index + match[0].length, match[3]!);
    const space = match[1];
    if (space === undefined) taken.push({ specifier, name: "*" });
    else {
      const uses = code.matchAll(new RegExp(`(?<![\\w$.])${space}\\s*\\.\\s*([\\w$]+)`, "g"));
      for (const [, name] of uses) taken.push({ specifier, name: name! });
    }
  }
  for (const match of code.matchAll(LATER)) {
    const specifier = text(match.index + match[0].length, match[3]!);
    for (const [, name] of match[1]!.matchAll(/(?:^|,)\s*([\w$]+)/g)) {
      taken.push({ specifier, name: name! });
    }
  }
  for (const match of code.matchAll(TYPE)) {
    const start = match.index + match[0].indexOf(match[1]!) + 1;
    taken.push({ specifier: source.slice(start, start + match[2]!.length), name: match[3]! });
  }
  return taken;
}

function namesIn(list: string): { readonly name: string; readonly as: string }[] {
  return list.split(",").map((item) => item.trim()).filter((item) => item !== "").map((item) => {
    const [name, as] = item.replace(/^type\s+/, "").split(/\s+as\s+/);
    return { name: name!, as: as ?? name! };
  });
}
