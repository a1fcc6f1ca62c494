/** Path records: a path as one thread tells it another, each of which has a table of its own: the slot of the path. */
import {
  isSlot6,
  PATH_ADDRESS_OFFSET,
  PATH_PORT_OFFSET,
  PATH_SLOT_SIZE,
  PATH_SOURCE_OFFSET,
  PATH_TRANSPORT_OFFSET,
} from "./path_slot.ts";
import type { Paths } from "./paths.ts";
import type { Transport } from "./transport.ts";

export const PATH_RECORD_SIZE: number = PATH_SLOT_SIZE;

/** Writes the record of a path to `at`; zeros for no path. */
export function writePathRecord(to: Uint8Array, at: number, { bytes }: Paths, path: number): void {
  const from = path * PATH_SLOT_SIZE;
  for (let i = 0; i < PATH_SLOT_SIZE; i++) to[at + i] = bytes[from + i];
}

/** The number, in this table, of the path whose record stands at `at`; `NO_PATH` for none. */
export function readPathRecord(from: DataView, at: number, paths: Paths): number {
  const transport = from.getUint8(at + PATH_TRANSPORT_OFFSET) as Transport;
  if (isSlot6(from, at)) return paths.internName6(from, at, at + PATH_SOURCE_OFFSET, transport);
  return paths.intern(
    from.getInt32(at + PATH_ADDRESS_OFFSET),
    from.getUint16(at + PATH_PORT_OFFSET),
    from.getInt32(at + PATH_SOURCE_OFFSET),
    transport,
  );
}
