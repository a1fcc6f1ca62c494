/**
 * ARP of IPv4 over Ethernet (RFC 826, RFC 5227). Import as a namespace.
 *
 * ```text
 *   0 hardware type 2 (1)   2 protocol type 2 (0x0800)
 *   4 address sizes 1 and 1 (6, 4)   6 operation 2
 *   8 sender's hardware address 6   14 its address 4
 *  18 target's hardware address 6   24 its address 4
 * ```
 */
import type { Memory } from "./memory.ts";

export const ETHER_TYPE = 0x0806;
const SIZE = 28;
export const OPERATION_OFFSET = 6;
const SENDER_HARDWARE_OFFSET = 8;
export const SENDER_OFFSET = 14;
const TARGET_HARDWARE_OFFSET = 18;
export const TARGET_OFFSET = 24;

export const OPERATION_REQUEST = 1;
export const OPERATION_REPLY = 2;
/** Both types and both sizes, as they stand before the operation. */
const ETHERNET = 1;
const IPV4 = 0x0800;
const SIZES = 0x0604;
const HARDWARE_SIZE = 6;
const ETHERNET_HEADER_SIZE = 14;

/** Bytes of an Ethernet frame with a message in it. */
export const FRAME_SIZE: number = ETHERNET_HEADER_SIZE + SIZE;

/** Whether there is a request for an IPv4 address at `at`, with so many bytes. */
export function isRequest(view: DataView, at: number, length: number): boolean {
  return isMessage(view, at, length, OPERATION_REQUEST);
}

/** The hardware address, 6 bytes, of who answers there that it has an address; null where there is no such answer. */
export function replySender(
  { bytes, view }: Memory,
  at: number,
  length: number,
): Uint8Array | null {
  if (!isMessage(view, at, length, OPERATION_REPLY)) return null;
  const sender = at + SENDER_HARDWARE_OFFSET;
  return bytes.slice(sender, sender + HARDWARE_SIZE);
}

function isMessage(view: DataView, at: number, length: number, operation: number): boolean {
  return length >= SIZE && view.getUint16(at) === ETHERNET && view.getUint16(at + 2) === IPV4 &&
    view.getUint16(at + 4) === SIZES && view.getUint16(at + OPERATION_OFFSET) === operation;
}

/** The address that is asked for, signed. */
function target(view: DataView, at: number): number {
  return view.getInt32(at + TARGET_OFFSET);
}

/** Writes the frame of the answer to a request: that `own` has what it asks for. */
export function writeReply(memory: Memory, frame: number, request: number, own: Uint8Array): void {
  const { bytes, view } = memory;
  const message = frame + ETHERNET_HEADER_SIZE;
  const sender = request + SENDER_HARDWARE_OFFSET;
  writeHead(memory, frame, own, OPERATION_REPLY);
  bytes.copyWithin(frame, sender, sender + HARDWARE_SIZE);
  view.setInt32(message + SENDER_OFFSET, target(view, request));
  bytes.copyWithin(message + TARGET_HARDWARE_OFFSET, sender, sender + HARDWARE_SIZE);
  view.setInt32(message + TARGET_OFFSET, view.getInt32(request + SENDER_OFFSET));
}

/** Writes the frame that tells all neighbours that `own` has an address (signed) now (RFC 5227 section 2.3). */
export function writeAnnouncement(
  memory: Memory,
  frame: number,
  address: number,
  own: Uint8Array,
): void {
  writeProbe(memory, frame, address, own);
  memory.view.setInt32(frame + ETHERNET_HEADER_SIZE + SENDER_OFFSET, address);
}

/** Writes the frame that asks all neighbours who has an address (signed), and tells them nothing (RFC 5227, 2.1.1). */
export function writeProbe(memory: Memory, frame: number, address: number, own: Uint8Array): void {
  const { bytes, view } = memory;
  const message = frame + ETHERNET_HEADER_SIZE;
  writeHead(memory, frame, own, OPERATION_REQUEST);
  bytes.fill(0xff, frame, frame + HARDWARE_SIZE);
  view.setInt32(message + SENDER_OFFSET, 0);
  bytes.fill(0, message + TARGET_HARDWARE_OFFSET, message + TARGET_OFFSET);
  view.setInt32(message + TARGET_OFFSET, address);
}

/** All but the receiver, and the addresses. */
function writeHead(
  { bytes, view }: Memory,
  frame: number,
  own: Uint8Array,
  operation: number,
): void {
  const message = frame + ETHERNET_HEADER_SIZE;
  bytes.set(own, frame + HARDWARE_SIZE);
  view.setUint16(frame + 2 * HARDWARE_SIZE, ETHER_TYPE);
  view.setUint16(message, ETHERNET);
  view.setUint16(message + 2, IPV4);
  view.setUint16(message + 4, SIZES);
  view.setUint16(message + OPERATION_OFFSET, operation);
  bytes.set(own, message + SENDER_HARDWARE_OFFSET);
}
