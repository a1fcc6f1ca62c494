/**
 * Owns the mappings: which external port stands for which inner address and port, found from either side in constant time.
 *
 * A mapping is endpoint-independent (RFC 4787 REQ-1): one external port for one inner (address, port, protocol), whatever
 * the destination, and never two inner endpoints on one port (REQ-3).
 */
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "../wire/ipv4.ts";
import { hash } from "./hash.ts";
import { PortAllocator } from "./port_allocator.ts";
import type { PortRange } from "./nat_options.ts";

const BUCKETS = 1 << 14;
const PORTS = 1 << 16;

/** Why a mapping could not be made. */
export type Refusal = "quota" | "ports";

/** What one client holds: quotas are counted by it. */
export class Client {
  readonly identity: unknown;
  mappings = 0;
  sessions = 0;

  constructor(identity: unknown) {
    this.identity = identity;
  }
}

export class Mapping {
  readonly client: Client;
  readonly protocol: number;
  /** Signed. */
  readonly innerAddress: number;
  /** For ICMP, the ports are ids. */
  readonly innerPort: number;
  readonly externalPort: number;
  /** Configured: never expires. */
  readonly isStatic: boolean;
  /** ms; for TCP `Infinity`: its connections decide. */
  expiresAt = Infinity;
  /** TCP connections that keep it alive. */
  connections = 0;
  isRemoved = false;
  /** The next in its bucket. */
  next: Mapping | null = null;

  constructor(client: Client, endpoint: Endpoint, isStatic: boolean) {
    this.client = client;
    this.protocol = endpoint.protocol;
    this.innerAddress = endpoint.innerAddress;
    this.innerPort = endpoint.innerPort;
    this.externalPort = endpoint.externalPort;
    this.isStatic = isStatic;
  }
}

/** An inner endpoint and the external port that stands for it. */
export type Endpoint = Pick<
  Mapping,
  "protocol" | "innerAddress" | "innerPort" | "externalPort"
>;

export interface MappingTableOptions {
  readonly ports: PortRange;
  /** Mappings that one client may hold. */
  readonly quota: number;
  /** Whose an inner address (signed) is: addresses with one answer are one client's. */
  readonly clientOf: (address: number) => unknown;
  /** Draws an unsigned 32-bit number. */
  readonly random: () => number;
}

/** What there is for each protocol. */
class ProtocolTable {
  /** By external port. */
  readonly external: (Mapping | null)[] = new Array(PORTS).fill(null);
  readonly allocator: PortAllocator;

  constructor(ports: PortRange, random: () => number) {
    this.allocator = new PortAllocator(ports, random);
  }
}

export class MappingTable {
  readonly #buckets: (Mapping | null)[] = new Array(BUCKETS).fill(null);
  readonly #udp: ProtocolTable;
  readonly #tcp: ProtocolTable;
  readonly #icmp: ProtocolTable;
  /** By what `clientOf` names them. */
  readonly #clients = new Map<unknown, Client>();
  readonly #clientOf: (address: number) => unknown;
  readonly #dynamic = new Set<Mapping>();
  readonly #quota: number;
  readonly #seed: number;
  #staticCount = 0;

  constructor(options: MappingTableOptions) {
    const { ports, random } = options;
    this.#quota = options.quota;
    this.#clientOf = options.clientOf;
    this.#seed = random();
    this.#udp = new ProtocolTable(ports, random);
    this.#tcp = new ProtocolTable(ports, random);
    this.#icmp = new ProtocolTable(ports, random);
  }

  /** Mappings in all. */
  get size(): number {
    return this.#dynamic.size + this.#staticCount;
  }

  /** Mappings that end; each may be removed while they are gone through. */
  get dynamic(): ReadonlySet<Mapping> {
    return this.#dynamic;
  }

  /** What the client that an inner address belongs to holds; null when nothing. */
  client(address: number): Client | null {
    return this.#clients.get(this.#clientOf(address)) ?? null;
  }

  /** The mapping of an inner endpoint, or null. */
  findInner(protocol: number, address: number, port: number): Mapping | null {
    let mapping = this.#buckets[this.#bucket(protocol, address, port)];
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
        return this.#tcp.external[port];
      case PROTOCOL_UDP:
        return this.#udp.external[port];
      case PROTOCOL_ICMP:
        return this.#icmp.external[port];
      default:
        return null;
    }
  }

  /**
   * Makes the mapping of an inner endpoint that has none. Where that cannot be, nothing that exists gives way for it
   * (RFC 6888 REQ-11D): one client could push out the others' mappings otherwise.
   */
  create(protocol: number, address: number, port: number, now: number): Mapping | Refusal {
    if ((this.client(address)?.mappings ?? 0) >= this.#quota) return "quota";
    const externalPort = this.#table(protocol).allocator.allocate(port, now);
    if (externalPort < 0) return "ports";
    const endpoint = { protocol, innerAddress: address, innerPort: port, externalPort };
    const mapping = this.#insert(endpoint, false);
    this.#dynamic.add(mapping);
    return mapping;
  }

  /**
   * Makes a mapping that stays.
   *
   * @throws {RangeError} when the external port, or the inner endpoint, has one already
   */
  createStatic(endpoint: Endpoint): void {
    const { protocol, innerAddress, innerPort, externalPort } = endpoint;
    if (
      this.findInner(protocol, innerAddress, innerPort) !== null ||
      this.findExternal(protocol, externalPort) !== null ||
      !this.#table(protocol).allocator.take(externalPort)
    ) {
      throw new RangeError(`Cannot forward port ${externalPort}: it, or its target, is in use`);
    }
    this.#insert(endpoint, true);
    this.#staticCount++;
  }

  /** Removes a mapping that is not static; its port rests before it is given out again. */
  remove(mapping: Mapping, now: number): void {
    if (!this.#dynamic.delete(mapping)) return;
    mapping.isRemoved = true;
    const { protocol, innerAddress, innerPort, externalPort, client } = mapping;
    this.#unlink(mapping, this.#bucket(protocol, innerAddress, innerPort));
    const table = this.#table(protocol);
    table.external[externalPort] = null;
    table.allocator.release(externalPort, now);
    client.mappings--;
    if (client.mappings === 0) this.#clients.delete(client.identity);
  }

  #insert(endpoint: Endpoint, isStatic: boolean): Mapping {
    const { protocol, innerAddress, innerPort, externalPort } = endpoint;
    const identity = this.#clientOf(innerAddress);
    let client = this.#clients.get(identity);
    if (client === undefined) {
      client = new Client(identity);
      this.#clients.set(identity, client);
    }
    client.mappings++;
    const mapping = new Mapping(client, endpoint, isStatic);
    const bucket = this.#bucket(protocol, innerAddress, innerPort);
    mapping.next = this.#buckets[bucket];
    this.#buckets[bucket] = mapping;
    this.#table(protocol).external[externalPort] = mapping;
    return mapping;
  }

  #unlink(mapping: Mapping, bucket: number): void {
    if (this.#buckets[bucket] === mapping) {
      this.#buckets[bucket] = mapping.next;
      return;
    }
    let before = this.#buckets[bucket];
    while (before !== null && before.next !== mapping) before = before.next;
    if (before !== null) before.next = mapping.next;
  }

  #table(protocol: number): ProtocolTable {
    return protocol === PROTOCOL_TCP
      ? this.#tcp
      : protocol === PROTOCOL_UDP
      ? this.#udp
      : this.#icmp;
  }

  #bucket(protocol: number, address: number, port: number): number {
    return hash(address, port << 8 | protocol, this.#seed) & (BUCKETS - 1);
  }
}
