/** Tests of `lib/host/hooks/hook_command.ts`: how commands run and end. */
import { runHook, runPostDown } from "../../../../lib/host/hooks/hook_command.ts";
import { assertEquals } from "../../../support/assert.ts";
import { emptyFile } from "../../../support/folder.ts";
import { eventually } from "../../../support/time/patience.ts";
import { hostTest } from "../../../support/permissions.ts";

const NEVER = new Promise<never>(() => {});

/** A path where nothing is yet; disposal removes what is there. */
function freshPath(): { readonly path: string; readonly text: string } & Disposable {
  const path = emptyFile();
  return {
    path,
    get text() {
      return Deno.readTextFileSync(path);
    },
    [Symbol.dispose]: () => Deno.removeSync(path),
  };
}

/** Whether a process has not ended; one that nobody waits for yet has (state Z of proc(5)). */
function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

for (
  const [command, problem] of [
    ["true", null],
    ["exit 0", null],
    ["false", "ended with exit code 1"],
    ["no-such-program-anywhere 2>/dev/null", "ended with exit code 127"],
    ["kill -TERM $$", "was killed by SIGTERM"],
  ] as const
) {
  hostTest(`runHook() says how "${command}" ended`, async () => {
    assertEquals(await runHook(command, NEVER), problem);
  });
}

hostTest("runHook() kills a command, and all that it started, when the time is over", async () => {
  using file = freshPath();
  const command = `sleep 1000 & echo $! >${file.path}; sleep 1000; true`;
  const limit = eventually(() => file.text.endsWith("\n") || null);
  assertEquals(await runHook(command, limit), "took longer than 2 s and was killed");
  await eventually(() => !isRunning(Number(file.text)) || null);
});

hostTest("runHook() leaves what a command has put into the background", async () => {
  using file = freshPath();
  assertEquals(await runHook(`(sleep 0.1; echo done >>${file.path}) &`, NEVER), null);
  await eventually(() => file.text === "done\n" || null);
});

hostTest("runPostDown() runs all commands in order, those that fail or hang included", () => {
  using file = freshPath();
  const commands = [
    `echo 1 >>${file.path}; false`,
    `sleep 1000; echo 2 >>${file.path}`,
    `echo 3 >>${file.path}`,
  ];
  runPostDown(commands.map((command) => ({ command, place: "a.conf:1: PostDown" })));
  assertEquals(file.text, "1\n3\n");
});
