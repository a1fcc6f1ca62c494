/** Tests that what users read is in plain words: messages, help texts, README, manual, units. */
import { assertEquals } from "../support/assert.ts";
import { hostTest } from "../support/permissions.ts";

const ROOT = new URL("../../", import.meta.url);

/** Words that people who learned English as a technical language do not know, and what is said instead. */
const RARE: Readonly<Record<string, RegExp>> = {
  "one at a time": /\bsingly\b/i,
  "so that ... not": /\blest\b/i,
  "who": /\bwhoever\b/i,
  "fix": /\bmend(?:s|ed|ing)?\b/i,
  "again": /\banew\b/i,
  "apply": /\bheed(?:s|ed|ing)?\b/i,
  "is evicted, is dropped": /\bg[ia]v(?:e|es|ing) way\b/i,
  "authorized, has added": /\blet(?:s|ting)? (?:it|him|her|them|a client|in) ?in\b/i,
  "no longer": /\bno more\b(?! than)/i,
  "as there is no": /\bfor want of\b/i,
  "handshake": /\bsh(?:ake|akes|ook|aking) hands\b/i,
  "transport": /\bcarriers?\b/i,
  "heartbeat": /\bbeats?\b/i,
  "sample, inspect": /\blooks?\b(?!-up| up| like)/i,
  "last seen": /\b(?:never|last|not) heard\b/i,
};

/** Documents for users, from the root. */
const DOCUMENTS = [
  "README.md",
  "SECURITY.md",
  "lib/packaging/vpn.8",
  "lib/packaging/vpn@.service",
  "lib/packaging/vpn-client@.service",
  "lib/packaging/vpn-server@.service",
  "lib/packaging/vpn-killswitch@.service",
  "lib/packaging/vpn-console@.service",
];

/** The texts in a source file: what stands between quotes, without comments, names of modules and keys in brackets. */
function textsOf(source: string): string[] {
  const code = source
    .replace(/\/\*.*?\*\//gs, "")
    .replace(/^\s*\/\/.*$/gm, "")
    .replace(/\bfrom "[^"]*"|\bimport\("[^"]*"\)/g, "");
  return Array.from(code.matchAll(/"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g), ([text]) => text)
    // What is filled in is code, and one word is a name.
    .map((text) => text.replace(/\$\{[^}]*\}/g, "…"))
    .filter((text) => text.includes(" "));
}

async function* sourcesIn(folder: URL): AsyncGenerator<URL> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* sourcesIn(new URL(`${name}/`, folder));
    else if (name.endsWith(".ts")) yield new URL(name, folder);
  }
}

function rareWordsIn(text: string): string[] {
  return Object.entries(RARE).filter(([, word]) => word.test(text))
    .map(([instead, word]) => `${text}: say "${instead}" for ${word.exec(text)![0]}`);
}

Deno.test("rare words are found in texts; comments, names of modules and what is filled in are left alone", () => {
  const source =
    'import a from "./heed.ts"; // lest\n/** whoever */\nlog(`sent singly`, "it sends no more", `${look} is up`);\n';
  assertEquals(textsOf(source).flatMap(rareWordsIn), [
    '`sent singly`: say "one at a time" for singly',
    '"it sends no more": say "no longer" for no more',
  ]);
  assertEquals(rareWordsIn('"takes no more than 3"'), []);
});

hostTest("no message of the program has a word that few know", async () => {
  const found: string[] = [];
  for (const folder of ["lib/", "ffi/"]) {
    for await (const file of sourcesIn(new URL(folder, ROOT))) {
      const texts = textsOf(await Deno.readTextFile(file)).flatMap(rareWordsIn);
      found.push(...texts.map((text) => `${file.pathname.slice(ROOT.pathname.length)}: ${text}`));
    }
  }
  assertEquals(found, []);
});

for (const document of DOCUMENTS) {
  hostTest(`no sentence of ${document} has a word that few know`, async () => {
    const text = await Deno.readTextFile(new URL(document, ROOT));
    // Code is what others call it.
    const prose = text.replace(/`[^`\n]*`/g, "…").split(/\n\s*\n/)
      .map((paragraph) => paragraph.replace(/\s+/g, " "));
    assertEquals(prose.flatMap(rareWordsIn), []);
  });
}
