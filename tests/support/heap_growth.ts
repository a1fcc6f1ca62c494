/** Owns measuring what a call leaves on the JavaScript heap, for tests that a path allocates nothing. */

/**
 * The bytes that the heap grows by over `calls` calls: the least of five runs, since the engine allocates while it still
 * optimises and the runtime has work of its own. A run in which the collector made the heap smaller does not count;
 * where none counts, the result is infinite.
 */
export function heapGrowth(calls: number, call: () => void): number {
  let least = Infinity;
  for (let run = 0; run < 5; run++) {
    const before = Deno.memoryUsage().heapUsed;
    for (let round = 0; round < calls; round++) call();
    const grown = Deno.memoryUsage().heapUsed - before;
    if (grown >= 0) least = Math.min(least, grown);
  }
  return least;
}
