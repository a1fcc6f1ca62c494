/** Tests the reading of what `deno test` writes, on lines that Deno 2.9.6 wrote, and on the runtime itself. */
import { assertEquals } from "../support/assert.ts";
import { runStreamed } from "./streamed_command.ts";
import { TestOutput } from "./test_output.ts";
import { temporaryFolder } from "../support/folder.ts";
import { hostTest } from "../support/permissions.ts";

Deno.test("counts() are those of the last line when a run ends well", () => {
  const output = new TestOutput();
  output.take(
    "ok | 627 passed (12 steps) | 0 failed | 11 ignored (2 steps) | 3 filtered out (21s)",
  );
  assertEquals(output.counts({ success: true }), { passed: 627, failed: 0, skipped: 11 });
});

Deno.test("counts() have a failed test when the run failed without a word of it", () => {
  const output = new TestOutput();
  assertEquals(output.counts({ success: false }), { passed: 0, failed: 1, skipped: 0 });
  output.take("ok | 2 passed | 0 failed (46ms)");
  assertEquals(output.counts({ success: false }), { passed: 2, failed: 1, skipped: 0 });
});

Deno.test("take() hides what went well and shows the rest", () => {
  const output = new TestOutput();
  for (
    const line of [
      "running 1 test from ./tests/a_test.ts",
      "a() is b ... ok (871µs)",
      "./tests/a_test.ts => a() is b ... ok (1m2s)",
      "a() is c ... ignored (0ms)",
      "",
    ]
  ) assertEquals(output.take(line), [], line);
  for (
    const line of [
      "a() is b ... FAILED (1ms)",
      "a() is b ... FAILED (due to 1 failed step) (1ms)",
      "Uncaught error from ./tests/a_test.ts FAILED",
      "error: Error: boo",
    ]
  ) assertEquals(output.take(line), [line], line);
});

Deno.test("take() shows that a test began when more is said of it than that it passed", () => {
  const output = new TestOutput();
  assertEquals(output.take("a() has steps ..."), []);
  assertEquals(output.take("  one ... ok (1ms)"), []);
  assertEquals(output.take("a() prints ..."), []);
  assertEquals(output.take("------- output -------"), ["a() prints ...", "------- output -------"]);
  assertEquals(output.begun, null);
  assertEquals(output.take("a() hangs ..."), []);
  assertEquals(output.begun, "a() hangs ...");
});

Deno.test("files are told from the lines of tests where several run at once", () => {
  const output = new TestOutput();
  for (
    const line of [
      "./tests/a_test.ts => it needs root (ignored: no root) ... ignored (0ms)",
      "./tests/b_test.ts => it works ... FAILED (1ms)",
      "./tests/a_test.ts => all is well ... ok (1ms)",
      " FAILURES ",
      "it works => ./tests/support/helper.ts:1:6",
    ]
  ) output.take(line);
  assertEquals(output.filesLeftOut("no root"), ["tests/a_test.ts"]);
  assertEquals(output.failures, [{ name: "it works", file: "tests/b_test.ts" }]);
});

Deno.test("a test that hangs in a group is named with its file", () => {
  const output = new TestOutput();
  output.take("running 2 tests from ../tmp/0_test.ts");
  output.take("tests/a_test.ts => it works ... ok (1ms)");
  assertEquals(output.unfinished, null);
  output.take("tests/b_test.ts => it hangs ...");
  assertEquals(output.unfinished, { name: "it hangs", file: "tests/b_test.ts" });
});

Deno.test("failures name the file that was run, not that in which a helper registered the test", () => {
  const output = new TestOutput();
  for (
    const line of [
      "running 1 test from ./tests/net/a_test.ts",
      "it works ... FAILED (1ms)",
      "running 1 test from ./tests/net/b_test.ts",
      "it hangs ...'it hangs' has been running for over (1m0s)",
      " FAILED (2m53s)",
      " FAILURES ",
      "",
      "it works => ./tests/support/net.ts:55:8",
      "it hangs => ./tests/support/net.ts:55:8",
      "./tests/net/c_test.ts (uncaught error)",
      "",
      "FAILED | 0 passed | 3 failed (3m)",
    ]
  ) output.take(line);
  assertEquals(output.failures, [
    { name: "it works", file: "tests/net/a_test.ts" },
    { name: "it hangs", file: "tests/net/b_test.ts" },
    { name: null, file: "tests/net/c_test.ts" },
  ]);
});

Deno.test("reasons tell why tests were left out, and how many for each", () => {
  const output = new TestOutput();
  output.take("running 1 test from ./tests/a_test.ts");
  output.take("ping (ignored: it needs root) ... ignored (0ms)");
  output.take("./tests/net/a_test.ts => iperf (ignored: it needs root) ... ignored (0ms)");
  output.take("running 1 test from ./tests/b_test.ts");
  output.take("odd ... ignored (0ms)");
  output.take("man (ignored: no lintian) (ignored: it needs permissions) ... ignored (0ms)");
  assertEquals([...output.reasons], [
    ["it needs root", 2],
    ["as marked: odd", 1],
    ["it needs permissions", 1],
  ]);
  assertEquals(output.filesLeftOut("it needs root"), ["tests/a_test.ts", "tests/net/a_test.ts"]);
});

hostTest(
  "counts() agree with the runtime when a test passes, fails, is ignored, or a module throws",
  async () => {
    const folder = temporaryFolder();
    await Deno.writeTextFile(
      `${folder}/a_test.ts`,
      `Deno.test("passes", async (t) => { await t.step("inner", () => {}); });
       Deno.test("fails", () => { throw new Error("boo"); });
       Deno.test({ name: "left out (ignored: it needs the moon)", ignore: true, fn() {} });`,
    );
    await Deno.writeTextFile(`${folder}/b_test.ts`, `throw new Error("module");`);
    const output = new TestOutput();
    const shown: string[] = [];
    const { code } = await runStreamed({
      program: Deno.execPath(),
      args: ["test", "--no-check", "--no-config", folder],
      timeout: 60_000,
      onLine: (line) => {
        shown.push(...output.take(line));
      },
    });
    assertEquals(code, 1);
    assertEquals(output.counts({ success: false }), { passed: 1, failed: 2, skipped: 1 });
    assertEquals([...output.reasons], [["it needs the moon", 1]]);
    assertEquals(
      output.failures.map(({ name, file }) => [name, file.replace(/.*\//, "")]),
      [["fails", "a_test.ts"], [null, "b_test.ts"]],
    );
    assertEquals(shown.some((line) => line.includes("Error: boo")), true);
    assertEquals(shown.some((line) => line.includes("passes")), false);
  },
);
