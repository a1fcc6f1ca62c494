/** Trains of TCP segments, and what the coalescer and the splitter make of them. */
import { Coalescer } from "../../../lib/core/offload/coalescer.ts";
import { Splitter, SPLITTER_SCRATCH_SIZE } from "../../../lib/core/offload/splitter.ts";
import { PacketQueue } from "../../../lib/core/wire/packet_queue.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { checkIpv4 } from "../../../lib/core/wire/ipv4.ts";
import { createMemory } from "../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../assert.ts";
import { buildTcp, type Bytes, type TcpFields } from "../packets/packet_builder.ts";
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

/** Groups packets and writes each group as the application does: the gaps between them are random. */
export function coalesce(packets: readonly Bytes[], random = new Random(0)): Written[] {
  const total = packets.reduce((sum, packet) => sum + packet.length + 8, PACKETS_AT);
  const memory = createMemory(total);
  const queue = new PacketQueue(CAPACITY);
  let at = PACKETS_AT;
  for (const packet of packets) {
    at += random.below(8);
    memory.bytes.set(packet, at);
    assertEquals(checkIpv4(memory, at, packet.length), DropReason.none);
    assert(queue.push(at, packet.length));
    at += packet.length;
  }
  const coalescer = new Coalescer(memory, CAPACITY);
  coalescer.group(queue, true);
  return Array.from({ length: coalescer.count }, (_, group) => {
    const first = coalescer.firstPacket(group);
    const members = [first];
    for (let i = coalescer.nextPacket(first); i >= 0; i = coalescer.nextPacket(i)) members.push(i);
    assertEquals(coalescer.isMerged(group), members.length > 1);
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

/** The indices of each group. */
export function grouped(packets: readonly Bytes[]): (readonly number[])[] {
  const groups = coalesce(packets).map(({ members }) => members);
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

interface TrainOptions {
  readonly count?: number;
  readonly size?: number;
  /** Bytes of the last packet's payload. */
  readonly lastSize?: number;
  readonly fields?: TcpFields;
  /** Further fields of single packets. */
  readonly change?: (index: number) => TcpFields;
}

/** Packets as one sender makes them one after the other. */
export function train(
  { count = 4, size = 100, lastSize = size, fields = {}, change = () => ({}) }: TrainOptions = {},
): Bytes[] {
  return Array.from({ length: count }, (_, index) =>
    buildTcp({
      ...fields,
      sequenceNumber: ((fields.sequenceNumber ?? 1000) + index * size) % 2 ** 32,
      identification: ((fields.identification ?? 7) + index) % 2 ** 16,
      payload: new Uint8Array(index === count - 1 ? lastSize : size).fill(index + 1),
      ...change(index),
    }));
}

/** Like `train()`, with packet 2 of 0 to 3 changed. */
export function trainWith(change: TcpFields, options: TrainOptions = {}): Bytes[] {
  return train({ ...options, change: (index) => index === 2 ? change : {} });
}
