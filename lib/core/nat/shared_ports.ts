/**
 * Shared ports: which ports of the range carry flows of several inner endpoints at a time, told apart by their remote
 * ends (RFC 7857 section 3).
 *
 * They are a fixed quarter of the range, apart from the ports that stand for one inner endpoint whatever the
 * destination: so no flow ever comes between such a mapping and a remote end that it has yet to talk to. Two neighbours
 * of every eight, so that both parities and every part of the range are there.
 */
import type { PortRange } from "../wire/port_range.ts";
import { GROUP, type PortSlice, SlicePorts } from "./slices/port_slice.ts";

/** The first of a group that is shared. */
const SHARED_FROM = 6;
const SHARED = GROUP - SHARED_FROM;

export function isSharedPort(range: PortRange, port: number): boolean {
  return port >= range.first && port <= range.last && (port - range.first) % GROUP >= SHARED_FROM;
}

/** How many there are in a slice: none in one of six or less. */
export function sharedPortCount(slice: PortSlice): number {
  const { size } = new SlicePorts(slice);
  return Math.floor(size / GROUP) * SHARED + Math.max(0, size % GROUP - SHARED_FROM);
}

/** The shared port number `index` of a slice, from 0. */
export function sharedPortAt(slice: SlicePorts, index: number): number {
  return slice.portAt(Math.floor(index / SHARED) * GROUP + SHARED_FROM + index % SHARED);
}
