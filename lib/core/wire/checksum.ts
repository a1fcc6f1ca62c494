/**
 * Internet checksum (RFC 1071), its pseudo-header for TCP and UDP, and its incremental update (RFC 1624).
 *
 * A "sum" here is an unfinished one: 16 bits, network order, folded, not yet complemented. `sum` takes the sum so far,
 * so that a pseudo-header and several pieces (all but the last of even length) add up; `finish` makes the checksum.
 */

/**
 * The sum of `length` bytes (at most 128 KiB) at `offset`, of any alignment, added to `initial`.
 *
 * Words are read in little-endian order, as today's processors do without a further step, and the bytes of the result
 * are swapped once (RFC 1071 section 2 (B)). Additions stay in 32-bit integers, which is twice as fast as in doubles,
 * and offsets are marked as such with `| 0`, without which V8 takes half as long again: `words` adds whole words and
 * drops carries, `high` adds their upper halves alone; the sum of the lower halves is what is left, since `words = low
 * + 2^16 high` modulo 2^32 and neither half can reach 2^32.
 */
export function sum(view: DataView, offset: number, length: number, initial = 0): number {
  const end = (offset + length) | 0;
  const blocks = (offset + (length & ~31)) | 0;
  let at = offset | 0;
  let words = 0;
  let high = 0;
  for (; at < blocks; at = (at + 32) | 0) {
    const a = view.getInt32(at, true);
    const b = view.getInt32(at + 4, true);
    const c = view.getInt32(at + 8, true);
    const d = view.getInt32(at + 12, true);
    const e = view.getInt32(at + 16, true);
    const f = view.getInt32(at + 20, true);
    const g = view.getInt32(at + 24, true);
    const h = view.getInt32(at + 28, true);
    words = (words + a + b + c + d + e + f + g + h) | 0;
    high = (high + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16) +
      (e >>> 16) + (f >>> 16) + (g >>> 16) + (h >>> 16)) | 0;
  }
  for (; at + 4 <= end; at = (at + 4) | 0) {
    const word = view.getInt32(at, true);
    words = (words + word) | 0;
    high = (high + (word >>> 16)) | 0;
  }
  const low = (words - (high << 16)) | 0;
  let total = (low >>> 16) + (low & 0xffff) + (high >>> 16) + (high & 0xffff);
  if (at + 2 <= end) {
    total += view.getUint16(at, true);
    at += 2;
  }
  // An odd byte stands for itself and a zero behind it.
  if (at < end) total += view.getUint8(at);
  const folded = fold(total);
  return fold((folded >>> 8 | (folded & 0xff) << 8) + initial);
}

/** Brings a sum of 16-bit words (under 2^32) back to 16 bits by end-around carry. */
export function fold(total: number): number {
  const once = (total >>> 16) + (total & 0xffff);
  return (once >>> 16) + (once & 0xffff);
}

/** The checksum of a finished sum: its complement. Over bytes that hold a right checksum it is 0. */
export function finish(sum: number): number {
  return ~sum & 0xffff;
}

/**
 * The sum of the pseudo-header of TCP (RFC 9293 section 3.1) and UDP (RFC 768).
 *
 * @param source IPv4 address, host order
 * @param destination IPv4 address, host order
 * @param protocol IP protocol number
 * @param length bytes of transport header and payload
 */
export function pseudoHeaderSum(
  source: number,
  destination: number,
  protocol: number,
  length: number,
): number {
  return fold(
    (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) +
      protocol + length,
  );
}

/**
 * The same of IPv6 (RFC 8200 section 8.1).
 *
 * @param addresses offset of the source address, the destination right behind it
 */
export function pseudoHeaderSum6(
  view: DataView,
  addresses: number,
  protocol: number,
  length: number,
): number {
  return sum(view, addresses, 32, fold(protocol + length));
}

/**
 * The checksum after one 16-bit field of the data went from `from` to `to`: `HC' = ~(~HC + ~m + m')`, RFC 1624
 * equation 3. RFC 1141's shorter form is not used: it can turn out 0xffff where 0 is right.
 */
export function update16(checksum: number, from: number, to: number): number {
  return finish(fold((~checksum & 0xffff) + (~from & 0xffff) + (to & 0xffff)));
}

/** The checksum after one aligned 32-bit field, an address for example, went from `from` to `to`. */
export function update32(checksum: number, from: number, to: number): number {
  return finish(fold(
    (~checksum & 0xffff) + (~from >>> 16) + (~from & 0xffff) + (to >>> 16) + (to & 0xffff),
  ));
}

/** A computed UDP checksum as it is sent: 0 becomes 0xffff, because 0 says "no checksum" (RFC 768). */
export function udpChecksum(checksum: number): number {
  return checksum === 0 ? 0xffff : checksum;
}
