/** Texts of quantities: bytes, rates, ages and times, as people read them. */

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB", "PB"] as const;
const BIT_UNITS = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"] as const;

/** An amount in decimal units, as providers of lines count, as in `12.4 MB`. */
export function bytesText(bytes: number): string {
  return scaled(bytes, BYTE_UNITS);
}

/** @param bytes a second; shown in bits, as lines are sold */
export function byteRateText(bytes: number): string {
  return bitRateText(bytes * 8);
}

/** @param bits a second */
export function bitRateText(bits: number): string {
  return scaled(bits, BIT_UNITS);
}

/** Three digits that count, and the unit. */
function scaled(amount: number, units: readonly string[]): string {
  let value = amount;
  let unit = 0;
  // What rounds to 1,000 belongs to the next unit.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A length of time in its two largest units at most, as in `3 d 4 h`. */
export function durationText(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} min`;
  if (whole < DAY) {
    return parts(Math.floor(whole / HOUR), "h", Math.floor((whole % HOUR) / MINUTE), "min");
  }
  return parts(Math.floor(whole / DAY), "d", Math.floor((whole % DAY) / HOUR), "h");
}

function parts(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

/** How long ago, as in `5 min ago`. @param time RFC 3339; null for never. @param now Unix ms */
export function agoText(time: string | null, now: number): string {
  if (time === null) return "never";
  const seconds = (now - Date.parse(time)) / 1000;
  return seconds < 1 ? "now" : `${durationText(seconds)} ago`;
}

/** How far ahead, as in `in 5 d`, or how long ago. @param time RFC 3339. @param now Unix ms */
export function aheadText(time: string, now: number): string {
  const seconds = (Date.parse(time) - now) / 1000;
  return seconds > 0 ? `in ${durationText(seconds)}` : agoText(time, now);
}

/** The point in time in the reader's own zone, as in `2026-11-29 02:15:04`. @param time RFC 3339 or Unix ms */
export function timeText(time: string | number): string {
  const date = new Date(time);
  const two = (value: number) => `${value}`.padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** A count with its noun, as in `1 peer`, `1,000 peers`. */
export function countText(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** The names of events and drop reasons in words: `quota-reached`, `natUnsupportedProtocol`. */
export function wordsText(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, "$1 $2").replaceAll("-", " ").toLowerCase();
}
