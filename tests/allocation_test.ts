/**
 * Tests that packets leave nothing on the heap: 200,000 of them on each way through the core, and through sockets.
 *
 * It matters because what packets leave must be collected, in pauses that come the sooner the faster the tunnel is.
 * The packets are pushed by a program of its own, so that nothing else in the engine is counted.
 */
import { output } from "./support/process.ts";
import { assert, assertEquals } from "./support/assert.ts";

const PROBE = new URL("./offload/allocation_probe.ts", import.meta.url).pathname;

/** The young generation, in MiB, is larger than all that the control allocates: nothing is collected while it counts. */
const V8_FLAGS = "--expose-gc,--min-semi-space-size=64,--max-semi-space-size=64";

/**
 * Bytes per packet that count as none. The smallest thing on the heap, a boxed number, has 16; what remains under this is
 * the engine's own, and what each turn of the loop allocates once: the time.
 */
const TOLERANCE = 2;
/** What the probe's control leaves for each packet, at least: an array of one number. */
const CONTROL = 32;
const CONTROL_NAME = "control";
/** Ways that the probe measures. */
const PATHS = 9;

Deno.test("packets leave nothing on the heap on any way through the tunnel", async (test) => {
  const command = [
    Deno.execPath(),
    "run",
    "--quiet",
    "--allow-all",
    `--v8-flags=${V8_FLAGS}`,
    PROBE,
  ];
  const { [CONTROL_NAME]: control, ...paths }: Record<string, number> = JSON.parse(
    await output(null, command, { timeoutMs: 120_000 }),
  );
  await test.step("an object for each packet is seen", () => {
    assert(control !== undefined && control >= CONTROL, `${control} bytes per packet`);
  });
  assertEquals(Object.keys(paths).length, PATHS);
  for (const [name, bytes] of Object.entries(paths)) {
    await test.step(name, () => assert(bytes < TOLERANCE, `${bytes} bytes per packet`));
  }
});
