/**
 * Records of fake TCP between the device's thread, which has the connections, and a packet worker, which has the keys:
 * what kinds there are, and where in each what stands. All numbers are little-endian, paths are a `path_record.ts`,
 * and what travels begins on a multiple of 4.
 */
import { PATH_RECORD_SIZE } from "../path_record.ts";

export const FakeTcpRecord = {
  /** To a worker: what a segment, or several merged ones, brought. */
  received: 1,
  /** From a worker: datagrams that are to leave by one path, one behind the other. */
  sealed: 2,
  /** From a worker: what came by a connection was authentic. */
  authentic: 3,
} as const;

export const RECEIVED_PATH = 0;
/** The number of the connection (session_table.ts), and the sequence number behind the last byte. */
export const RECEIVED_SESSION: number = PATH_RECORD_SIZE;
export const RECEIVED_END: number = RECEIVED_SESSION + 4;
/** Bytes of each merged datagram but the last; 0 for a single one. */
export const RECEIVED_SEGMENT_SIZE: number = RECEIVED_END + 4;
export const RECEIVED_ECN: number = RECEIVED_SEGMENT_SIZE + 4;
export const RECEIVED_BYTES: number = RECEIVED_ECN + 4;

export const SEALED_PATH = 0;
/** How many datagrams there are, at most as many as `SEALED_MOST`, and how far apart they begin, in bytes. */
export const SEALED_COUNT: number = PATH_RECORD_SIZE;
export const SEALED_STRIDE: number = SEALED_COUNT + 4;
/** Of each, a word: its length in bytes, and above `SEALED_ECN_SHIFT` its ECN bits. */
export const SEALED_LENGTHS: number = SEALED_STRIDE + 4;
export const SEALED_ECN_SHIFT = 16;
export const SEALED_LENGTH_MASK = 0xffff;
/** Of one record: several of the longest stand in a ring. */
export const SEALED_MOST = 64;
export const SEALED_MOST_BYTES: number = 1 << 17;

/** Where the first of so many datagrams begins. */
export function sealedBytes(count: number): number {
  return (SEALED_LENGTHS + 4 * count + 7) & -8;
}

/** Whose it was, by tag (wireguard/workers/records.ts). */
export const AUTHENTIC_TAG = 0;
export const AUTHENTIC_SESSION = 4;
/** The sequence number behind the last authentic byte, and how many bytes there were. */
export const AUTHENTIC_END = 8;
export const AUTHENTIC_LENGTH = 12;
export const AUTHENTIC_SIZE = 16;

/** The share of a ring that may be full of datagrams on their way out: word of what was authentic gets through. */
export const SEALED_SHARE: number = 3 / 4;
