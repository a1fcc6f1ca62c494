/** The guard of asynchronous entries, in processes of their own: what it does not stop would end the test runner. */
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { run, type RunResult } from "../../support/process.ts";
import { hostTest } from "../../support/permissions.ts";

const GUARD = new URL("../../../lib/process/guard.ts", import.meta.url);
const LOGGING = new URL("../../../lib/process/logging.ts", import.meta.url);

/** Runs a program with the guard imported and logging set up. */
async function runGuarded(program: string): Promise<RunResult> {
  return await run(null, [
    Deno.execPath(),
    "eval",
    `import { background, faultCounts, guarded } from "${GUARD}";
     import { configureLogging } from "${LOGGING}";
     configureLogging({ level: "info", format: "text" });
     const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
     ${program}`,
  ]);
}

/** By entry: what makes an error there, which ends a process without the guard. */
const ENTRIES: Readonly<Record<string, string>> = {
  "a timer": `setTimeout(guarded("server", "x", () => { throw new Error("oh"); }), 0);`,
  "an async timer": `setTimeout(guarded("server", "x", async () => {
    await null;
    throw new Error("oh");
  }), 0);`,
  "a datagram": `
    const { createSocket } = await import("node:dgram");
    const socket = createSocket("udp4");
    socket.on("message", guarded("server", "x", async (_message, { address }) => {
      await null;
      socket.send("answer", 0, address);
    }));
    await new Promise((resolve) => socket.bind(0, "127.0.0.1", resolve));
    socket.send("question", socket.address().port, "127.0.0.1", guarded("server", "y", () => {}));
    while (faultCounts().x === undefined) await pause(5);
    socket.close();`,
  "a signal": `
    const listener = guarded("server", "x", () => { throw new Error("oh"); });
    Deno.addSignalListener("SIGUSR1", listener);
    Deno.kill(Deno.pid, "SIGUSR1");
    while (faultCounts().x === undefined) await pause(5);
    Deno.removeSignalListener("SIGUSR1", listener);`,
  "work that nobody awaits": `background("server", "x", Promise.reject(new Error("oh")));`,
};

for (const [name, program] of Object.entries(ENTRIES)) {
  hostTest(
    `an error in ${name} that is guarded is logged and counted, and ends nothing`,
    async () => {
      const { code, stdout, stderr } = await runGuarded(`
      ${program}
      await pause(20);
      console.log(JSON.stringify(faultCounts()));`);
      assertEquals([code, stdout], [0, '{"x":1}\n'], stderr);
      assertMatch(
        stderr,
        /^\S+ error vpn\.server: error while x, everything else continues: [^\n]+\n$/,
      );
    },
  );
}

hostTest("thousands of errors in one entry are one line", async () => {
  const { code, stdout, stderr } = await runGuarded(`
    const fail = guarded("dns", "x", (what) => { throw new TypeError(what); });
    for (let i = 0; i < 5000; i++) fail("no " + i);
    console.log(faultCounts().x);`);
  assertEquals([code, stdout], [0, "5000\n"]);
  assertMatch(stderr, /^\S+ error vpn\.dns: error while x, everything else continues: no 0\n$/);
});
