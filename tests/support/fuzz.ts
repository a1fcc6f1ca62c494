/** Run of many random inputs: how many, from which seed, and what is watched over meanwhile. */
import { assert } from "./assert.ts";
import { Random } from "./random.ts";
import { settledMemory } from "./settled_memory.ts";
import { environment } from "./permissions.ts";

/** What live objects may grow by over a whole run: two bytes for each of a million inputs. */
const MEMORY_TOLERANCE = 2 * 1024 * 1024;

/** Inputs between two collections of garbage, which take long where many tests share a heap. */
const COLLECTED = 2_500;

/** Inputs of one run: VPN_FUZZ_COUNT, or as many as an ordinary test run has time for. */
export const FUZZ_COUNT = Number(environment("VPN_FUZZ_COUNT") ?? 5_000);
/** Seed of all runs: VPN_FUZZ_SEED, or 1. */
export const FUZZ_SEED = Number(environment("VPN_FUZZ_SEED") ?? 1);

/**
 * Calls `round` FUZZ_COUNT times, after a tenth of that to warm up, with a random sequence that the number of the round
 * determines. Names the round that throws. Fails where memory in use has grown.
 */
export function fuzz(round: (random: Random, number: number) => void): void {
  const warmUp = Math.ceil(FUZZ_COUNT / 10);
  let before = settledMemory();
  for (let number = 0; number < FUZZ_COUNT + warmUp; number++) {
    if (number === warmUp) before = settledMemory();
    // Tables of the engine's stay as long as garbage between two collections has made them.
    else if (number % COLLECTED === 0) settledMemory();
    try {
      round(new Random(Math.imul(FUZZ_SEED, 0x01000193) + number), number);
    } catch (error) {
      const { message } = error as Error;
      throw new Error(`Seed ${FUZZ_SEED}, round ${number}: ${message}`, { cause: error });
    }
  }
  const after = settledMemory();
  for (const kind of ["heap", "external"] as const) {
    const grown = after[kind] - before[kind];
    assert(grown < MEMORY_TOLERANCE, `${kind} memory grew by ${grown} bytes`);
  }
}
