/** Copies between packet memory and rings: by words, as `set()` with a part of an array allocates that. */

/** Copies `length` bytes from `from`, at `fromAt`, to `to`, at `toAt`. */
export function copyBytes(
  from: DataView,
  fromAt: number,
  to: DataView,
  toAt: number,
  length: number,
): void {
  const whole = length & ~3;
  for (let i = 0; i < whole; i += 4) to.setInt32(toAt + i, from.getInt32(fromAt + i, true), true);
  for (let i = whole; i < length; i++) to.setUint8(toAt + i, from.getUint8(fromAt + i));
}

/**
 * The same between arrays of words, which costs half as much: both ends begin on a multiple of 4, and up to three bytes
 * behind the last one are copied with it.
 */
export function copyWords(
  from: Int32Array,
  fromAt: number,
  to: Int32Array,
  toAt: number,
  length: number,
): void {
  const words = (length + 3) >> 2;
  const first = fromAt >> 2;
  const target = toAt >> 2;
  for (let i = 0; i < words; i++) to[target + i] = from[first + i];
}
