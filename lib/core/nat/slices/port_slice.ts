/**
 * Port slice: the part of the NAT's ports that one of several workers gives to its clients, so that what comes for a
 * port is known to be that worker's without a table.
 *
 * The range is dealt out in groups of eight neighbours: each worker has ports of either parity and from every part of
 * the range, those below 1,024 too, and of each group the same two are shared (shared_ports.ts).
 */
import type { PortRange } from "../../wire/port_range.ts";

/** Ports of a group: a power of two. */
export const GROUP = 8;
const GROUP_BITS = 3;

/** A range, and which part of it is meant: that of worker `number`, from 0 on, of `count`; all of it if left out. */
export interface PortSlice extends PortRange {
  readonly number?: number;
  readonly count?: number;
}

/** Which of `count` workers has a port of the range. */
export function sliceOf({ first }: PortRange, count: number, port: number): number {
  return ((port - first) >> GROUP_BITS) % count;
}

/** The ports of a slice, in order: each has a place, from 0 on. */
export class SlicePorts {
  readonly first: number;
  readonly last: number;
  readonly number: number;
  readonly count: number;
  /** How many there are. */
  readonly size: number;

  constructor({ first, last, number = 0, count = 1 }: PortSlice) {
    this.first = first;
    this.last = last;
    this.number = number;
    this.count = count;
    const all = last - first + 1;
    const wholeGroups = all >> GROUP_BITS;
    const ofOthers = count - 1 - number;
    const own = Math.floor((wholeGroups + ofOthers) / count) << GROUP_BITS;
    // The last group may have fewer.
    this.size = wholeGroups % count === number ? own + all % GROUP : own;
  }

  has(port: number): boolean {
    return port >= this.first && port <= this.last &&
      sliceOf(this, this.count, port) === this.number;
  }

  /** The place of a port of the slice. */
  placeOf(port: number): number {
    const at = port - this.first;
    return Math.floor((at >> GROUP_BITS) / this.count) << GROUP_BITS | at & (GROUP - 1);
  }

  portAt(place: number): number {
    const group = (place >> GROUP_BITS) * this.count + this.number;
    return this.first + (group << GROUP_BITS | place & (GROUP - 1));
  }
}
