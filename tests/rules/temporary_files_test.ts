/** Tests that temporary files are made where something sees to their end, and that the rule which says so can fail. */
import { assert, assertEquals } from "../support/assert.ts";
import { hostTest } from "../support/permissions.ts";
import { readSources } from "../support/source/files.ts";

/** The only files that make them, each with what removes them. */
const MAKERS: Readonly<Record<string, string>> = {
  "tests/support/folder.ts": "the end of a test file",
  "tests/run/run_log.ts": "the end of a run, unless a test has failed",
  "lib/commands/demo/traces.ts":
    "the end of the demo; `vpn cleanup` and the next demo, where it was killed",
  "lib/commands/up/background_start.ts": "the end of the start",
  "lib/console/page_files.ts": "the start of the console, once it has read them",
  "lib/process/journal_directory.ts": "itself, at once: it tries whether one can be made",
};

/** The files that make temporary ones. */
function makersIn(sources: ReadonlyMap<string, string>): string[] {
  return [...sources].filter(([, text]) => /\.makeTemp(?:Dir|File)|\bmkdtemp/.test(text))
    .map(([path]) => path).filter((path) => path !== "tests/rules/temporary_files_test.ts").sort();
}

hostTest("temporary files are made in few places, which see to their end", async () => {
  const sources = await readSources();
  assert(sources.size > 1_000, `only ${sources.size} sources were found`);
  assertEquals(makersIn(sources), Object.keys(MAKERS).sort());
});

Deno.test("a file that makes temporary ones by itself is found out", () => {
  const sources = new Map([
    ["tests/a_test.ts", "const folder = await Deno.makeTempDir();"],
    ["tests/b_test.ts", 'const path = Deno.makeTempFileSync({ suffix: ".conf" });'],
    ["tests/c_test.ts", 'import { mkdtempSync } from "node:fs";'],
    ["tests/d_test.ts", "const folder = temporaryFolder();"],
  ]);
  assertEquals(makersIn(sources), ["tests/a_test.ts", "tests/b_test.ts", "tests/c_test.ts"]);
});
