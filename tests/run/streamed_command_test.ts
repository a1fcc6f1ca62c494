/** Tests the running of a step's program. */
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { runStreamed } from "./streamed_command.ts";
import { hostTest } from "../support/permissions.ts";

async function shell(script: string, timeout = 20_000) {
  const lines: string[] = [];
  const end = await runStreamed({
    program: "/bin/sh",
    args: ["-c", script],
    timeout,
    onLine: (line) => lines.push(line),
  });
  return { ...end, lines };
}

hostTest("runStreamed() gives all lines and the exit code, and no standard input", async () => {
  const { code, timedOut, lines } = await shell("echo one; cat; printf two; exit 3");
  assertEquals({ code, timedOut, lines }, { code: 3, timedOut: false, lines: ["one", "two"] });
});

hostTest(
  "runStreamed() ends a program that takes too long and shows its unfinished line",
  async () => {
    const start = performance.now();
    const { code, timedOut, lines } = await shell("printf 'a test ...'; exec sleep 20", 200);
    assertEquals({ timedOut, lines }, { timedOut: true, lines: ["a test ..."] });
    assert(code !== 0);
    assert(performance.now() - start < 5_000);
  },
);

hostTest("runStreamed() does not wait for a child that outlives the program", async () => {
  const start = performance.now();
  const { code, lines } = await shell("sleep 8 & echo gone");
  assertEquals({ code, lines }, { code: 0, lines: ["gone"] });
  assert(performance.now() - start < 6_000);
});

Deno.test("runStreamed() says so when there is no such program", async () => {
  const lines: string[] = [];
  const { code } = await runStreamed({
    program: "/no/such/program",
    args: [],
    timeout: 1_000,
    onLine: (line) => lines.push(line),
  });
  assertEquals(code, 127);
  assertStringIncludes(lines.join("\n"), "/no/such/program");
});
