/**
 * TAI64N: the timestamp of a handshake initiation, 8 bytes of seconds and 4 of nanoseconds, big-endian
 * (https://cr.yp.to/libtai/tai64.html). A responder takes only one that is greater than the last, which stops replay of
 * initiations.
 */
import { TIMESTAMP_SIZE } from "../wire/messages.ts";

/**
 * The TAI64 label of 1970-01-01 00:00:00 UTC is 2^62 + 10: ten leap seconds had passed. Later ones do not matter here.
 */
const EPOCH_LABEL_HIGH = 0x40000000;
const EPOCH_LABEL_LOW = 10;

/**
 * The low 24 bits of the nanoseconds are cleared, so that a timestamp shows the sender's clock to 17 ms and not
 * better (as Linux does: the greatest power of two below 1 s / 50, the initiations allowed in a second).
 */
const WHITENING_MASK = 0xff000000;

/**
 * The timestamp of `unixTime`, milliseconds since 1970 by the wall clock (fractions count). It never falls while
 * `unixTime` rises, and repeats within a step of 17 ms.
 */
export function encodeTai64n(unixTime: number): Uint8Array {
  const unixSeconds = Math.floor(unixTime / 1000);
  const nanoseconds = Math.floor((unixTime - unixSeconds * 1000) * 1e6);
  const seconds = unixSeconds + EPOCH_LABEL_LOW;
  const timestamp = new Uint8Array(TIMESTAMP_SIZE);
  const view = new DataView(timestamp.buffer);
  view.setUint32(0, EPOCH_LABEL_HIGH + Math.floor(seconds / 2 ** 32));
  view.setUint32(4, seconds % 2 ** 32);
  view.setUint32(8, nanoseconds & WHITENING_MASK);
  return timestamp;
}

/** Below 0 where `a` is earlier than `b`, 0 where they are equal, above 0 where it is later. Both are 12 bytes. */
export function compareTai64n(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < TIMESTAMP_SIZE; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
