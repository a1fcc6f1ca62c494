/** Datagram batch: datagrams to send as parallel arrays, and which neighbours the kernel can take as one message. */
import { AF_INET } from "../socket_constants.ts";
import { SOCKADDR_IN_ADDRESS, SOCKADDR_IN_PORT } from "./ipv4_address.ts";

/** `UDP_MAX_SEGMENTS` of kernels before 6.9; newer ones take 128. */
export const MAX_SEGMENTS = 64;
/** The most bytes of one send: 65,535 less the IPv4 and UDP headers. */
const MAX_SEND_BYTES = 65507;

/** Bytes of a path: where a datagram goes to, as `struct sockaddr_in`, and further on where it leaves from. */
export const PATH_SIZE = 64;
/** Where in a path the source address stands, network order; 0 lets the kernel choose. */
export const PATH_SOURCE = 28;

/** Datagrams to send: parallel arrays, index by index. */
export interface DatagramBatch {
  /** Arena offset of each datagram. */
  readonly offsets: Int32Array;
  /** Length of each in bytes, at least 1: UDP_SEGMENT has no empty segments. */
  readonly lengths: Int32Array;
  /** The path of each: path `n` begins at `n * PATH_SIZE` of `paths`. Equal paths have equal numbers. */
  readonly pathIds: Int32Array;
  readonly paths: { readonly view: DataView };
  /** ECN bits of the IP header; all 0 if left out. */
  readonly ecns?: Uint8Array;
}

/**
 * How many datagrams from `first` on, and before `to`, can be one message with UDP_SEGMENT: those of one path,
 * with equal ECN bits and equal sizes, of which the last may be shorter.
 */
export function runLength(batch: DatagramBatch, first: number, to: number): number {
  const size = batch.lengths[first];
  const limit = Math.min(to - first, MAX_SEGMENTS, (MAX_SEND_BYTES / size) | 0);
  const { pathIds, ecns } = batch;
  let run = 1;
  while (run < limit) {
    const i = first + run;
    if (
      pathIds[i] !== pathIds[first] || batch.lengths[i] > size ||
      (ecns !== undefined && ecns[i] !== ecns[first])
    ) break;
    run++;
    if (batch.lengths[i] < size) break;
  }
  return run;
}

/** Where a datagram goes to, and leaves from; addresses and port in host order. */
export interface DatagramEnds {
  readonly address: number;
  readonly port: number;
  /** The kernel chooses if left out. */
  readonly source?: number;
}

/** Makes the paths of a batch for one who has no table of them. */
export function pathsTo(
  ends: readonly DatagramEnds[],
): Pick<DatagramBatch, "pathIds" | "paths"> {
  const view = new DataView(new ArrayBuffer(ends.length * PATH_SIZE));
  ends.forEach(({ address, port, source = 0 }, i) => {
    const path = i * PATH_SIZE;
    view.setUint16(path, AF_INET, true);
    view.setUint16(path + SOCKADDR_IN_PORT, port);
    view.setUint32(path + SOCKADDR_IN_ADDRESS, address);
    view.setUint32(path + PATH_SOURCE, source);
  });
  const pathIds = Int32Array.from(
    ends,
    (one) =>
      ends.findIndex((other) =>
        other.address === one.address && other.port === one.port && other.source === one.source
      ),
  );
  return { pathIds, paths: { view } };
}
