/** Tests that the documents which comments cite are in the repository, and have the sections that are cited. */
import { assertEquals } from "../support/assert.ts";
import { hostTest } from "../support/permissions.ts";
import { hasSection, placesOf, referencesOf } from "../support/source/references.ts";

const ROOT = new URL("../../", import.meta.url);

async function* sourcesIn(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(new URL(folder, ROOT))) {
    if (entry.isDirectory) yield* sourcesIn(`${folder}${entry.name}/`);
    else if (entry.name.endsWith(".ts")) yield folder + entry.name;
  }
}

function textOf(path: string): string | null {
  try {
    return Deno.readTextFileSync(new URL(path, ROOT));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** What is wrong with the references of a source, a line each. */
function offencesOf(path: string, source: string): string[] {
  return referencesOf(source).flatMap(({ line, document, section }) => {
    const text = placesOf(document, path).map(textOf).find((text) => text !== null) ?? null;
    if (text === null) return [`${path}:${line}: there is no ${document}`];
    if (section === null || hasSection(text, section)) return [];
    return [`${path}:${line}: ${document} has no section "${section}"`];
  });
}

hostTest("documents and sections that comments cite are there", async () => {
  const offences: string[] = [];
  for (const folder of ["lib/", "ffi/", "tests/"]) {
    for await (const path of sourcesIn(folder)) {
      offences.push(...offencesOf(path, await Deno.readTextFile(new URL(path, ROOT))));
    }
  }
  assertEquals(offences, []);
});

hostTest("a document or a section that is not there is found out", () => {
  const document = "none" + ".md";
  assertEquals(offencesOf("lib/a.ts", `/** See ${document}. */`), [
    `lib/a.ts:1: there is no ${document}`,
  ]);
  assertEquals(offencesOf("lib/a.ts", `\n// SECURITY${".md"}, "Nothing": why`), [
    `lib/a.ts:2: SECURITY${".md"} has no section "Nothing"`,
  ]);
});

Deno.test("a reference is a document's path and the section behind it, which may stand on the next line", () => {
  const name = "lib/README" + ".md";
  assertEquals(referencesOf(`/**\n * As ${name},\n * "A\n * section" has it.\n */\n"${name}"`), [
    { line: 2, document: name, section: "A section" },
  ]);
});

Deno.test("a document without a folder is looked for beside the file, then above it", () => {
  assertEquals(placesOf("README.md", "lib/core/a.ts"), [
    "lib/core/README.md",
    "lib/README.md",
    "README.md",
  ]);
});
