/** The time that tests give to what must come: a test that passes never uses it up, however busy the machine is. */

/** In ms. Only a test that fails waits so long. */
export const PATIENCE = 60_000;

/** Polls until there is a result; fails when PATIENCE has run out. */
export async function eventually<Result>(
  poll: () => Result | null | Promise<Result | null>,
  { interval = 5, what = `${poll}` }: { interval?: number; what?: string } = {},
): Promise<Result> {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    const result = await poll();
    if (result !== null) return result;
    if (performance.now() > deadline) throw new Error(`Cannot wait any longer for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, interval));
  }
}
