/**
 * Goodbye: the last message of an end that closes in good order, so that the other need not wait for its silence.
 *
 * WireGuard has no such message. This one is a transport message, authenticated and safe from replay like any other,
 * whose inside is neither IPv4 nor IPv6: every other WireGuard drops it after authentication, as it drops a probe of
 * the path.
 *
 * ```text
 *   0  zero     4
 *   4  "end\0"  4
 * ```
 */
import type { Memory } from "../../wire/memory.ts";

const GOODBYE_SIZE = 8;
/** "end" and a zero, big-endian. */
const GOODBYE = 0x656e6400;

/** Writes a goodbye to `offset`; returns its length in bytes. */
export function writeGoodbye({ view }: Memory, offset: number): number {
  view.setUint32(offset, 0);
  view.setUint32(offset + 4, GOODBYE);
  return GOODBYE_SIZE;
}

/** Whether `length` bytes at `offset` are a goodbye. */
export function isGoodbye(view: DataView, offset: number, length: number): boolean {
  return length === GOODBYE_SIZE && view.getUint32(offset) === 0 &&
    view.getUint32(offset + 4) === GOODBYE;
}
