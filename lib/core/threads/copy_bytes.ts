/** Copies between packet memory and rings: by words, as `set()` with a part of an array allocates that. */

/** Bytes from which on `set()` is worth what it allocates: it copies 64 KB in a fourth of the time. */
export const WORTH_A_PART = 16_384;

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
  let first = fromAt >> 2;
  let target = toAt >> 2;
  if (length >= WORTH_A_PART) {
    to.set(from.subarray(first, first + words), target);
    return;
  }
  for (const end = first + (words & ~3); first < end; first += 4, target += 4) {
    to[target] = from[first];
    to[target + 1] = from[first + 1];
    to[target + 2] = from[first + 2];
    to[target + 3] = from[first + 3];
  }
  for (let left = words & 3; left > 0; left--) to[target++] = from[first++];
}
