/**
 * The mappings: which external port stands for which inner address and port, found from either side in constant time.
 *
 * A mapping is endpoint-independent (RFC 4787 REQ-1): one external port for one inner (address, port, protocol),
 * whatever the destination, and never two inner endpoints on one port (REQ-3). Under pressure a mapping is made for one
 * remote end alone, on a port that is shared with others (RFC 7857 section 3): `OverlapTable` has those.
 */
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "../wire/ipv4.ts";
import { Clients } from "./clients.ts";
import { type AddressHolds, NO_HOLDS } from "./headers/address_table.ts";
import { hash } from "../wire/hash.ts";
import { OverlapTable } from "./overlap_table.ts";
import { PortAllocator } from "./port_allocator.ts";
import {
  Client,
  type MappedEndpoint,
  Mapping,
  type NatSession,
  type PublishedService,
  type Share,
} from "./records.ts";
import { LateTable } from "./late_table.ts";
import type { PortSlice } from "./slices/port_slice.ts";

/** Of inner endpoints: few stay in the processor's cache, and there are more as mappings become more. */
const FIRST_BUCKETS = 1 << 10;
const MOST_BUCKETS = 1 << 14;
/** Has what is no client's. */
const NOBODY = new Client(null);

export interface MappingTableOptions {
  readonly ports: PortSlice;
  /** Whose an inner address (signed) is: addresses with one answer are one client's. */
  readonly clientOf: (address: number) => unknown;
  /** Draws an unsigned 32-bit number. */
  readonly random: () => number;
  /** Of the addresses that mappings and sessions need; left out, none. */
  readonly holds?: AddressHolds;
}

/** What there is for each protocol. */
class ProtocolTable {
  /** By external port; those on shared ports are not here. */
  readonly external: LateTable<Mapping> = new LateTable();
  readonly allocator: PortAllocator;

  constructor({ ports, random }: MappingTableOptions) {
    this.allocator = new PortAllocator(ports, random);
  }
}

export class MappingTable {
  readonly clients: Clients;
  readonly holds: AddressHolds;
  readonly #overlaps: OverlapTable;
  #buckets: (Mapping | null)[] = new Array(FIRST_BUCKETS).fill(null);
  #mask = FIRST_BUCKETS - 1;
  /** Mappings in the buckets. */
  #linked = 0;
  readonly #udp: ProtocolTable;
  readonly #tcp: ProtocolTable;
  readonly #icmp: ProtocolTable;
  readonly #seed: number;
  #count = 0;
  #overlapCount = 0;
  #staticCount = 0;

  constructor(options: MappingTableOptions) {
    const { random } = options;
    this.holds = options.holds ?? NO_HOLDS;
    this.clients = new Clients(options.clientOf);
    this.#seed = random();
    this.#udp = new ProtocolTable(options);
    this.#tcp = new ProtocolTable(options);
    this.#icmp = new ProtocolTable(options);
    this.#overlaps = new OverlapTable(options.ports, random);
  }

  /** Mappings in all. */
  get size(): number {
    return this.#count + this.#overlapCount + this.#staticCount;
  }

  /** Those that are not configured. */
  get dynamicSize(): number {
    return this.#count + this.#overlapCount;
  }

  /** What the client that an inner address belongs to holds of a protocol. */
  share(protocol: number, address: number): Share {
    return this.clients.of(address).share(protocol);
  }

  // By inner endpoint.

  /**
   * The mapping of an inner endpoint whatever the remote end, or null.
   *
   * @param guess one that it may be, of this table or of any other: no bucket is looked at then, which with many
   *   clients in turn is in no cache, and holds others' mappings
   */
  findInner(
    protocol: number,
    address: number,
    port: number,
    guess: Mapping | null = null,
  ): Mapping | null {
    if (
      guess !== null && guess.innerPort === port && guess.innerAddress === address &&
      guess.protocol === protocol && guess.foundIn === this
    ) return guess;
    let mapping = this.#buckets[this.#bucket(protocol, address, port)];
    while (
      mapping !== null &&
      (mapping.innerPort !== port || mapping.innerAddress !== address ||
        mapping.protocol !== protocol)
    ) mapping = mapping.next;
    return mapping;
  }

  /**
   * Whether this, what `findInner()` has found, may not be the mapping towards some remote end: one for that remote end
   * alone comes first, for a flow keeps the port it began with.
   */
  mayOverlap(mapping: Mapping | null): boolean {
    return this.#overlapCount !== 0 && (mapping === null || mapping.share.overlaps !== 0);
  }

  /** The mapping of an inner endpoint towards a remote one, or null. */
  findOutbound(
    protocol: number,
    address: number,
    port: number,
    remoteAddress: number,
    remotePort: number,
    guess: Mapping | null = null,
  ): Mapping | null {
    const mapping = this.findInner(protocol, address, port, guess);
    if (!this.mayOverlap(mapping)) return mapping;
    return this.#overlaps.findInside(protocol, address, port, remoteAddress, remotePort) ??
      mapping;
  }

  // By external port.

  /** The mapping of an external port whatever the remote end, or null. */
  findExternal(protocol: number, port: number): Mapping | null {
    switch (protocol) {
      case PROTOCOL_TCP:
        return this.#tcp.external.get(port);
      case PROTOCOL_UDP:
        return this.#udp.external.get(port);
      case PROTOCOL_ICMP:
        return this.#icmp.external.get(port);
      default:
        return null;
    }
  }

  /** The mapping of an external port towards a remote end, or null. */
  findInbound(
    protocol: number,
    port: number,
    remoteAddress: number,
    remotePort: number,
  ): Mapping | null {
    const mapping = this.findExternal(protocol, port);
    if (mapping !== null || this.#overlapCount === 0) return mapping;
    return this.#overlaps.findOutside(protocol, port, remoteAddress, remotePort);
  }

  // Made and removed.

  /** Who has external ports of a protocol to give. */
  allocator(protocol: number): PortAllocator {
    return this.#table(protocol).allocator;
  }

  /** Makes the mapping of an inner endpoint that has none, on a port from the protocol's allocator. */
  create(share: Share, endpoint: MappedEndpoint): Mapping {
    const mapping = new Mapping(share, endpoint, false);
    this.holds.retain(mapping.innerAddress);
    this.#insert(mapping);
    share.ports++;
    this.#count++;
    return mapping;
  }

  /**
   * A shared port on which nobody talks to a remote end; -1 where none is found. A finished flow of the client's own
   * ends for it.
   */
  chooseShared(
    share: Share,
    remoteAddress: number,
    remotePort: number,
    end: (session: NatSession) => void,
  ): number {
    const { external } = this.#table(share.protocol);
    return this.#overlaps.choose(share, external, remoteAddress, remotePort, end);
  }

  /** Makes the mapping of an inner endpoint towards one remote end, on a port from `chooseShared()`. */
  createShared(
    share: Share,
    endpoint: MappedEndpoint,
    remoteAddress: number,
    remotePort: number,
  ): Mapping {
    const mapping = new Mapping(share, endpoint, false, remoteAddress, remotePort);
    this.holds.retain(mapping.innerAddress);
    this.holds.retain(remoteAddress);
    this.#overlaps.insert(mapping);
    this.#overlapCount++;
    share.overlaps++;
    return mapping;
  }

  /**
   * Makes a mapping that stays.
   *
   * @throws {RangeError} when the external port, or the inner endpoint, has one already
   */
  createStatic(protocol: number, endpoint: MappedEndpoint): void {
    const { innerAddress, innerPort, externalPort } = endpoint;
    if (
      this.findInner(protocol, innerAddress, innerPort) !== null ||
      this.findExternal(protocol, externalPort) !== null ||
      !this.#table(protocol).allocator.take(externalPort)
    ) {
      throw new RangeError(
        `Cannot forward port ${externalPort}: this port or its target is already forwarded`,
      );
    }
    const client = this.clients.of(innerAddress);
    client.forwards++;
    this.#insert(new Mapping(client.share(protocol), endpoint, true));
    this.#staticCount++;
  }

  /**
   * Gives a port of the gateway's to a published service.
   *
   * @throws {RangeError} when it is taken
   */
  createFront(service: PublishedService): void {
    const { protocol, port } = service;
    const table = this.#table(protocol);
    if (table.external.get(port) !== null || !table.allocator.take(port)) {
      throw new RangeError(`Cannot publish port ${port}: it is already forwarded`);
    }
    const endpoint = { innerAddress: 0, innerPort: 0, externalPort: port };
    const mapping = new Mapping(NOBODY.share(protocol), endpoint, true);
    mapping.service = service;
    table.external.set(port, mapping);
  }

  /**
   * Makes the mapping of a back end, which its packets leave by; one outside the tunnel sends none through it.
   *
   * @returns null where its endpoint is that of another's
   */
  createBackEnd(
    front: PublishedService,
    endpoint: MappedEndpoint,
    isOutside: boolean,
  ): Mapping | null {
    const { protocol } = front;
    const { innerAddress, innerPort } = endpoint;
    // One that is not configured stays for what comes to its port; the other is found first.
    if (this.findInner(protocol, innerAddress, innerPort)?.isStatic) return null;
    const client = isOutside ? NOBODY : this.clients.of(innerAddress);
    const mapping = new Mapping(client.share(protocol), endpoint, true);
    mapping.externalAddress = front.address;
    if (isOutside) return mapping;
    client.forwards++;
    this.#link(mapping);
    this.#staticCount++;
    return mapping;
  }

  /** Removes what `createBackEnd()` has made. */
  removeBackEnd(mapping: Mapping): void {
    mapping.isRemoved = true;
    const { client } = mapping.share;
    if (client === NOBODY) return;
    client.forwards--;
    this.#staticCount--;
    this.#unlink(mapping, this.#bucketOf(mapping));
  }

  /** Removes a mapping that is not static; its port rests before another client gets it. */
  remove(mapping: Mapping, now: number): void {
    if (mapping.isRemoved || mapping.isStatic) return;
    mapping.isRemoved = true;
    const { share, protocol, externalPort } = mapping;
    this.holds.release(mapping.innerAddress);
    if (mapping.isShared) {
      this.holds.release(mapping.remoteAddress);
      this.#overlaps.remove(mapping);
      this.#overlapCount--;
      share.overlaps--;
      return;
    }
    this.#unlink(mapping, this.#bucketOf(mapping));
    const table = this.#table(protocol);
    table.external.set(externalPort, null);
    share.ports--;
    this.#count--;
    table.allocator.release(externalPort, share, now);
  }

  /** Frees ports that have rested, and forgets clients that hold nothing any more. */
  sweep(now: number): void {
    this.#tcp.allocator.wake(now);
    this.#udp.allocator.wake(now);
    this.#icmp.allocator.wake(now);
    this.clients.tidy();
  }

  #insert(mapping: Mapping): void {
    this.#link(mapping);
    this.#table(mapping.protocol).external.set(mapping.externalPort, mapping);
  }

  #link(mapping: Mapping): void {
    const { protocol, innerAddress, innerPort } = mapping;
    const before = this.findInner(protocol, innerAddress, innerPort);
    if (before !== null) before.foundIn = null;
    mapping.foundIn = this;
    if (++this.#linked > this.#mask && this.#mask < MOST_BUCKETS - 1) this.#grow();
    this.#put(mapping);
  }

  #put(mapping: Mapping): void {
    const bucket = this.#bucketOf(mapping);
    mapping.next = this.#buckets[bucket];
    this.#buckets[bucket] = mapping;
  }

  /** Has twice as many buckets from now on. Of two with one inner endpoint, the one that was found first still is. */
  #grow(): void {
    const before = this.#buckets;
    this.#buckets = new Array(2 * before.length).fill(null);
    this.#mask = this.#buckets.length - 1;
    for (const first of before) {
      const chain: Mapping[] = [];
      for (let mapping = first; mapping !== null; mapping = mapping.next) chain.push(mapping);
      while (chain.length > 0) this.#put(chain.pop()!);
    }
  }

  #unlink(mapping: Mapping, bucket: number): void {
    this.#linked--;
    mapping.foundIn = null;
    if (this.#buckets[bucket] === mapping) this.#buckets[bucket] = mapping.next;
    else {
      let before = this.#buckets[bucket];
      while (before !== null && before.next !== mapping) before = before.next;
      if (before !== null) before.next = mapping.next;
    }
    // Its peer may still refer to it (`PacketPeer.flow`), but is not to keep others, and their peers.
    mapping.next = null;
  }

  #table(protocol: number): ProtocolTable {
    return protocol === PROTOCOL_TCP
      ? this.#tcp
      : protocol === PROTOCOL_UDP
      ? this.#udp
      : this.#icmp;
  }

  #bucketOf({ protocol, innerAddress, innerPort }: Mapping): number {
    return this.#bucket(protocol, innerAddress, innerPort);
  }

  #bucket(protocol: number, address: number, port: number): number {
    return hash(address, port << 8 | protocol, this.#seed) & this.#mask;
  }
}
