/**
 * Misdirected datagrams: what a client sends under a session of one gateway, and a balancer or a route brings to
 * another one, which hands it over with the path that it came by: the answer leaves from the address that the client
 * knows, straight to it.
 *
 * ```text
 *  4  family: 4 or 6                        1
 *  5  zero                                  1
 *  6  the client's port                     2
 *  8  the client's address                 16, of IPv4 the first four, and zeros
 * 24  the address that it has written to   16, the same; zero where that is not known
 * 40  datagram
 * ```
 */
import { IPV6_SIZE } from "../../wire/host_address.ts";
import {
  PATH_ADDRESS6_OFFSET,
  PATH_SLOT_SIZE,
  PATH_SOURCE_OFFSET,
} from "../../transport/path_slot.ts";
import { NO_PATH, type Paths } from "../../transport/paths.ts";
import { Transport } from "../../transport/transport.ts";
import { FRAME_SIZE, meshBodySize, MeshKind, writeFrame } from "./mesh_messages.ts";

/** Bytes in front of the datagram. */
export const MISDIRECTED_HEADER_SIZE = 40;

const FAMILY = 4;
const PORT = 6;
const ADDRESS = 8;
const SOURCE = 24;

/** An address, and ours behind it. */
const words = new Int32Array(2 * IPV6_SIZE / 4);

/** Writes the header for a datagram of `length` bytes that came by this path. */
export function writeMisdirected(
  view: DataView,
  offset: number,
  paths: Paths,
  path: number,
  length: number,
): void {
  writeFrame(view, offset, MeshKind.datagram, MISDIRECTED_HEADER_SIZE - FRAME_SIZE + length);
  const isIpv6 = paths.isIpv6(path);
  const slot = path * PATH_SLOT_SIZE;
  view.setUint16(offset + FAMILY, (isIpv6 ? 6 : 4) << 8);
  view.setUint16(offset + PORT, paths.port(path));
  for (let i = 0; i < IPV6_SIZE; i += 4) {
    const isFirst = i === 0;
    const address = isIpv6
      ? paths.view.getInt32(slot + PATH_ADDRESS6_OFFSET + i)
      : isFirst
      ? paths.ipv4Address(path)
      : 0;
    view.setInt32(offset + ADDRESS + i, address);
    view.setInt32(offset + SOURCE + i, paths.view.getInt32(slot + PATH_SOURCE_OFFSET + i));
  }
}

/** The bytes of the datagram in a message of the kind; less than 1 for none. */
export function misdirectedSize(view: DataView, offset: number): number {
  return meshBodySize(view, offset) - (MISDIRECTED_HEADER_SIZE - FRAME_SIZE);
}

/** The path that it came by, as it would be here; `NO_PATH` where the header makes no sense. */
export function misdirectedPath(view: DataView, offset: number, paths: Paths): number {
  const port = view.getUint16(offset + PORT);
  const family = view.getUint8(offset + FAMILY);
  if (port === 0) return NO_PATH;
  if (family === 4) {
    const address = view.getInt32(offset + ADDRESS);
    return paths.intern(address, port, view.getInt32(offset + SOURCE), Transport.udp);
  }
  if (family !== 6) return NO_PATH;
  let hasSource = false;
  for (let i = 0; i < words.length; i++) {
    words[i] = view.getInt32(offset + ADDRESS + 4 * i);
    hasSource ||= 4 * i >= IPV6_SIZE && words[i] !== 0;
  }
  return paths.internWords6(words, port, hasSource, Transport.udp);
}
