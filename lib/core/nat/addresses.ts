/**
 * NAT addresses: signed 32-bit numbers, as the NAT keeps and compares them. An unsigned one of 2^31 or more is no small
 * integer for V8: it would be an object on the heap wherever it is stored or handed on. `address | 0` makes one of a
 * host-order address, `address >>> 0` goes back.
 */
import { DESTINATION_ADDRESS_OFFSET, SOURCE_ADDRESS_OFFSET } from "../wire/ipv4.ts";

export function sourceAddress(view: DataView, packet: number): number {
  return view.getInt32(packet + SOURCE_ADDRESS_OFFSET);
}

export function destinationAddress(view: DataView, packet: number): number {
  return view.getInt32(packet + DESTINATION_ADDRESS_OFFSET);
}
