/** Programs that send all the time inside a namespace, for tests of what gets out. */
import { type BackgroundProcess, type TestNamespace } from "../../../support/net.ts";

const PROGRAM = new URL("./chatter_program.ts", import.meta.url).pathname;

/** Sends to all targets, see `chatter_program.ts`, until the namespace is taken down. */
export function chat(namespace: TestNamespace, ...targets: readonly string[]): BackgroundProcess {
  return namespace.spawn([Deno.execPath(), "run", "--allow-all", "--quiet", PROGRAM, ...targets]);
}
