/**
 * Records of fake TCP between the device's thread, which has the connections, and a packet worker, which has the keys:
 * what kinds there are, and where in each what stands. All numbers are little-endian, paths are a `path_record.ts`,
 * and what travels begins on a multiple of 4.
 */
import { PATH_RECORD_SIZE } from "../path_record.ts";

export const FakeTcpRecord = {
  /** To a worker: what a segment, or several merged ones, brought. */
  received: 1,
  /** From a worker: a datagram that is to leave. */
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
export const SEALED_ECN: number = PATH_RECORD_SIZE;
export const SEALED_BYTES: number = SEALED_ECN + 4;

/** Whose it was, by tag (wireguard/workers/records.ts). */
export const AUTHENTIC_TAG = 0;
export const AUTHENTIC_SESSION = 4;
/** The sequence number behind the last authentic byte, and how many bytes there were. */
export const AUTHENTIC_END = 8;
export const AUTHENTIC_LENGTH = 12;
export const AUTHENTIC_SIZE = 16;

/** The share of a ring that may be full of datagrams on their way out: word of what was authentic gets through. */
export const SEALED_SHARE: number = 3 / 4;
