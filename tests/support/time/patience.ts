/** The time that tests give to what must come: a test that passes never uses it up, however busy the machine is. */

/** ms on a machine that nobody else uses, and how many times that at most. */
const LEAST = 60_000;
const MOST = 5;

/**
 * In ms, by how many want the processors as the tests begin: half a minute for each that waits for one. Only a test
 * that fails waits so long.
 */
export const PATIENCE: number = Math.round(LEAST * Math.min(MOST, Math.max(1, crowd() / 2)));

/** How many want to run for each processor, over the last minute; one where that may not be asked. */
function crowd(): number {
  const { state } = Deno.permissions.querySync({ name: "sys", kind: "loadavg" });
  return state === "granted" ? Deno.loadavg()[0]! / navigator.hardwareConcurrency : 1;
}

/** Polls until there is a result, which neither null nor false is; fails when PATIENCE has run out. */
export async function eventually<Result>(
  poll: () => Result | null | false | Promise<Result | null | false>,
  { interval = 5, what = `${poll}` }: { interval?: number; what?: string } = {},
): Promise<Result> {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    const result = await poll();
    if (result !== null && result !== false) return result;
    if (performance.now() > deadline) throw new Error(`Cannot wait any longer for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, interval));
  }
}
