/** Tests that what the program says to people is in plain words. */
import { assertEquals } from "../support/assert.ts";
import { hostTest } from "../support/permissions.ts";

/** Words that people who learned English as a technical language do not know, and what is said instead. */
const RARE: Readonly<Record<string, RegExp>> = {
  "one by one": /\bsingly\b/i,
  "so that ... not": /\blest\b/i,
  "who": /\bwhoever\b/i,
  "fix": /\bmend(?:s|ed|ing)?\b/i,
  "again": /\banew\b/i,
  "apply": /\bheed(?:s|ed)?\b/i,
  "is evicted, is dropped": /\bgiv(?:e|es|ing) way\b/i,
  "accepts, has added": /\blet(?:s|ting)? (?:it|him|her|them|a client|in) ?in\b/i,
  "no longer": /\bno more\b(?! than)/i,
  "as there is no": /\bfor want of\b/i,
};

/** The texts in a source file: what stands between quotes, without comments and the names of modules. */
function textsOf(source: string): string[] {
  const code = source
    .replace(/\/\*.*?\*\//gs, "")
    .replace(/^\s*\/\/.*$/gm, "")
    .replace(/\bfrom "[^"]*"|\bimport\("[^"]*"\)/g, "");
  return Array.from(code.matchAll(/"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g), ([text]) => text);
}

async function* sourcesIn(folder: URL): AsyncGenerator<URL> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* sourcesIn(new URL(`${name}/`, folder));
    else if (name.endsWith(".ts")) yield new URL(name, folder);
  }
}

function rareWordsIn(source: string): string[] {
  return textsOf(source).flatMap((text) =>
    Object.entries(RARE).filter(([, word]) => word.test(text))
      .map(([instead, word]) => `${text}: say "${instead}" for ${word.exec(text)![0]}`)
  );
}

Deno.test("rareWordsIn() finds rare words in texts, and leaves comments and names of modules alone", () => {
  const source =
    'import a from "./heed.ts"; // lest\n/** whoever */\nlog(`sent singly`, "no more");\n';
  assertEquals(rareWordsIn(source), [
    '`sent singly`: say "one by one" for singly',
    '"no more": say "no longer" for no more',
  ]);
  assertEquals(rareWordsIn('"takes no more than 3"'), []);
});

hostTest("no message of the program has a word that few know", async () => {
  const found: string[] = [];
  for await (const file of sourcesIn(new URL("../../lib/", import.meta.url))) {
    const texts = rareWordsIn(await Deno.readTextFile(file));
    found.push(...texts.map((text) => `${file.pathname.split("/lib/")[1]}: ${text}`));
  }
  assertEquals(found, []);
});
