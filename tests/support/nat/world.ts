/**
 * Stage for tests of the NAT: a NAT with its memory, time and chance, packets as bytes in and out, read the slow way.
 */
import { MergedTo } from "../../../lib/core/nat/inbound.ts";
import type { Ipv6Headers } from "../../../lib/core/nat/headers/ipv6_headers.ts";
import { Nat } from "../../../lib/core/nat/nat.ts";
import { Origin } from "../../../lib/core/nat/slices/hand_over.ts";
import { NatGroup } from "./nat_group.ts";
import type { NatOptions } from "../../../lib/core/nat/nat_options.ts";
import { DropCounters, type DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { checkIpv4 } from "../../../lib/core/wire/ipv4.ts";
import { checkIpv6, isIpv6 } from "../../../lib/core/wire/ipv6.ts";
import { createMemory, type Memory } from "../../../lib/core/wire/memory.ts";
import type { PacketQueue } from "../../../lib/core/wire/packet_queue.ts";
import { assertEquals } from "../assert.ts";
import { FakeClock } from "../time/fake_clock.ts";
import { type Bytes, referenceChecksum } from "../packets/packet_builder.ts";
import { Random } from "../random.ts";

export const EXTERNAL = "203.0.113.1";
export const GATEWAY = "10.66.77.1";
export const CLIENT = "10.66.77.2";
export const CLIENT_2 = "10.66.77.3";
/** Addresses on either side of 2^31. */
export const REMOTE = "198.51.100.7";
export const REMOTE_2 = "93.184.216.34";

/** Flags of TCP. */
export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const ACK = 16;

export const SECOND = 1000;

/** An address as a number in host order. */
export function address(text: string): number {
  return text.split(".").reduce((number, octet) => number * 256 + Number(octet), 0);
}

/** Dotted decimal. */
export function addressText(number: number): string {
  return [24, 16, 8, 0].map((shift) => number >>> shift & 0xff).join(".");
}

/** What one packet made the NAT send. */
export interface Sent {
  readonly outside: Bytes[];
  readonly inside: Bytes[];
}

/** Room for a packet of 64 KiB, at an offset that is no multiple of 4. */
const PACKET_AT = 10;
const PACKET_ROOM = 66 * 1024;
/** What stands behind the packet that is offered. */
const GUARD = 0xa5;
const GUARD_SIZE = 64;

export type WorldOptions = Omit<Partial<NatOptions>, "slice" | "headers"> & {
  readonly seed?: number;
  readonly workers?: number;
  readonly clientOf6?: (headers: Ipv6Headers, address: number) => unknown;
};

export class World {
  readonly memory: Memory;
  readonly nat: NatGroup;
  readonly drops = new DropCounters();
  readonly clock = new FakeClock();
  readonly random: Random;

  /**
   * @param options `workers` have the external address together; one, if left out. With `clientOf6`, packets are of
   * IPv6
   */
  constructor({ workers = 1, ...options }: WorldOptions = {}) {
    const generatedSize = Nat.generatedSize(
      Math.max(options.externalMtu ?? 1500, options.innerMtu ?? 1420),
    );
    this.random = new Random(options.seed ?? 1);
    this.memory = createMemory(PACKET_ROOM + workers * generatedSize);
    this.nat = new NatGroup({
      memory: this.memory,
      drops: this.drops,
      generated: PACKET_ROOM,
      generatedSize,
      workers,
      externalAddress: address(EXTERNAL),
      innerAddress: address(GATEWAY),
      externalMtu: 1500,
      innerMtu: 1420,
      ports: { first: 512, last: 65_535 },
      filtering: "endpoint",
      forwards: [],
      clientQuota: 4096,
      random: () => this.random.uint32(),
      ...options,
    });
  }

  /** A client's packet. */
  outbound(packet: Bytes): Sent {
    this.#load(packet);
    const nat = this.nat.ofClient(PACKET_AT);
    nat.outbound(PACKET_AT, this.clock.now);
    this.#checkGuard(packet);
    return this.#settle(nat);
  }

  /** A packet from outside. */
  inbound(packet: Bytes): Sent {
    this.#load(packet);
    const nat = this.nat.ofOutside(packet);
    nat.inbound(PACKET_AT, this.clock.now);
    this.#checkGuard(packet);
    return this.#settle(nat);
  }

  /** A super-packet from outside; its headers after translation, or null where it goes no further. */
  inboundMerged(packet: Bytes, segmentLength: number): { merged: Bytes | null; sent: Sent } {
    this.#load(packet);
    const nat = this.nat.ofOutside(packet);
    const to = nat.inboundMerged(PACKET_AT, segmentLength, this.clock.now);
    const merged = to !== MergedTo.nowhere ? this.#bytes(PACKET_AT, packet.length) : null;
    return { merged, sent: this.#settle(nat) };
  }

  /** A packet that the NAT has sent outside, and that the link there refuses as too long. */
  refuseSent(packet: Bytes): Sent {
    this.#load(packet);
    const nat = this.nat.ofSent(packet);
    nat.refuseSent(PACKET_AT, this.clock.now);
    return this.#settle(nat);
  }

  takeExternal(packet: Bytes): boolean {
    this.#load(packet);
    return this.nat.ofClient(PACKET_AT).takeExternal(PACKET_AT, this.clock.now);
  }

  /** Lets time pass, and polls the NAT if it asks for that by then. */
  advance(ms: number): void {
    const now = this.clock.advance(ms);
    if (now >= this.nat.pollAt()) this.nat.poll(now);
  }

  /** How many packets were dropped for a reason. */
  dropped(reason: DropReason): number {
    return this.drops.counts[reason];
  }

  /** What one of the workers has to send, and what the others have of that. */
  #settle(nat: Nat): Sent {
    const sent = this.#drain(nat);
    for (let next = this.nat.nextHandedOver(); next !== null; next = this.nat.nextHandedOver()) {
      this.#put(next.packet);
      next.nat.inbound(PACKET_AT, this.clock.now, next.origin as Origin);
      const { outside, inside } = this.#drain(next.nat);
      sent.outside.push(...outside);
      sent.inside.push(...inside);
    }
    return sent;
  }

  /** What any of the workers has still to send. */
  drain(): Sent {
    const sent = this.nat.all.map((nat) => this.#drain(nat));
    return {
      outside: sent.flatMap(({ outside }) => outside),
      inside: sent.flatMap(({ inside }) => inside),
    };
  }

  #drain({ outside, inside }: Nat): Sent {
    return { outside: this.#take(outside), inside: this.#take(inside) };
  }

  #take(queue: PacketQueue): Bytes[] {
    const packets = Array.from(
      { length: queue.length },
      (_, i) => this.#bytes(queue.offsets[i], queue.lengths[i]),
    );
    queue.clear();
    return packets;
  }

  #bytes(offset: number, length: number): Bytes {
    return this.memory.bytes.slice(offset, offset + length);
  }

  /** Fails if anything was written behind the packet. */
  #checkGuard(packet: Bytes): void {
    const guard = this.#bytes(PACKET_AT + packet.length, GUARD_SIZE);
    assertEquals(guard.findIndex((byte) => byte !== GUARD), -1, "written behind the packet");
  }

  /**
   * Puts a packet into the memory. The NAT takes only what has passed the checks of its family, so a test that offers
   * else is wrong.
   */
  #load(packet: Bytes): void {
    this.#put(packet);
    const { memory } = this;
    const reason = isIpv6(memory.view, PACKET_AT)
      ? checkIpv6(memory.view, PACKET_AT, packet.length)
      : checkIpv4(memory, PACKET_AT, packet.length);
    assertEquals(reason, 0, "not for the NAT");
  }

  #put(packet: Bytes): void {
    this.memory.bytes.set(packet, PACKET_AT);
    this.memory.bytes.fill(
      GUARD,
      PACKET_AT + packet.length,
      PACKET_AT + packet.length + GUARD_SIZE,
    );
  }
}

/** The one packet that was sent, and not to the other side. */
export function only(sent: Sent, side: keyof Sent): Bytes {
  const other = side === "outside" ? "inside" : "outside";
  assertEquals([sent[side].length, sent[other].length], [1, 0], `not one packet ${side}`);
  return sent[side][0];
}

/** Fails unless nothing at all was sent. */
export function assertSilent(sent: Sent): void {
  assertEquals([sent.outside.length, sent.inside.length], [0, 0], "something was sent");
}

/** Fields of a packet. Ports are those of TCP or UDP; `identifier` is ICMP's. */
export interface Fields {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly identification: number;
  readonly timeToLive: number;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  readonly fragmentOffset: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly type: number;
  readonly code: number;
  readonly identifier: number;
  /** ICMP's "next-hop MTU". */
  readonly mtu: number;
  readonly transportChecksum: number;
  readonly flags: number;
  /** Behind the IPv4 header. */
  readonly transport: Bytes;
}

/**
 * Reads a packet and fails unless its length and all checksums are right, worked out in full. Fragments have no
 * checksum of their own that could be checked, nor has what an ICMP error quotes: `checked: false`.
 */
export function read(packet: Bytes, { checked = true } = {}): Fields {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const headerSize = (packet[0] & 15) * 4;
  const transport = packet.slice(headerSize);
  const at = new DataView(transport.buffer);
  const protocol = packet[9];
  const flags = view.getUint16(6);
  const checksumAt = protocol === 6 ? 16 : protocol === 17 ? 6 : 2;
  const word = (offset: number) => offset + 2 <= transport.length ? at.getUint16(offset) : -1;
  assertEquals(referenceChecksum(packet.subarray(0, headerSize)), 0, "wrong IP checksum");
  if (checked) {
    assertEquals(view.getUint16(2), packet.length, "wrong total length");
    if ((flags & 0x3fff) === 0) assertTransportChecksum(packet, transport);
  }
  return {
    source: addressText(view.getUint32(12)),
    destination: addressText(view.getUint32(16)),
    protocol,
    identification: view.getUint16(4),
    timeToLive: packet[8],
    dontFragment: (flags & 0x4000) !== 0,
    moreFragments: (flags & 0x2000) !== 0,
    fragmentOffset: flags & 0x1fff,
    sourcePort: word(0),
    destinationPort: word(2),
    type: transport[0],
    code: transport[1],
    identifier: word(4),
    mtu: word(6),
    transportChecksum: word(checksumAt),
    flags: transport[13],
    transport,
  };
}

function assertTransportChecksum(packet: Bytes, transport: Bytes): void {
  const protocol = packet[9];
  if (protocol === 17 && transport[6] === 0 && transport[7] === 0) return;
  const pseudo = new Uint8Array(protocol === 1 ? 0 : 12);
  if (protocol !== 1) {
    pseudo.set(packet.subarray(12, 20));
    pseudo[9] = protocol;
    new DataView(pseudo.buffer).setUint16(10, transport.length);
  }
  const summed = new Uint8Array([...pseudo, ...transport]);
  assertEquals(referenceChecksum(summed), 0, "wrong transport checksum");
}

/** The packet that an ICMP error quotes. */
export function quotedBy(error: Bytes): Bytes {
  return error.slice((error[0] & 15) * 4 + 8);
}

/**
 * Puts fragments together again; fails where one is missing. The header is the first one's, as if it had never been
 * one.
 */
export function reassemble(fragments: readonly Bytes[]): Bytes {
  const parts = fragments.map((bytes) => ({ bytes, ...read(bytes) }))
    .sort((a, b) => a.fragmentOffset - b.fragmentOffset);
  let size = 0;
  for (const [index, part] of parts.entries()) {
    assertEquals(part.fragmentOffset * 8, size, "a fragment is missing");
    assertEquals(part.moreFragments, index < parts.length - 1, "wrong 'more fragments'");
    assertEquals(part.identification, parts[0].identification, "not of one packet");
    size += part.transport.length;
  }
  const packet = new Uint8Array(20 + size);
  packet.set(parts[0].bytes.subarray(0, 20));
  for (const part of parts) packet.set(part.transport, 20 + part.fragmentOffset * 8);
  const view = new DataView(packet.buffer);
  view.setUint16(2, packet.length);
  view.setUint16(6, 0);
  view.setUint16(10, 0);
  view.setUint16(10, referenceChecksum(packet.subarray(0, 20)));
  return packet;
}
