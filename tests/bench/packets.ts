/** Packets of the micro-benchmarks. */

/** Bytes of a packet that fills a tunnel's MTU. */
export const FULL_SIZE = 1420;
/** Bytes of a packet with 64 bytes of payload. */
export const SMALL_SIZE = 92;
/** Payload bytes of a full TCP segment with timestamps. */
export const SEGMENT_SIZE = 1368;

/** The TCP options of an established connection: two NOPs and the timestamps. */
export const TIMESTAMPS: readonly number[] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];

/** That many bytes that are not all alike. */
export function pattern(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, index) => (index * 7 + (index >> 8)) & 0xff);
}
