/** Tests the groups in which the unit step runs test files, on the runtime itself. */
import { assertEquals } from "../support/assert.ts";
import { temporaryFolder } from "../support/folder.ts";
import { hostTest } from "../support/permissions.ts";
import { runStreamed } from "./streamed_command.ts";
import { groupsOf, moduleOf, testFilesIn } from "./test_groups.ts";
import { TestOutput } from "./test_output.ts";

const MEASURES = "tests/behaviour/allocation_test.ts";

/** What a group of files of these texts comes to, run without permissions. */
async function runGroup(texts: Readonly<Record<string, string>>) {
  const folder = temporaryFolder();
  for (const [name, text] of Object.entries(texts)) {
    await Deno.writeTextFile(`${folder}/${name}`, text);
  }
  const group = `${folder}/group_test.ts`;
  await Deno.writeTextFile(
    group,
    moduleOf(Object.keys(texts).map((name) => `${folder}/${name}`)),
  );
  const output = new TestOutput();
  const { code } = await runStreamed({
    program: Deno.execPath(),
    args: ["test", "--no-check", "--quiet", group],
    timeout: 60_000,
    onLine: (line) => void output.take(line),
  });
  const failures = output.failures.map((
    { name, file },
  ) => [name, file.replace(`${folder}/`, "")]);
  return { counts: output.counts({ success: code === 0 }), failures };
}

hostTest("a group names the file of each test that fails, also of two with one name", async () => {
  const { counts, failures } = await runGroup({
    "a_test.ts": `Deno.test("is well", () => {});`,
    "b_test.ts": `Deno.test("is well", () => { throw new Error("boo"); });
      Deno.test({ name: "as defined", fn() { throw new Error("boo"); } });`,
  });
  assertEquals(counts, { passed: 1, failed: 2, skipped: 0 });
  assertEquals(failures, [["is well", "b_test.ts"], ["as defined", "b_test.ts"]]);
});

hostTest("a file of a group that throws while it is loaded fails; the others run", async () => {
  const { counts, failures } = await runGroup({
    "a_test.ts": `throw new Error("boo");`,
    "b_test.ts": `Deno.test("is well", () => {});`,
  });
  assertEquals(counts, { passed: 1, failed: 1, skipped: 0 });
  assertEquals(failures, [[null, "a_test.ts"]]);
});

hostTest("an error that no test waits for fails the file whose test ran then", async () => {
  const { failures } = await runGroup({
    "a_test.ts": `Deno.test("is well", () => {});`,
    "b_test.ts": `Deno.test({ name: "leaves a promise behind", async fn() {
      Promise.reject(new Error("boo"));
      await new Promise(() => {});
    } });`,
    "c_test.ts": `Deno.test("is well", () => {});`,
  });
  assertEquals(failures.slice(0, 1), [[null, "b_test.ts"]]);
});

hostTest("a file of a group has its own address, and without permissions none", async () => {
  const { counts, failures } = await runGroup({
    "a_test.ts": `Deno.test("has its address", () => {
        if (!import.meta.url.endsWith("/a_test.ts")) throw new Error(import.meta.url);
      });
      Deno.test("may not read", () => {
        if (Deno.permissions.querySync({ name: "read" }).state === "granted") throw new Error();
      });`,
  });
  assertEquals({ counts, failures }, {
    counts: { passed: 2, failed: 0, skipped: 0 },
    failures: [],
  });
});

Deno.test("groupsOf() puts each file into one group, and what measures the heap alone into its own", () => {
  assertEquals(groupsOf(["a", "b", MEASURES, "c"], 2), [[MEASURES], ["a", "c"], ["b"]]);
  assertEquals(groupsOf(["a"], 4), [["a"]]);
  assertEquals(groupsOf([], 4), []);
});

hostTest("testFilesIn() finds all test files, and those that run alone are among them", () => {
  const files = testFilesIn(".");
  for (
    const file of [MEASURES, "tests/net/demo/demo_test.ts", "tests/run/test_groups_test.ts"]
  ) {
    assertEquals(files.filter((other) => other === file), [file]);
  }
  const alone = groupsOf(files, 1).slice(0, -1);
  assertEquals(alone.length, 9);
  assertEquals(testFilesIn("tests/run").includes("tests/run/test_output_test.ts"), true);
});
