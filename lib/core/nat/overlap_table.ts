/**
 * Mappings on shared ports: each stands for one inner endpoint towards one remote end, and is found by either end of
 * the flow in constant time (RFC 7857 section 3).
 *
 * Never do two of a protocol have one external port and one remote end: what comes from outside is told apart by just
 * these.
 */
import { hash } from "../wire/hash.ts";
import type { Mapping, NatSession, Share } from "./records.ts";
import { LateTable, PLACES } from "./late_table.ts";
import { sharedPortAt, sharedPortCount } from "./shared_ports.ts";
import { type PortSlice, SlicePorts } from "./slices/port_slice.ts";

/**
 * Ports that are looked at for one that is free towards a remote end: of those nine in ten are taken, one is found 999
 * times of 1,000.
 */
const MAX_PROBES = 64;

export class OverlapTable {
  readonly #inside: LateTable<Mapping> = new LateTable();
  readonly #outside: LateTable<Mapping> = new LateTable();
  readonly #slice: SlicePorts;
  readonly #portCount: number;
  readonly #random: () => number;
  readonly #seed: number;

  /** @param random draws an unsigned 32-bit number */
  constructor(slice: PortSlice, random: () => number) {
    this.#slice = new SlicePorts(slice);
    this.#portCount = sharedPortCount(slice);
    this.#random = random;
    this.#seed = random();
  }

  /** The mapping of an inner endpoint towards a remote one, or null. Addresses are signed. */
  findInside(
    protocol: number,
    address: number,
    port: number,
    remoteAddress: number,
    remotePort: number,
  ): Mapping | null {
    const bucket = this.#insideBucket(protocol, address, port, remoteAddress, remotePort);
    let mapping = this.#inside.get(bucket);
    while (
      mapping !== null &&
      (mapping.remoteAddress !== remoteAddress || mapping.innerPort !== port ||
        mapping.innerAddress !== address || mapping.remotePort !== remotePort ||
        mapping.protocol !== protocol)
    ) mapping = mapping.next;
    return mapping;
  }

  /** The mapping by which a remote end is met on an external port, or null. */
  findOutside(
    protocol: number,
    port: number,
    remoteAddress: number,
    remotePort: number,
  ): Mapping | null {
    let mapping = this.#outside.get(
      this.#outsideBucket(protocol, port, remoteAddress, remotePort),
    );
    while (
      mapping !== null &&
      (mapping.externalPort !== port || mapping.remoteAddress !== remoteAddress ||
        mapping.remotePort !== remotePort || mapping.protocol !== protocol)
    ) mapping = mapping.nextOutside;
    return mapping;
  }

  /**
   * A port on which nobody talks to a remote end, from a random one on; -1 where none is found. In place of it, one on
   * which a finished flow of the same client's did: `end` ends that (RFC 7857 section 7, RFC 6191; the same client's
   * clock goes on in the timestamps of its next connection, so a server in TIME-WAIT takes its SYN).
   *
   * @param external configured mappings by port: theirs are left alone
   */
  choose(
    share: Share,
    external: LateTable<Mapping>,
    remoteAddress: number,
    remotePort: number,
    end: (session: NatSession) => void,
  ): number {
    if (this.#portCount === 0) return -1;
    const start = this.#random() % this.#portCount;
    const probes = Math.min(MAX_PROBES, this.#portCount);
    let finished: NatSession | null = null;
    for (let probe = 0; probe < probes; probe++) {
      const port = sharedPortAt(this.#slice, (start + probe) % this.#portCount);
      if (external.get(port) !== null) continue;
      const other = this.findOutside(share.protocol, port, remoteAddress, remotePort);
      if (other === null) return port;
      if (other.life !== null && other.life.list === share.shared.finished) finished ??= other.life;
    }
    if (finished === null) return -1;
    const { externalPort } = finished.mapping;
    end(finished);
    return externalPort;
  }

  insert(mapping: Mapping): void {
    const inside = this.#insideBucketOf(mapping);
    mapping.next = this.#inside.get(inside);
    this.#inside.set(inside, mapping);
    const outside = this.#outsideBucketOf(mapping);
    mapping.nextOutside = this.#outside.get(outside);
    this.#outside.set(outside, mapping);
  }

  remove(mapping: Mapping): void {
    const inside = this.#insideBucketOf(mapping);
    if (this.#inside.get(inside) === mapping) this.#inside.set(inside, mapping.next);
    else {
      let before = this.#inside.get(inside);
      while (before !== null && before.next !== mapping) before = before.next;
      if (before !== null) before.next = mapping.next;
    }
    const outside = this.#outsideBucketOf(mapping);
    if (this.#outside.get(outside) === mapping) this.#outside.set(outside, mapping.nextOutside);
    else {
      let before = this.#outside.get(outside);
      while (before !== null && before.nextOutside !== mapping) before = before.nextOutside;
      if (before !== null) before.nextOutside = mapping.nextOutside;
    }
    // As in `MappingTable`.
    mapping.next = mapping.nextOutside = null;
  }

  #insideBucketOf(mapping: Mapping): number {
    const { protocol, innerAddress, innerPort, remoteAddress, remotePort } = mapping;
    return this.#insideBucket(protocol, innerAddress, innerPort, remoteAddress, remotePort);
  }

  #outsideBucketOf({ protocol, externalPort, remoteAddress, remotePort }: Mapping): number {
    return this.#outsideBucket(protocol, externalPort, remoteAddress, remotePort);
  }

  #insideBucket(
    protocol: number,
    address: number,
    port: number,
    remoteAddress: number,
    remotePort: number,
  ): number {
    const inner = hash(address, port << 8 | protocol, this.#seed);
    return hash(remoteAddress ^ inner, remotePort, this.#seed) & (PLACES - 1);
  }

  #outsideBucket(
    protocol: number,
    port: number,
    remoteAddress: number,
    remotePort: number,
  ): number {
    const local = hash(port, protocol, this.#seed);
    return hash(remoteAddress ^ local, remotePort, this.#seed) & (PLACES - 1);
  }
}
