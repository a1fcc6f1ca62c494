/** Datagram batch: datagrams to send as parallel arrays, and which neighbours the kernel can take as one message. */
import { AF_INET, AF_INET6 } from "../socket_constants.ts";
import { SOCKADDR_IN_ADDRESS, SOCKADDR_IN_PORT } from "./ipv4_address.ts";
import { SOCKADDR_IN6_ADDRESS } from "./ipv6_address.ts";

/** `UDP_MAX_SEGMENTS` of kernels before 6.9; newer ones take 128. */
export const MAX_SEGMENTS = 64;
/** The most bytes of one send: 65,535 less the IPv4 and UDP headers. IPv6's is not counted. */
const MAX_SEND_BYTES = 65507;

/**
 * Bytes of a path: where a datagram goes to, as `struct sockaddr_in` or `sockaddr_in6`, and further on where it leaves
 * from.
 */
export const PATH_SIZE = 64;
/** Where in a path the source address stands, 4 or 16 bytes in network order; 0 lets the kernel choose. */
export const PATH_SOURCE = 28;

/** Whether a path, which begins at `path`, is one of IPv6. */
export function isPath6(paths: DataView, path: number): boolean {
  return paths.getUint16(path, true) === AF_INET6;
}

/**
 * A path's source address as an int32: that of IPv4 itself, a digest of that of IPv6; 0 where the kernel chooses.
 */
export function sourceDigest(paths: DataView, path: number): number {
  const at = path + PATH_SOURCE;
  const first = paths.getInt32(at);
  if (!isPath6(paths, path)) return first;
  const [second, third, fourth] = [
    paths.getInt32(at + 4),
    paths.getInt32(at + 8),
    paths.getInt32(at + 12),
  ];
  if ((first | second | third | fourth) === 0) return 0;
  return first ^ second ^ third ^ fourth || 1;
}

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

/** Where a datagram goes to, and leaves from; ports and IPv4 addresses in host order, IPv6's in network order. */
export interface DatagramEnds {
  readonly address: number | Uint8Array;
  readonly port: number;
  /** The kernel chooses if left out. */
  readonly source?: number | Uint8Array;
}

/** Makes the paths of a batch for one who has no table of them. */
export function pathsTo(
  ends: readonly DatagramEnds[],
): Pick<DatagramBatch, "pathIds" | "paths"> {
  const view = new DataView(new ArrayBuffer(ends.length * PATH_SIZE));
  ends.forEach(({ address, port, source = 0 }, i) => {
    const path = i * PATH_SIZE;
    const isIpv4 = typeof address === "number";
    view.setUint16(path, isIpv4 ? AF_INET : AF_INET6, true);
    view.setUint16(path + SOCKADDR_IN_PORT, port);
    write(view, path + (isIpv4 ? SOCKADDR_IN_ADDRESS : SOCKADDR_IN6_ADDRESS), address);
    write(view, path + PATH_SOURCE, source);
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

function write(view: DataView<ArrayBuffer>, at: number, address: number | Uint8Array): void {
  if (typeof address === "number") view.setUint32(at, address);
  else new Uint8Array(view.buffer).set(address, at);
}
