/** Shows which signals are taken for a request to stop. The test runner itself listens to some, hence the processes. */
import { assertEquals } from "../../support/assert.ts";
import { spawn } from "../../support/process.ts";
import { hostTest } from "../../support/permissions.ts";

const PROGRAM = `
  import { listenForStop } from "${new URL(
  "../../../lib/process/stop_signal.ts",
  import.meta.url,
)}";
  using stop = listenForStop();
  const timer = setInterval(() => {}, 1000);
  console.log("listening");
  console.log(await stop.received);
  clearInterval(timer);`;
const COMMAND = [Deno.execPath(), "eval", PROGRAM];

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"] as const) {
  hostTest(`listenForStop() takes ${signal}`, async () => {
    await using process = spawn(null, COMMAND);
    await process.waitFor(/listening/);
    process.signal(signal);
    const { code } = await process.status;
    assertEquals([code, process.stdout], [0, `listening\n${signal}\n`]);
  });
}

hostTest("listenForStop() takes SIGHUP for something else where that is wanted", async () => {
  const program = PROGRAM.replace(
    "listenForStop()",
    'listenForStop({ onHangup: () => console.log("hung up") })',
  );
  await using process = spawn(null, [Deno.execPath(), "eval", program]);
  await process.waitFor(/listening/);
  process.signal("SIGHUP");
  await process.waitFor(/hung up/);
  process.signal("SIGTERM");
  const { code } = await process.status;
  assertEquals([code, process.stdout], [0, "listening\nhung up\nSIGTERM\n"]);
});

hostTest(
  "listenForStop() leaves a signal without effect that is ignored from the start",
  async () => {
    const command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", ...COMMAND];
    await using process = spawn(null, command);
    await process.waitFor(/listening/);
    process.signal("SIGHUP");
    process.signal("SIGTERM");
    const { code } = await process.status;
    assertEquals([code, process.stdout], [0, "listening\nSIGTERM\n"]);
  },
);
