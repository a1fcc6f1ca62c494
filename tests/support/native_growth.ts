/**
 * Native growth: measures what a call leaves in memory outside the JavaScript heap, for tests that a library keeps
 * nothing.
 */

/**
 * Measurements, of which the smallest counts. The engine touches the pages of its young generation one after the other
 * before it begins again at the first, up to 32 MB of them, and that is growth, too.
 */
const ROUNDS = 60;

/**
 * The bytes that `call` leaves: what is kept is kept each time.
 *
 * @param enough bytes below which nothing is measured again
 */
export function nativeGrowth(enough: number, call: () => void): number {
  call();
  let least = Infinity;
  for (let round = 0; round < ROUNDS && least >= enough; round++) {
    const before = Deno.memoryUsage().rss;
    call();
    least = Math.min(least, Deno.memoryUsage().rss - before);
  }
  return least;
}
