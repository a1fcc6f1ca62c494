/** Copy of bytes between packet memory and rings: by words, as `set()` with a part of an array allocates that. */

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
