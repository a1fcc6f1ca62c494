/** Tests of `lib/host/hooks/hook_command.ts`: how commands run and end. */
import { DOWN_LIMIT, runHook, runPostDown } from "../../../../lib/host/hooks/hook_command.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

const NEVER = new Promise<never>(() => {});

/** A path where nothing is yet; disposal removes what is there. */
function freshPath(): { readonly path: string; readonly text: string } & Disposable {
  const path = Deno.makeTempFileSync({ prefix: "vpn-test-" });
  return {
    path,
    get text() {
      return Deno.readTextFileSync(path);
    },
    [Symbol.dispose]: () => Deno.removeSync(path),
  };
}

for (
  const [command, problem] of [
    ["true", null],
    ["exit 0", null],
    ["false", "ended with exit code 1"],
    ["no-such-program-anywhere 2>/dev/null", "ended with exit code 127"],
    ["kill -TERM $$", "was ended by SIGTERM"],
  ] as const
) {
  hostTest(`runHook() says how "${command}" ended`, async () => {
    assertEquals(await runHook(command, NEVER), problem);
  });
}

hostTest("runHook() kills a command, and all that it started, when the time is over", async () => {
  using file = freshPath();
  const command = `(sleep 0.4; echo survived >>${file.path}) & sleep 30; true`;
  const start = performance.now();
  const problem = await runHook(command, new Promise((resolve) => setTimeout(resolve, 100)));
  assert(problem !== null && performance.now() - start < 20_000);
  await new Promise((resolve) => setTimeout(resolve, 600));
  assertEquals(file.text, "");
});

hostTest("runHook() leaves what a command has put into the background", async () => {
  using file = freshPath();
  assertEquals(await runHook(`(sleep 0.2; echo done >>${file.path}) &`, NEVER), null);
  while (file.text === "") await new Promise((resolve) => setTimeout(resolve, 20));
});

hostTest("runPostDown() runs all commands in order, those that fail or hang included", () => {
  using file = freshPath();
  const commands = [`echo 1 >>${file.path}; false`, "sleep 30; true", `echo 3 >>${file.path}`];
  const start = performance.now();
  runPostDown(commands.map((command) => ({ command, place: "a.conf:1: PostDown" })));
  assertEquals(file.text, "1\n3\n");
  const elapsed = performance.now() - start;
  assert(elapsed >= DOWN_LIMIT - 50 && elapsed < 20_000, `it took ${elapsed} ms`);
});
