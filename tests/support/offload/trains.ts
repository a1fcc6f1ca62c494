/** Trains of segments and datagrams, and what the coalescer and the splitter make of them. */
import { Coalescer } from "../../../lib/core/offload/coalescer.ts";
import { Splitter, SPLITTER_SCRATCH_SIZE } from "../../../lib/core/offload/splitter.ts";
import { PacketQueue } from "../../../lib/core/wire/packet_queue.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { checkIpv4 } from "../../../lib/core/wire/ipv4.ts";
import { checkIpv6 } from "../../../lib/core/wire/ipv6.ts";
import { createMemory } from "../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../assert.ts";
import {
  buildTcp,
  buildUdp,
  type Bytes,
  type TcpFields,
  type UdpFields,
} from "../packets/packet_builder.ts";
import { buildTcp6, type TcpFields6 } from "../packets/packet_builder6.ts";
import { Random } from "../random.ts";
import * as reference from "./reference.ts";

export const CAPACITY = 256;
const PACKETS_AT = SPLITTER_SCRATCH_SIZE + 64;
const HEADER_AT = 0;
const MERGED_AT = 40;

/** What was written for one group. */
export interface Written {
  readonly members: readonly number[];
  /** Null where the group is a single packet, which is written as it is. */
  readonly header: Bytes | null;
  readonly packet: Bytes;
}

interface CoalesceOptions {
  /** For the gaps between the packets. */
  readonly random?: Random;
  /** Whether the kernel takes super-packets of UDP; as it does, if left out. */
  readonly mergesUdp?: boolean;
}

/** Groups packets and writes each group as the application does. */
export function coalesce(
  packets: readonly Bytes[],
  { random = new Random(0), mergesUdp = true }: CoalesceOptions = {},
): Written[] {
  const total = packets.reduce((sum, packet) => sum + packet.length + 8, PACKETS_AT);
  const memory = createMemory(total);
  const queue = new PacketQueue(CAPACITY);
  let at = PACKETS_AT;
  for (const packet of packets) {
    at += random.below(8);
    memory.bytes.set(packet, at);
    const reason = isIpv6(packet)
      ? checkIpv6(memory.view, at, packet.length)
      : checkIpv4(memory, at, packet.length);
    assertEquals(reason, DropReason.none);
    assert(queue.push(at, packet.length));
    at += packet.length;
  }
  const coalescer = new Coalescer(memory, CAPACITY);
  coalescer.group(queue, mergesUdp);
  return Array.from({ length: coalescer.count }, (_, group) => {
    const first = coalescer.firstPacket(group);
    const members = [first];
    for (let i = coalescer.nextPacket(first); i >= 0; i = coalescer.nextPacket(i)) members.push(i);
    assertEquals(coalescer.isMerged(group), members.length > 1);
    if (members.length > 1) assertEquals(coalescer.isUdp(group), isUdp(packets[first]!));
    const headerSize = members.length > 1 ? coalescer.prepare(group, HEADER_AT) : 0;
    const pieces = members.map((index, position) => {
      const { offsets, lengths } = queue;
      const skipped = position === 0 ? 0 : headerSize;
      return memory.bytes.slice(offsets[index]! + skipped, offsets[index]! + lengths[index]!);
    });
    return {
      members,
      header: members.length > 1 ? memory.bytes.slice(HEADER_AT, HEADER_AT + 10) : null,
      packet: reference.concatenate(...pieces),
    };
  });
}

function isIpv6(packet: Bytes): boolean {
  return packet[0]! >> 4 === 6;
}

function isUdp(packet: Bytes): boolean {
  return packet[isIpv6(packet) ? 6 : 9] === reference.UDP;
}

/** The indices of each group. */
export function membersOf(
  packets: readonly Bytes[],
  options: CoalesceOptions = {},
): (readonly number[])[] {
  return coalesce(packets, options).map(({ members }) => members);
}

/** The same of packets of IPv4, which are the reference's groups. */
export function grouped(packets: readonly Bytes[]): (readonly number[])[] {
  const groups = membersOf(packets);
  assertEquals(groups, reference.groups(packets));
  return groups;
}

/** Splits what was written again. */
export function splitAgain({ header, packet }: Written): Bytes[] {
  if (header === null) return [packet];
  const memory = createMemory(PACKETS_AT + packet.length + 15);
  memory.bytes.set(header, PACKETS_AT - 10);
  memory.bytes.set(packet, PACKETS_AT);
  const splitter = new Splitter(memory, MERGED_AT);
  assertEquals(splitter.begin(PACKETS_AT - 10, PACKETS_AT, packet.length), DropReason.none);
  const packets: Bytes[] = [];
  while (splitter.next()) {
    packets.push(memory.bytes.slice(splitter.offset, splitter.offset + splitter.length));
  }
  return packets;
}

interface TrainOptions<Fields> {
  readonly count?: number;
  readonly size?: number;
  /** Bytes of the last packet's payload. */
  readonly lastSize?: number;
  readonly fields?: Fields;
  /** Further fields of single packets. */
  readonly change?: (index: number) => Fields;
}

/** Bytes of each packet's payload, unless a test says otherwise. */
export const TRAIN_PAYLOAD = 100;

/** Segments as one sender makes them one after the other. */
export function train(options: TrainOptions<TcpFields> = {}): Bytes[] {
  const { size = TRAIN_PAYLOAD, fields: { sequenceNumber = 1000, identification = 7 } = {} } =
    options;
  return packetsOf(buildTcp, options, (index) => ({
    sequenceNumber: (sequenceNumber + index * size) % 2 ** 32,
    identification: (identification + index) % 2 ** 16,
  }));
}

/** Like `train()`, with packet 2 of 0 to 3 changed. */
export function trainWith(change: TcpFields, options: TrainOptions<TcpFields> = {}): Bytes[] {
  return train({ ...options, change: (index) => index === 2 ? change : {} });
}

/** Like `train()`, of IPv6. */
export function train6(options: TrainOptions<TcpFields6> = {}): Bytes[] {
  const { size = TRAIN_PAYLOAD, fields: { sequenceNumber = 1 } = {} } = options;
  return packetsOf(buildTcp6, options, (index) => ({
    sequenceNumber: (sequenceNumber + index * size) % 2 ** 32,
  }));
}

/** Like `train()`, of datagrams. */
export function trainOfDatagrams(options: TrainOptions<UdpFields> = {}): Bytes[] {
  const { fields: { identification = 7 } = {} } = options;
  return packetsOf(buildUdp, options, (index) => ({
    identification: (identification + index) % 2 ** 16,
  }));
}

/** @param counted the fields that count on from packet to packet */
function packetsOf<Fields extends { readonly payload?: Uint8Array }>(
  build: (fields: Fields) => Bytes,
  { count = 4, size = TRAIN_PAYLOAD, lastSize = size, fields, change }: TrainOptions<Fields>,
  counted: (index: number) => Fields,
): Bytes[] {
  return Array.from({ length: count }, (_, index) =>
    build({
      ...fields,
      ...counted(index),
      payload: new Uint8Array(index === count - 1 ? lastSize : size).fill(index + 1),
      ...change?.(index),
    }));
}
