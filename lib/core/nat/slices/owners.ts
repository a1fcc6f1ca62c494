/**
 * Owners: which worker has what comes for an external port: for a forwarded one, that of the client whose service it
 * is; else the one whose slice it is in. So all that is a client's is at one worker, and its limits are counted there.
 */
import type { MappingTable } from "../mapping_table.ts";
import type { HandOver } from "./hand_over.ts";
import { type PortSlice, sliceOf } from "./port_slice.ts";

/** What makes a NAT one of several that have the external address together. */
export interface NatSlice {
  /** The number of this worker, from 0 on, and how many there are. */
  readonly number: number;
  readonly count: number;
  /** The worker that has what comes from the peer of an inner address (signed); -1 for no peer. */
  readonly workerOf: (address: number) => number;
  readonly handOver: HandOver;
}

export class Owners {
  /** The number of this worker. */
  readonly own: number;
  readonly #slice: NatSlice;
  readonly #mappings: MappingTable;
  readonly #ports: PortSlice;

  constructor(slice: NatSlice, mappings: MappingTable, ports: PortSlice) {
    this.own = slice.number;
    this.#slice = slice;
    this.#mappings = mappings;
    this.#ports = ports;
  }

  /** Whose a port, or the id of an ICMP query, is; this worker's where it is nobody's. */
  of(protocol: number, port: number): number {
    const mapping = this.#mappings.findExternal(protocol, port);
    if (mapping !== null) {
      if (!mapping.isStatic) return this.own;
      const worker = this.#slice.workerOf(mapping.innerAddress);
      return worker < 0 ? this.own : worker;
    }
    const { first, last } = this.#ports;
    if (port < first || port > last) return this.own;
    return sliceOf(this.#ports, this.#slice.count, port);
  }
}
