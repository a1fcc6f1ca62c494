/** Tests of the external programs in `tests/support/process.ts`. */
import { assert, assertEquals, assertRejects } from "./assert.ts";
import { output, run, spawn } from "./process.ts";
import { hostTest } from "./permissions.ts";

const shell = (script: string) => ["sh", "-c", script];

hostTest("run() gives exit code, output and error output, and feeds standard input", async () => {
  const result = await run(null, shell("cat; echo oops >&2; exit 3"), { stdin: "hello" });
  assertEquals(result, { code: 3, stdout: "hello", stderr: "oops\n" });
});

hostTest("run() does not mind a program that leaves its input unread", async () => {
  const { code } = await run(null, shell("exit 4"), { stdin: "x".repeat(1_000_000) });
  assertEquals(code, 4);
});

hostTest("run() ends a program that takes too long", async () => {
  const { code } = await run(null, ["sleep", "60"], { timeoutMs: 50 });
  assertEquals(code, 128 + 9);
});

hostTest("run() and stop() do not wait for a child that outlives the program", async () => {
  // The child holds the pipe of the standard output open until it is ended here.
  const orphaning = "sleep 3600 & echo child $!;";
  const child = (text: string) => Number(/child (\d+)/.exec(text)![1]);
  const { code, stdout } = await run(null, shell(`${orphaning} kill -KILL $$`));
  assertEquals(code, 128 + 9);
  Deno.kill(child(stdout));
  const process = spawn(null, shell(`${orphaning} exec sleep 60`));
  await process.waitFor(/child/);
  assertEquals((await process.stop()).signal, "SIGTERM");
  Deno.kill(child(process.stdout));
});

hostTest("run() returns all of a large output", async () => {
  const { stdout } = await run(null, shell("head -c 5000000 /dev/zero | tr '\\0' x"));
  assertEquals(stdout.length, 5_000_000);
});

hostTest("output() throws with the error output when the program fails", async () => {
  assertEquals(await output(null, shell("echo $WORD"), { env: { WORD: "hi" } }), "hi\n");
  await assertRejects(() => output(null, shell("echo no >&2; exit 1")), Error, "exit code 1: no");
});

hostTest("BackgroundProcess.waitFor() finds what was and what will be written", async () => {
  await using process = spawn(null, shell("echo one; sleep 0.05; echo two=2 >&2; exec sleep 60"));
  assertEquals((await process.waitFor(/two=(\d)/))[1], "2");
  await process.waitFor(/one/);
  assertEquals([process.stdout, process.stderr], ["one\n", "two=2\n"]);
  await assertRejects(() => process.waitFor(/three/, 30), Error, "not within 30 ms");
});

hostTest("BackgroundProcess.waitFor() throws with the output when the program ends", async () => {
  await using process = spawn(null, shell("echo bye"));
  await assertRejects(() => process.waitFor(/hello/), Error, "it ended\nbye");
});

hostTest(
  "disposal ends a program, also one that ignores SIGTERM, and one that has ended",
  async () => {
    const polite = spawn(null, ["sleep", "60"]);
    await polite[Symbol.asyncDispose]();
    assertEquals((await polite.status).signal, "SIGTERM");

    const stubborn = spawn(null, shell("trap '' TERM; echo ready; while :; do sleep 0.1; done"));
    await stubborn.waitFor(/ready/);
    assertEquals((await stubborn.stop(100)).signal, "SIGKILL");

    const ended = spawn(null, ["true"]);
    assert((await ended.status).success);
    await ended[Symbol.asyncDispose]();
  },
);
