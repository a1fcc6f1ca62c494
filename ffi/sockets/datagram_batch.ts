/** Datagram batch: datagrams to send as parallel arrays, and which neighbours the kernel can take as one message. */

/** `UDP_MAX_SEGMENTS` of kernels before 6.9; newer ones take 128. */
export const MAX_SEGMENTS = 64;
/** The most bytes of one send: 65,535 less the IPv4 and UDP headers. */
const MAX_SEND_BYTES = 65507;

/** Datagrams to send: parallel arrays, index by index. */
export interface DatagramBatch {
  /** Arena offset of each datagram. */
  readonly offsets: Int32Array;
  /** Length of each in bytes, at least 1: UDP_SEGMENT has no empty segments. */
  readonly lengths: Int32Array;
  /** Destination IPv4 address, host order. */
  readonly addresses: Uint32Array;
  /** Destination port, host order. */
  readonly ports: Uint16Array;
  /** Source IPv4 address, host order; 0 lets the kernel choose. */
  readonly sources: Uint32Array;
  /** ECN bits of the IP header; all 0 if left out. */
  readonly ecns?: Uint8Array;
}

/**
 * How many datagrams from `first` on, and before `to`, can be one message with UDP_SEGMENT: those with one destination,
 * one source, equal ECN bits and equal sizes, of which the last may be shorter.
 */
export function runLength(batch: DatagramBatch, first: number, to: number): number {
  const size = batch.lengths[first];
  const limit = Math.min(to - first, MAX_SEGMENTS, (MAX_SEND_BYTES / size) | 0);
  const { ecns } = batch;
  let run = 1;
  while (run < limit) {
    const i = first + run;
    if (
      batch.addresses[i] !== batch.addresses[first] || batch.ports[i] !== batch.ports[first] ||
      batch.sources[i] !== batch.sources[first] || batch.lengths[i] > size ||
      (ecns !== undefined && ecns[i] !== ecns[first])
    ) break;
    run++;
    if (batch.lengths[i] < size) break;
  }
  return run;
}
