/**
 * Reconnect pause: how long a client waits between attempts to connect again. It grows, to spare the server, and is
 * jittered, so that many clients do not come at once.
 */

/** ms */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30_000;

/**
 * The pause after an attempt that failed, in ms: half to all of a limit that doubles with each.
 *
 * @param attempt 0 for the first
 * @param fraction drawn at random from 0 to 1
 */
export function reconnectPause(attempt: number, fraction: number): number {
  const limit = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** attempt);
  return limit / 2 * (1 + fraction);
}
