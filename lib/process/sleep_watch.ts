/**
 * Sleep watch: notices that the machine has slept, as CLOCK_BOOTTIME has gone on meanwhile and CLOCK_MONOTONIC has not.
 */
import { guarded } from "./guard.ts";

/** ms between looks. */
const INTERVAL = 1_000;
/** ms of sleep that count: by less, no NAT on the way has forgotten us. */
const MIN_SLEEP = 1_000;

/**
 * Calls `onResume` after each sleep, until disposed of.
 *
 * @param sleptTime tells the ms that the machine has slept since it was started
 * @param options `interval`: ms between looks
 */
export function watchSleep(
  sleptTime: () => number,
  onResume: () => void,
  { interval = INTERVAL } = {},
): Disposable {
  let known = sleptTime();
  const look = guarded("client", "checking whether the machine was suspended", () => {
    const slept = sleptTime();
    const isLong = slept - known >= MIN_SLEEP;
    known = slept;
    if (isLong) onResume();
  });
  const timer = setInterval(look, interval);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
