/** Sparkline: a line of little bars, which shows how a value changed in the last while. */

/** From an eighth of the height to all of it (Unicode, block elements). */
const BARS = "▁▂▃▄▅▆▇█";

/**
 * One bar for each value, oldest first, the highest being as high as a bar gets; a blank where nothing was.
 *
 * @param values 0 or more each
 * @param width characters: older values are left out, missing ones are blanks on the left
 */
export function sparkline(values: readonly number[], width: number): string {
  const shown = values.slice(-width);
  const highest = Math.max(...shown, 0);
  const bars = shown.map((value) =>
    value <= 0 ? " " : BARS[Math.min(BARS.length - 1, Math.floor(value / highest * BARS.length))]
  );
  return bars.join("").padStart(width);
}
