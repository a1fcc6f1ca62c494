/** Heap growth: measures what a call leaves on the JavaScript heap, for tests that a path allocates nothing. */

/** Parts into which the calls are divided; odd, so that there is a middle one. */
const SLICES = 21;

/** Measurements at most, of which the smallest counts. */
const ROUNDS = 50;

/**
 * The bytes that `calls` calls put on the heap, once the engine has optimised them.
 *
 * A machine that is busy may delay the compiler's thread beyond several measurements, so they go on while there is
 * growth: a call that allocates does so in each round.
 *
 * @param tolerated bytes below which one measurement is enough: if left out, one for each call, where the smallest
 * object has 16, as to read how much there is leaves 120 itself
 */
export function heapGrowth(calls: number, call: () => void, tolerated = calls): number {
  let least = Infinity;
  for (let round = 0; round < ROUNDS && least >= tolerated; round++) {
    least = Math.min(least, growthOf(calls, call));
  }
  return least;
}

/**
 * One measurement. The calls are counted out in slices, and the middle one of what the slices grew by stands for all: a
 * collection in between makes one slice look like nothing, the engine's own work makes another look like much.
 */
function growthOf(calls: number, call: () => void): number {
  for (let round = 0; round < calls; round++) call();
  const size = Math.ceil(calls / SLICES);
  const grown: number[] = [];
  for (let slice = 0; slice < SLICES; slice++) {
    const before = Deno.memoryUsage().heapUsed;
    for (let round = 0; round < size; round++) call();
    grown.push(Deno.memoryUsage().heapUsed - before);
  }
  const middle = grown.sort((a, b) => a - b)[(SLICES - 1) / 2];
  return Math.max(0, middle) * SLICES;
}
