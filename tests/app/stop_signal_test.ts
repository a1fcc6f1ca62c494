/** Shows which signals are taken for a request to stop. */
import { listenForStop } from "../../lib/app/stop_signal.ts";
import { assertEquals } from "../support/assert.ts";
import { spawn } from "../support/process.ts";

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.test(`listenForStop() takes ${signal}`, async () => {
    using stop = listenForStop();
    Deno.kill(Deno.pid, signal);
    assertEquals(await stop.received, signal);
  });
}

Deno.test("listenForStop() leaves a signal alone that is ignored from the start", async () => {
  const program = `
    import { listenForStop } from "${new URL("../../lib/app/stop_signal.ts", import.meta.url)}";
    using stop = listenForStop();
    const timer = setInterval(() => {}, 1000);
    console.log("listening");
    console.log(await stop.received);
    clearInterval(timer);`;
  const shell = 'trap "" HUP; exec "$@"';
  await using process = spawn(null, ["sh", "-c", shell, "sh", Deno.execPath(), "eval", program]);
  await process.waitFor(/listening/);
  process.signal("SIGHUP");
  process.signal("SIGTERM");
  const { code } = await process.status;
  assertEquals([code, process.stdout], [0, "listening\nSIGTERM\n"]);
});
