/** Patience of the demo: its limits of time, longer on a machine that is slow or emulated. */

/** ms until a process has its modules, on a machine that is not idle. */
const USUAL_START = 1_000;
/** How long this one took. */
const OWN_START = performance.now();

/**
 * A limit for this machine: one whose processes take longer to start takes longer for all that follows, too.
 *
 * @param time the limit where nothing is slow, in any unit
 * @param start what a process takes to start, in ms
 * @returns a whole number
 */
export function patient(time: number, start = OWN_START): number {
  return Math.ceil(time * Math.max(1, start / USUAL_START));
}
