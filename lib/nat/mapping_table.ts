/**
 * Owns the mappings: which external port stands for which inner address and port, found from either side in constant time.
 *
 * A mapping is endpoint-independent (RFC 4787 REQ-1): one external port for one inner (address, port, protocol), whatever
 * the destination, and never two inner endpoints on one port.
 */
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "../wire/ipv4.ts";
import { PortAllocator } from "./port_allocator.ts";
import type { PortRange } from "./nat_options.ts";

const BUCKETS = 1 << 14;
const PORTS = 1 << 16;

/** Why a mapping could not be made. */
export type Refusal = "quota" | "ports";

export class Mapping {
  readonly protocol: number;
  /** Host order. For ICMP, the ports are ids. */
  readonly innerAddress: number;
  readonly innerPort: number;
  readonly externalPort: number;
  /** Configured: never expires. */
  readonly isStatic: boolean;
  /** ms; for TCP `Infinity`: its sessions decide. */
  expiresAt = Infinity;
  /** Sessions that keep it alive. */
  sessions = 0;
  /** The next in its bucket. */
  next: Mapping | null = null;

  constructor(options: Omit<Mapping, "expiresAt" | "sessions" | "next">) {
    this.protocol = options.protocol;
    this.innerAddress = options.innerAddress;
    this.innerPort = options.innerPort;
    this.externalPort = options.externalPort;
    this.isStatic = options.isStatic;
  }
}

export class MappingTable {
  readonly #buckets: (Mapping | null)[] = new Array(BUCKETS).fill(null);
  /** By protocol: external port to mapping. */
  readonly #external: ReadonlyMap<number, (Mapping | null)[]>;
  readonly #allocators: ReadonlyMap<number, PortAllocator>;
  readonly #clients = new Map<number, number>();
  readonly #all = new Set<Mapping>();
  readonly #quota: number;
  readonly #udp: (Mapping | null)[] = new Array(PORTS).fill(null);
  readonly #tcp: (Mapping | null)[] = new Array(PORTS).fill(null);
  readonly #icmp: (Mapping | null)[] = new Array(PORTS).fill(null);

  constructor(
    { ports, quota, random }: { ports: PortRange; quota: number; random: () => number },
  ) {
    this.#quota = quota;
    this.#external = new Map([
      [PROTOCOL_UDP, this.#udp],
      [PROTOCOL_TCP, this.#tcp],
      [PROTOCOL_ICMP, this.#icmp],
    ]);
    this.#allocators = new Map(
      [...this.#external.keys()].map((protocol) => [protocol, new PortAllocator(ports, random)]),
    );
  }

  /** Mappings in all. */
  get size(): number {
    return this.#all.size;
  }

  /** All mappings; one may be removed while they are gone through. */
  all(): Iterable<Mapping> {
    return this.#all;
  }

  /** The mapping of an inner endpoint, or null. */
  findInner(protocol: number, address: number, port: number): Mapping | null {
    let mapping = this.#buckets[bucketOf(protocol, address, port)];
    while (
      mapping !== null &&
      (mapping.innerPort !== port || mapping.innerAddress !== address ||
        mapping.protocol !== protocol)
    ) mapping = mapping.next;
    return mapping;
  }

  /** The mapping of an external port, or null. */
  findExternal(protocol: number, port: number): Mapping | null {
    switch (protocol) {
      case PROTOCOL_TCP:
        return this.#tcp[port];
      case PROTOCOL_UDP:
        return this.#udp[port];
      case PROTOCOL_ICMP:
        return this.#icmp[port];
      default:
        return null;
    }
  }

  /** Makes the mapping of an inner endpoint that has none. */
  create(protocol: number, address: number, port: number, now: number): Mapping | Refusal {
    const held = this.#clients.get(address) ?? 0;
    if (held >= this.#quota) return "quota";
    const externalPort = this.#allocators.get(protocol)!.allocate(port, now);
    if (externalPort < 0) return "ports";
    return this.#insert(
      new Mapping({
        protocol,
        innerAddress: address,
        innerPort: port,
        externalPort,
        isStatic: false,
      }),
    );
  }

  /**
   * Makes a mapping that stays.
   *
   * @throws {RangeError} when the external port, or the inner endpoint, has one already
   */
  createStatic(
    options: Pick<Mapping, "protocol" | "innerAddress" | "innerPort" | "externalPort">,
  ): void {
    const { protocol, innerAddress, innerPort, externalPort } = options;
    if (
      this.findInner(protocol, innerAddress, innerPort) !== null ||
      this.findExternal(protocol, externalPort) !== null ||
      !this.#allocators.get(protocol)!.take(externalPort)
    ) {
      throw new RangeError(`Cannot forward port ${externalPort}: it, or its target, is in use`);
    }
    this.#insert(new Mapping({ ...options, isStatic: true }));
  }

  /** Removes a mapping; its port rests before it is given out again. */
  remove(mapping: Mapping, now: number): void {
    if (!this.#all.delete(mapping)) return;
    const { protocol, innerAddress, innerPort, externalPort } = mapping;
    const bucket = bucketOf(protocol, innerAddress, innerPort);
    if (this.#buckets[bucket] === mapping) {
      this.#buckets[bucket] = mapping.next;
    } else {
      let before = this.#buckets[bucket];
      while (before !== null && before.next !== mapping) before = before.next;
      if (before !== null) before.next = mapping.next;
    }
    this.#external.get(protocol)![externalPort] = null;
    this.#allocators.get(protocol)!.release(externalPort, now);
    const held = (this.#clients.get(innerAddress) ?? 1) - 1;
    if (held > 0) this.#clients.set(innerAddress, held);
    else this.#clients.delete(innerAddress);
  }

  #insert(mapping: Mapping): Mapping {
    const { protocol, innerAddress, innerPort, externalPort } = mapping;
    const bucket = bucketOf(protocol, innerAddress, innerPort);
    mapping.next = this.#buckets[bucket];
    this.#buckets[bucket] = mapping;
    this.#external.get(protocol)![externalPort] = mapping;
    this.#all.add(mapping);
    this.#clients.set(innerAddress, (this.#clients.get(innerAddress) ?? 0) + 1);
    return mapping;
  }
}

function bucketOf(protocol: number, address: number, port: number): number {
  const mixed = Math.imul(address ^ (port << 8) ^ protocol, 0x9e3779b1);
  return (mixed >>> 18) & (BUCKETS - 1);
}
