/** Unit tests: as bare `deno test` runs them, then with permissions those that need them; in groups, two at once. */
import { groupsOf, moduleOf, testFilesIn } from "./test_groups.ts";
import { addResults, atOnce, runTests, type TestRunResult } from "./test_run.ts";
import type { StepResult } from "./steps.ts";
import { temporaryFolder } from "../support/folder.ts";

/** Of one group, in ms, on a machine that is busy with other things: only what hangs takes so long. */
const LIMIT = 20 * 60_000;
/** Groups, two for each of the processes that run at once: one that takes longer leaves the other process work. */
const GROUPS = 4;
const AT_ONCE = 2;
/** Tests of the built executable, and tests that need root. */
const NOT_UNIT = ["tests/compile", "tests/net"];

/**
 * First all tests as bare `deno test` runs them, which is how people try a project; then, with permissions, the files
 * that have tests which need these.
 */
export async function runUnitTests(say: (line: string) => void): Promise<StepResult> {
  const bare = await runGroups(say, { files: testFilesIn("."), isBare: true });
  const files = bare.flatMap(({ filesLeftOut }) => filesLeftOut).filter((file) =>
    !NOT_UNIT.some((folder) => file.startsWith(`${folder}/`))
  ).sort();
  return addResults([...bare, ...await runGroups(say, { files, isBare: false })]);
}

async function runGroups(
  say: (line: string) => void,
  { files, isBare }: { files: readonly string[]; isBare: boolean },
): Promise<TestRunResult[]> {
  const folder = temporaryFolder();
  return await atOnce(AT_ONCE, groupsOf(files, GROUPS), (group, index) => {
    const path = `${folder}/${index}_test.ts`;
    Deno.writeTextFileSync(path, moduleOf(group));
    const name = group.length === 1 ? group[0]! : `group-${index}`;
    const label = `${isBare ? "bare" : "unit"}/${name}`;
    const temporary = `${folder}/${index}`;
    Deno.mkdirSync(temporary);
    return runTests(say, { args: [path], label, timeout: LIMIT, isBare, temporary });
  });
}
