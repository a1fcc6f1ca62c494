/**
 * Group of NATs that workers have the external address together by; or one alone. Packets come to them as the kernel's
 * programs and the peers' sessions have it.
 */
import { Ipv6Headers } from "../../../lib/core/nat/headers/ipv6_headers.ts";
import { Nat } from "../../../lib/core/nat/nat.ts";
import type { NatOptions } from "../../../lib/core/nat/nat_options.ts";
import type { NatUsage } from "../../../lib/core/nat/records.ts";
import {
  HANDED_OVER_HEADER,
  HANDED_OVER_PACKET,
  HandOver,
} from "../../../lib/core/nat/slices/hand_over.ts";
import { createRing, RingReader, RingWriter } from "../../../lib/core/threads/record_ring.ts";
import { MIN_HEADER_SIZE, SOURCE_ADDRESS_OFFSET } from "../../../lib/core/wire/ipv4.ts";
import * as ipv6 from "../../../lib/core/wire/ipv6.ts";
import { outsideSteering, outsideSteering6 } from "../../../lib/dataplane/filters/steering.ts";
import { runBpf } from "../packets/bpf.ts";
import { buildUdp, type Bytes } from "../packets/packet_builder.ts";
import { buildUdp6 } from "../packets/packet_builder6.ts";

const RING_SIZE = 1 << 18;
/** Of tables of addresses; those of a world are others. */
const TABLE_SEED = 77;
/** Where the last word of an address stands, by which a client is a worker's. */
const LAST_WORD = 12;

/** A packet that one worker has handed over to another. */
export interface HandedOver {
  readonly nat: Nat;
  readonly origin: number;
  /** Of virtio-net. */
  readonly header: Bytes;
  readonly packet: Bytes;
}

export class NatGroup {
  readonly all: readonly Nat[];
  /** Of each; none where the packets are of IPv4. */
  readonly headers: readonly Ipv6Headers[];
  readonly #view: DataView;
  /** By the worker that reads, then the one that writes. */
  readonly #readers: readonly (RingReader | null)[][];
  readonly #steering: ReturnType<typeof outsideSteering>;

  /**
   * @param options `generatedSize` bytes of memory for each of the `workers`; with `clientOf6`, packets are of IPv6,
   * and what it is asked about is an address of a worker's
   */
  constructor(
    { workers, generatedSize, clientOf6, ...options }: NatOptions & {
      readonly workers: number;
      readonly generatedSize: number;
      readonly clientOf6?: (headers: Ipv6Headers, address: number) => unknown;
    },
  ) {
    this.#view = options.memory.view;
    const numbers = Array.from({ length: workers }, (_, number) => number);
    const rings = numbers.map((from) =>
      numbers.map((to) => from === to ? null : createRing(RING_SIZE))
    );
    this.#readers = numbers.map((to) =>
      numbers.map((from) => rings[from][to] && new RingReader(rings[from][to]))
    );
    this.headers = clientOf6 === undefined
      ? []
      : numbers.map(() => new Ipv6Headers(options.memory, TABLE_SEED));
    this.all = numbers.map((number) =>
      new Nat({
        ...clientOf6 && {
          headers: this.headers[number],
          clientOf: (address: number) => clientOf6(this.headers[number], address),
        },
        ...options,
        generated: options.generated + number * generatedSize,
        slice: workers === 1 ? null : {
          number,
          count: workers,
          workerOf: (address) => this.#workerOf(this.#lastWord(number, address)),
          handOver: new HandOver(
            options.memory,
            rings[number].map((ring) => ring && new RingWriter(ring)),
          ),
        },
      })
    );
    const ports = { range: options.ports, count: workers };
    this.#steering = clientOf6 === undefined
      ? outsideSteering({ ...ports, forwards: [] })
      : outsideSteering6(ports);
  }

  /** Of an address as a worker's NAT has it. */
  #lastWord(number: number, address: number): number {
    if (this.headers.length === 0) return address;
    const { holds } = this.headers[number];
    return holds.view.getInt32(holds.offsetOf(address) + LAST_WORD);
  }

  #workerOf(address: number): number {
    return (address >>> 0) % this.all.length;
  }

  /** Whose client has sent the packet at this offset. */
  ofClient(packet: number): Nat {
    const at = this.headers.length === 0
      ? SOURCE_ADDRESS_OFFSET
      : ipv6.SOURCE_ADDRESS_OFFSET + LAST_WORD;
    return this.all[this.#workerOf(this.#view.getInt32(packet + at))];
  }

  /** Who captures a packet from outside. */
  ofOutside(packet: Bytes): Nat {
    return this.all[runBpf(this.#steering, packet)];
  }

  /** Who has sent a packet outside. */
  ofSent(packet: Bytes): Nat {
    const at = this.headers.length === 0 ? MIN_HEADER_SIZE : ipv6.HEADER_SIZE;
    const fields = { destinationPort: packet[at] << 8 | packet[at + 1] };
    return this.ofOutside(this.headers.length === 0 ? buildUdp(fields) : buildUdp6(fields));
  }

  /** What the others hand over to a worker, for a test that takes it itself. */
  readersOf(number: number): readonly RingReader[] {
    return this.#readers[number].filter((reader) => reader !== null);
  }

  /** Takes the next packet that one has handed over; null for none. */
  nextHandedOver(): HandedOver | null {
    for (const [number, readers] of this.#readers.entries()) {
      for (const reader of readers) {
        const origin = reader?.next() ?? 0;
        if (reader === null || origin === 0) continue;
        const record = new Uint8Array(reader.length);
        record.set(reader.bytes.subarray(reader.offset, reader.offset + reader.length));
        reader.done();
        const header = record.slice(HANDED_OVER_HEADER, HANDED_OVER_PACKET);
        const packet = record.slice(HANDED_OVER_PACKET);
        return { nat: this.all[number], origin, header, packet };
      }
    }
    return null;
  }

  // All together.

  get mappingCount(): number {
    return this.#sum(({ mappingCount }) => mappingCount);
  }

  get sessionCount(): number {
    return this.#sum(({ sessionCount }) => sessionCount);
  }

  usageOf(identity: unknown): NatUsage {
    return {
      ports: this.#sum((nat) => nat.usageOf(identity).ports),
      sessions: this.#sum((nat) => nat.usageOf(identity).sessions),
    };
  }

  set clientToClient(allowed: boolean) {
    for (const nat of this.all) nat.clientToClient = allowed;
  }

  set externalAddress(address: number) {
    for (const nat of this.all) nat.externalAddress = address;
  }

  set externalMtu(mtu: number) {
    for (const nat of this.all) nat.externalMtu = mtu;
  }

  isForwarded(packet: number): boolean {
    return this.all[0].isForwarded(packet);
  }

  releaseClient(identity: unknown, now: number): void {
    for (const nat of this.all) nat.releaseClient(identity, now);
  }

  pollAt(): number {
    return Math.min(...this.all.map((nat) => nat.pollAt()));
  }

  poll(now: number): void {
    for (const nat of this.all) nat.poll(now);
  }

  #sum(of: (nat: Nat) => number): number {
    return this.all.reduce((sum, nat) => sum + of(nat), 0);
  }
}
