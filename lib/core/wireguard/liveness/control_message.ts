/**
 * Control messages: the frame that all messages between ends of ours have in common, and the heartbeat
 * (lib/core/wireguard/EXTENSIONS.md).
 *
 * A control message is the inside of a transport message, authenticated and safe from replay like any other. It begins
 * with a zero byte, which no IP packet does, and a kind other than zero, which tells it from a probe of the path.
 *
 * ```text
 *  0  zero                     1
 *  1  kind                     1
 *  2  length of the body       2, big-endian; bytes behind the body are padding
 *  4  body
 *
 *  heartbeat and its answer, body of 8 bytes or more
 *  4  sequence                 4, the answer repeats the heartbeat's
 *  8  interval, ms             4, at which the sender asks to be sent something
 * ```
 */
import type { Memory } from "../../wire/memory.ts";

/** What a control message is; a kind that is not known is ignored. */
export const ControlKind = {
  /** Not a framed message: a probe of the path, its answer, a goodbye. */
  unframed: 0,
  hello: 1,
  helloAnswer: 2,
  heartbeat: 3,
  heartbeatAnswer: 4,
} as const;
export type ControlKind = (typeof ControlKind)[keyof typeof ControlKind];

const KIND_OFFSET = 1;
const LENGTH_OFFSET = 2;
/** Where the body begins. */
export const BODY_OFFSET = 4;

const HEARTBEAT_SEQUENCE_OFFSET = BODY_OFFSET;
const HEARTBEAT_INTERVAL_OFFSET = BODY_OFFSET + 4;
const HEARTBEAT_BODY_SIZE = 8;
/** Messages are a multiple of this long, as packets are. */
const PADDING = 16;

/** A heartbeat or the answer to one. */
export interface Heartbeat {
  readonly sequence: number;
  /** ms; 0 for no wish. */
  readonly interval: number;
}

/** The kind of the control message at `offset`, whose first byte is zero. */
export function controlKind(view: DataView, offset: number, length: number): number {
  return length < BODY_OFFSET ? ControlKind.unframed : view.getUint8(offset + KIND_OFFSET);
}

/** Bytes of the body of a control message of `length` bytes; -1 where it is longer than the message. */
export function bodySize(view: DataView, offset: number, length: number): number {
  if (length < BODY_OFFSET) return -1;
  const size = view.getUint16(offset + LENGTH_OFFSET);
  return size > length - BODY_OFFSET ? -1 : size;
}

/**
 * Writes the frame around a body of `size` bytes that stands at its place, and padding; returns the length of it all.
 */
export function frame(
  { view, bytes }: Memory,
  offset: number,
  kind: ControlKind,
  size: number,
): number {
  view.setUint8(offset, 0);
  view.setUint8(offset + KIND_OFFSET, kind);
  view.setUint16(offset + LENGTH_OFFSET, size);
  const length = Math.ceil((BODY_OFFSET + size) / PADDING) * PADDING;
  bytes.fill(0, offset + BODY_OFFSET + size, offset + length);
  return length;
}

/** Writes a heartbeat, or the answer to one; returns its length in bytes. */
export function writeHeartbeat(
  memory: Memory,
  offset: number,
  kind: typeof ControlKind.heartbeat | typeof ControlKind.heartbeatAnswer,
  { sequence, interval }: Heartbeat,
): number {
  memory.view.setUint32(offset + HEARTBEAT_SEQUENCE_OFFSET, sequence);
  memory.view.setUint32(offset + HEARTBEAT_INTERVAL_OFFSET, interval);
  return frame(memory, offset, kind, HEARTBEAT_BODY_SIZE);
}

/**
 * Reads a heartbeat or the answer to one; null where it is too short. What a later version adds at the end is skipped.
 */
export function readHeartbeat(view: DataView, offset: number, length: number): Heartbeat | null {
  if (bodySize(view, offset, length) < HEARTBEAT_BODY_SIZE) return null;
  return {
    sequence: view.getUint32(offset + HEARTBEAT_SEQUENCE_OFFSET),
    interval: view.getUint32(offset + HEARTBEAT_INTERVAL_OFFSET),
  };
}
