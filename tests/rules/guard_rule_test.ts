/** Tests that asynchronous entries go through the guard, and that the rule which says so can fail. */
import { assert, assertEquals } from "../support/assert.ts";
import { guardOffencesOf } from "../support/source/guard_rule.ts";
import { hostTest } from "../support/permissions.ts";

const ROOT = new URL("../../", import.meta.url);

/** Files, or folders, whose entries need no guard, each with the reason. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  "lib/commands/capture.ts": "a command that a person runs: it ends with its error",
  "lib/control/client.ts": "of commands that a person runs: they end with their error",
  "lib/console/page/": "a browser runs it, and a page that fails is loaded again",
  "lib/commands/demo/": "of a command that a person runs: it ends with its error",
  "lib/process/last_resort.ts": "what it does with errors is the end of the program",
  "lib/process/stop_signal.ts": "its listeners do nothing but settle a promise",
  "lib/dataplane/thread/run_thread.ts": "the loop runs in it, and its errors are reported",
};

async function sources(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(new URL(folder, ROOT))) {
    if (entry.isDirectory) found.push(...await sources(`${folder}${entry.name}/`));
    else if (entry.name.endsWith(".ts")) found.push(folder + entry.name);
  }
  return found.sort();
}

hostTest(
  "every asynchronous entry of a server, client or relay goes through the guard",
  async () => {
    // The core has no asynchronous entries: it may name no timer and no socket (`architecture_test.ts`).
    const paths = [...await sources("lib/"), ...await sources("ffi/")]
      .filter((path) => !path.startsWith("lib/core/"));
    assert(paths.length > 100, `only ${paths.length} sources were found`);
    const unused = new Set(Object.keys(EXCEPTIONS));
    const offences: string[] = [];
    for (const path of paths) {
      const found = guardOffencesOf(path, await Deno.readTextFile(new URL(path, ROOT)));
      const exception = Object.keys(EXCEPTIONS).find((each) => path.startsWith(each));
      if (exception === undefined) offences.push(...found);
      else if (found.length > 0) unused.delete(exception);
    }
    assertEquals(offences, []);
    assertEquals([...unused], [], "exceptions that nothing needs");
  },
);

/** Sources that the rule objects to. */
const UNGUARDED: readonly string[] = [
  'socket.on("message", (message) => take(message));',
  'socket.once("error", fail);',
  "socket.on(event, handler);",
  'socket.on(\n  "message",\n  async () => await take(),\n);',
  'signal.addEventListener("abort", end, { once: true });',
  'globalThis.addEventListener("online", end);',
  'Deno.addSignalListener("SIGHUP", reload);',
  "worker.onmessage = ({ data }) => take(data);",
  "worker.onerror = take;",
  "setTimeout(() => look(), 5);",
  "setInterval(async () => {\n  await look();\n}, 5);",
  "queueMicrotask(look);",
  "createServer({ allowHalfOpen: true }, (socket) => take(socket));",
  "Deno.serve({ port: 1 }, take);",
  "Deno.serve(take);",
  "socket.bind(53, host, () => look());",
  "socket.send(bytes, port, host, (error) => {\n  look(error);\n});",
  "void serve();",
  "void this.#serve().finally(() => count--);",
];

for (const source of UNGUARDED) {
  Deno.test(`the rule finds an entry without a guard: ${JSON.stringify(source)}`, () => {
    assertEquals(guardOffencesOf("lib/process/a.ts", source).length, 1);
  });
}

Deno.test("the rule finds nothing where all is guarded", () => {
  const source = `
    /** \`setTimeout(look)\`, and "socket.on("message", take)" in a comment. */
    const text = "setTimeout(look, 5)";
    const look = guarded("dns", "looking", () => {});
    setTimeout(look, 5);
    setInterval(guarded("dns", "looking", () => {}), 5);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((_resolve, reject) => setTimeout(() => reject(new Error()), 5));
    socket.on("message", guarded("dns", "looking", () => {}));
    socket.once("connect", resolve);
    socket.send(bytes, port, host, guarded("dns", "sending", () => {}));
    worker.onmessage = guarded("dns", "taking", () => {});
    createServer({ allowHalfOpen: true }, look);
    background("dns", "serving", this.#serve());
    const map = (each: () => void): void => each();
    if (worker.onmessage === null) return;`;
  assertEquals(guardOffencesOf("lib/process/a.ts", source), []);
});
